"""What predict says of the Dice to expect."""

from pathlib import Path

import pytest

from autoseg.infer.expected import read_expected
from tests.cli.conftest import Autoseg
from tests.evaluate.runs import CLASSES, stored_run
from tests.io.make import RAMP, write_picture


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("x", "y"):
        write_picture(tmp_path / "new" / f"{name}.png", RAMP)
    return tmp_path / "new"


def predict(autoseg: Autoseg, root: Path, images: Path, *options: object) -> str:
    done = autoseg("predict", "--ensemble", "-d", "Two", "-w", root, "-i", images, "-o", root / "out", "--device", "cpu", *options)
    assert done.code == 0, done.err
    return done.out


def test_the_calibration_is_made_and_the_dice_said(tmp_path: Path, images: Path, autoseg: Autoseg) -> None:
    run = stored_run(tmp_path, cases=12)
    out = predict(autoseg, tmp_path, images)
    assert (run / "confidence.json").is_file()
    found = read_expected(tmp_path / "out/confidence.csv")
    assert {case: tuple(classes) for case, classes in found.items()} == {"x": CLASSES, "y": CLASSES}
    mean = sum(dice for dice, _, _ in found["x"].values()) / 2
    assert f"Expected Dice: mean {mean:.2f}; lowest x {mean:.2f}, y {mean:.2f}" in out  # one picture twice


def test_why_there_is_none(tmp_path: Path, images: Path, autoseg: Autoseg) -> None:
    run = stored_run(tmp_path, cases=12)
    assert "No expected Dice: it is calibrated with flipped images" in predict(autoseg, tmp_path, images, "--no-tta")
    for path in run.glob("fold*/validation/probabilities/*"):
        path.unlink()
    out = predict(autoseg, tmp_path, images, "--overwrite")
    assert "No expected Dice: " in out
    assert "holds no probabilities" in out
    assert not (tmp_path / "out/confidence.csv").exists()


def test_two_cases_are_too_few(tmp_path: Path, images: Path, autoseg: Autoseg) -> None:
    stored_run(tmp_path, cases=2)
    assert "it needs at least two finished folds with ten predictions" in predict(autoseg, tmp_path, images)
