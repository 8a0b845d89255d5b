"""Two runs, compared by the cases that both have."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.evaluate import Summary, save_summary
from autoseg.evaluate.compare import compare_runs, load_run
from autoseg.metrics.measure import Rules


def write(
    folder: Path, dice: dict[str, float | None], *, nsd: bool = True, tolerance: float = 1.0, classes: tuple[str, ...] = ("x", "y")
) -> Path:
    """A run whose first class has these scores, and whose second scores 0.5 everywhere."""
    cases = {
        case: {name: {"dice": value if name == "x" else 0.5} | ({"nsd": 1.0} if nsd else {}) for name in classes}
        for case, value in dice.items()
    }
    empty: dict[str, dict[str, float | None]] = {name: {} for name in classes}
    summary = Summary(mean={}, classes=empty, cases=cases, rules=Rules(tolerance=tolerance) if nsd else None, unit="mm" if nsd else "")
    folder.mkdir(parents=True, exist_ok=True)
    save_summary(folder / "summary.json", summary)
    return folder


def test_pairs_are_cases_of_both(tmp_path: Path) -> None:
    a = write(tmp_path / "a", {"1": 0.5, "2": 0.5, "3": None, "only a": 1.0})
    b = write(tmp_path / "b", {"3": 0.5, "2": 0.8, "1": 0.6, "only b": 1.0})
    found = compare_runs(a, b)
    pair = found.classes["dice"]["x"]
    assert (pair.n, pair.better, pair.worse) == (2, 2, 0)
    assert pair.difference == pytest.approx(0.2)
    assert found.classes["dice"]["y"].difference == 0
    # Case 3 compares by the class that both define, which is equal; the others' means gain half of x's.
    assert found.mean["dice"].n == 3
    assert found.mean["dice"].difference == pytest.approx((0.05 + 0.15 + 0) / 3)
    assert found.mean["nsd"].p == 1
    assert (found.only_a, found.only_b, found.drawn, found.notes) == (("only a",), ("only b",), "cases", ())
    p = found.classes["dice"]["x"].p
    assert p is not None
    assert found.corrected["dice"]["x"] == pytest.approx(min(1, 2 * p))


def test_groups_are_pairs(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, {"1": value, "2": value, "3": value}) for name, value in (("a", 0.5), ("b", 0.75)))
    for run in (a, b):
        save_summary(run / "summary.json", replace(load_run(run), groups={"1": "ann", "2": "ann"}))
    found = compare_runs(a, b)
    assert (found.drawn, found.classes["dice"]["x"].n, found.classes["dice"]["x"].units) == ("groups", 3, 2)


def test_a_run_s_folds_are_put_together(tmp_path: Path) -> None:
    for k in range(2):
        write(tmp_path / f"run/fold{k}", {f"case{k}": 0.5 + k / 4})
    assert list(load_run(tmp_path / "run").cases) == ["case0", "case1"]
    assert compare_runs(tmp_path / "run", tmp_path / "run/fold1").only_a == ("case0",)


def test_a_copy_of_a_fold_has_no_say(tmp_path: Path) -> None:
    write(tmp_path / "run/fold0", {"case0": 0.5})
    write(tmp_path / "run/fold0_old", {"case0": 0.25, "case9": 0.5})
    assert {name: scores["x"]["dice"] for name, scores in load_run(tmp_path / "run").cases.items()} == {"case0": 0.5}


@pytest.mark.parametrize(
    ("changed", "note"), [({"nsd": False}, "one of the runs lacks it"), ({"tolerance": 2.0}, r"tolerances differ \(1 mm, 2 mm\)")]
)
def test_surface_dice_is_compared_only_where_it_means_the_same(tmp_path: Path, changed: dict[str, float], note: str) -> None:
    a, b = write(tmp_path / "a", {"1": 0.5}), write(tmp_path / "b", {"1": 0.5}, **changed)  # type: ignore[arg-type]
    found = compare_runs(a, b)
    assert list(found.mean) == ["dice"]
    (said,) = found.notes
    assert re.search(note, said)


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    a = write(tmp_path / "a", {"1": 0.5})
    with pytest.raises(UsageError, match="no case in common: 1 against 2"):
        compare_runs(a, write(tmp_path / "b", {"2": 0.5}))
    with pytest.raises(UsageError, match="other classes: z in one"):
        compare_runs(a, write(tmp_path / "c", {"1": 0.5}, classes=("x", "y", "z")))
    with pytest.raises(UsageError, match=r"holds no summary\.json\. Evaluate it first: autoseg evaluate"):
        compare_runs(a, tmp_path)
