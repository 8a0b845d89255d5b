"""How good the expected Dice of confidence.csv is: correlation with the true Dice, and how often the 90 % interval holds it.

    autoseg predict --ensemble                                        writes PRED/confidence.csv
    autoseg evaluate PRED truth/HandBone                              writes PRED/metrics.csv
    python -m benchmarks.confidence PRED [--phantom WORKSPACE]        the two beside each other
    python -m benchmarks.confidence --run results/NAME/PLAN/CONFIG-TRAINER

--phantom says which workspace `autoseg demo make` has written: its test hands are then also counted by straight and bent wrists. Where
nothing is there and nothing is predicted, Dice counts as 1, as in confidence.csv. --run: the training cases of a run, each fold's as a
calibration expects them that was made of the other folds.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from autoseg.demo.case import SIDES, draw_hands
from autoseg.evaluate.calibration import gather_known
from autoseg.infer.confidence import calibrate
from autoseg.infer.expected import TABLE, read_expected
from autoseg.workspace import Workspace

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Cases and classes, (N, K) each: the true Dice beside what was expected."""

    cases: tuple[str, ...]
    dice: Values
    expected: Values
    low: Values
    high: Values

    def of(self, names: set[str]) -> Rows:
        """Some of the cases."""
        kept = np.array([case in names for case in self.cases])
        chosen = tuple(case for case in self.cases if case in names)
        return Rows(cases=chosen, dice=self.dice[kept], expected=self.expected[kept], low=self.low[kept], high=self.high[kept])


def read_rows(folder: Path) -> Rows:
    """The cases that both tables of a folder of predictions hold."""
    expected = read_expected(folder / TABLE)
    dice: dict[str, dict[str, float]] = {}
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            dice.setdefault(row["case"], {})[row["class"]] = float(row["dice"] or 1.0)
    cases = tuple(case for case in expected if case in dice)
    told = np.array([list(expected[case].values()) for case in cases])
    true = np.array([[dice[case][name] for name in expected[case]] for case in cases])
    return Rows(cases=cases, dice=true, expected=told[..., 0], low=told[..., 1], high=told[..., 2])


def bent_cases(workspace: Path, cases: tuple[str, ...]) -> set[str]:
    """Those of the phantom's test cases whose wrist is bent; the scene is drawn again, not the picture."""
    made = json.loads((workspace / "truth" / "HandBone" / "phantom.json").read_text("utf-8"))
    found = set()
    for path in (Workspace(root=workspace).raw / "HandBone" / "test" / "DCM").rglob("*.png"):
        index = int(path.parent.name.removeprefix("ID")) - 1 - made["people"]
        _, scenes = draw_hands(seed=made["seed"], part="test", index=index)
        side = path.stem.rpartition("_")[2]
        assert side in SIDES
        if path.stem in cases and scenes[side].pose.bent:
            found.add(path.stem)
    return found


def left_out(run: Path) -> Iterator[tuple[str, Rows]]:
    """Each fold's training cases, as the other folds expect them."""
    known, classes = gather_known(run)
    assert known is not None, "no case has known Dice"
    for fold in np.unique(known.folds):
        chosen = known.folds == fold
        calibration = calibrate(known[~chosen], classes)
        assert calibration is not None, "too few cases are left"
        expected, dice = calibration.expect(known.certainty[chosen]), np.nan_to_num(known.dice[chosen], nan=1.0)
        names = tuple(map(str, np.flatnonzero(chosen)))
        yield f"fold {fold}", Rows(cases=names, dice=dice, expected=expected.dice, low=expected.low, high=expected.high)


def lines(name: str, rows: Rows) -> Iterator[str]:
    """A row of the table."""
    dice, expected = rows.dice.ravel(), rows.expected.ravel()
    below, above = float((rows.dice < rows.low).mean()), float((rows.dice > rows.high).mean())
    within = np.median([correlation(rows.expected[:, k], rows.dice[:, k]) for k in range(rows.dice.shape[1])])
    of_cases = correlation(rows.expected.mean(axis=1), rows.dice.mean(axis=1))
    yield (
        f"| {name} | {len(rows.cases)} | {dice.size} | {dice.mean():.3f} | {expected.mean():.3f} | {np.abs(expected - dice).mean():.3f} "
        f"| {correlation(expected, dice):.2f} | {within:.2f} | {of_cases:.2f} | {1 - below - above:.1%} | {below:.1%} | {above:.1%} "
        f"| {(rows.high - rows.low).mean():.2f} |"
    )


def correlation(a: Values, b: Values) -> float:
    """Spearman's; NaN where one of them is constant."""
    return float(spearmanr(a, b).statistic) if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="PRED")
    parser.add_argument("--phantom", type=Path)
    parser.add_argument("--run", type=Path)
    given = parser.parse_args()
    head = ("predictions", "cases", "values", "Dice", "expected", "error", "Spearman", "in classes", "of cases", "inside", "below", "above")
    print("| " + " | ".join((*head, "width")) + " |")
    print("|---" * (len(head) + 1) + "|")
    for name, rows in left_out(given.run) if given.run is not None else ():
        print(*lines(name, rows), sep="\n")
    for folder in given.folders:
        rows = read_rows(folder)
        parts = {"": rows}
        if given.phantom is not None:
            bent = bent_cases(given.phantom, rows.cases)
            parts |= {", straight wrists": rows.of(set(rows.cases) - bent), ", bent wrists": rows.of(bent)}
        for label, part in parts.items():
            for line in lines(f"{folder.name}{label}", part):
                print(line)


if __name__ == "__main__":
    main()
