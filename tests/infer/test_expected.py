"""confidence.csv beside predictions."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.evaluate.calibration import Made, _stamps
from autoseg.infer.certainty import certainty_of_bytes
from autoseg.infer.confidence import Calibration, Curve
from autoseg.infer.expected import TABLE, expected_piece, read_expected
from autoseg.io.json_files import save_json
from autoseg.io.probabilities import read_probabilities
from autoseg.predictor import Predictor
from tests.infer.plans import OVERLAPPING, images, plant_run, tiny_plan

#: Expected Dice is what the probabilities expect, and the interval 0.1 to either side.
PLAIN = Calibration(
    classes=OVERLAPPING.classes, cases=10, folds=2,
    curve=Curve(usual_largest=(1, 1), usual_shared=(0, 0), weights=(1, 0, 0, 0), knots=(0, 1), values=(0, 1), offsets=(0, 0)),
    scales=(1, 1), places=(0, 1), low=(-0.1, -0.1), high=(0.1, 0.1), absent=(0.25, 0.25),
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An untrained fold with a calibration."""
    run = plant_run(tmp_path / "results", tiny_plan(OVERLAPPING), "0")
    save_json(run / "confidence.json", Made(made_of=_stamps(run), calibration=PLAIN))
    return run


def test_a_row_per_case_and_class_as_its_probabilities_say(run: Path, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", *"ab"), tmp_path / "out"
    outcome = Predictor.load(run, device="cpu").predict_files(cases, out, formats=("masks", "probabilities"))
    assert outcome.failures == {}
    found = read_expected(out / TABLE)
    assert list(found) == ["a", "b"]
    for case, classes in found.items():
        assert tuple(classes) == OVERLAPPING.classes
        expected = PLAIN.expect(certainty_of_bytes(read_probabilities(out / f"{case}.prob"), exclusive=False))
        for k, row in enumerate(classes.values()):
            assert row == pytest.approx((expected.dice[k], expected.low[k], expected.high[k]), abs=2e-3)


def test_parts_and_a_second_run_keep_all_rows(run: Path, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", *"abc"), tmp_path / "out"
    predictor = Predictor.load(run, device="cpu")
    predictor.predict_files(cases, out, part=(1, 2))
    assert list(read_expected(out / TABLE)) == ["a", "c"]
    predictor.predict_files(cases, out, part=(2, 2))
    assert list(read_expected(out / TABLE)) == ["a", "b", "c"]
    before = (out / TABLE).read_bytes()
    assert predictor.predict_files(cases, out).skipped == ["a", "b", "c"]
    assert (out / TABLE).read_bytes() == before


def test_without_a_calibration_there_is_no_table(run: Path, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", "a"), tmp_path / "out"
    predictor = Predictor.load(run, device="cpu")
    predictor.predict_files(cases, out)
    assert expected_piece(out, cases[0]).is_file()
    (run / "confidence.json").unlink()
    predictor.predict_files(cases, out, overwrite=True)
    assert not expected_piece(out, cases[0]).exists()
    assert not (out / TABLE).exists()


def test_it_holds_for_the_nets_that_it_was_made_with(run: Path) -> None:
    assert Predictor.load(run, device="cpu").calibration == PLAIN
    # Without flips, too: measured to be right within two points (docs/evaluation.md), and said when it is used so.
    assert Predictor.load(run, device="cpu", tta=False).calibration == PLAIN
    # A fold that was trained since: the file is of others.
    save_json(run / "confidence.json", Made(made_of={"1": "x"}, calibration=replace(PLAIN, cases=11)))
    assert Predictor.load(run, device="cpu").calibration is None
