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
    for path in run.glob("fold*/validation/probabilities/*"):
        path.unlink()
    out = predict(autoseg, tmp_path, images, "--overwrite")
    assert "No expected Dice: " in out
    assert "holds no probabilities" in out
    assert not (tmp_path / "out/confidence.csv").exists()


def test_without_flips_it_is_said_that_they_made_the_calibration(tmp_path: Path, images: Path, autoseg: Autoseg) -> None:
    stored_run(tmp_path, cases=12)
    out = predict(autoseg, tmp_path, images, "--no-tta")
    assert "The expected Dice is calibrated with flipped images" in out
    assert "Expected Dice: mean" in out
    assert set(read_expected(tmp_path / "out/confidence.csv")) == {"x", "y"}
    assert "flipped" not in predict(autoseg, tmp_path, images, "--overwrite")


def test_an_exported_model_brings_its_calibration(tmp_path: Path, images: Path, autoseg: Autoseg) -> None:
    run = stored_run(tmp_path, cases=12)
    assert autoseg("export", "-d", "Two", "-w", tmp_path, "-o", tmp_path / "two.zip").code == 0
    options = ("predict", "-i", images, "--device", "cpu", "--model")
    there = autoseg(*options, tmp_path / "two.zip", "-o", tmp_path / "there")
    assert there.code == 0, there.err
    predict(autoseg, tmp_path, images)
    here, brought = ((tmp_path / folder / "confidence.csv").read_text(encoding="utf-8") for folder in ("out", "there"))
    assert here == brought
    (run / "confidence.json").unlink()
    for path in run.glob("fold*/validation/probabilities/*"):
        path.unlink()
    assert "No expected Dice" in autoseg("export", "-d", "Two", "-w", tmp_path, "-o", tmp_path / "bare.zip").out
    bare = autoseg(*options, tmp_path / "bare.zip", "-o", tmp_path / "bare")
    assert f"No expected Dice: {tmp_path / 'bare.zip'} holds no calibration" in bare.out


def test_two_cases_are_too_few(tmp_path: Path, images: Path, autoseg: Autoseg) -> None:
    stored_run(tmp_path, cases=2)
    assert "it needs at least two finished folds, and ten predictions in all that are not empty" in predict(autoseg, tmp_path, images)
