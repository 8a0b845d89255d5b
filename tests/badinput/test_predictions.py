"""Wrong images to predict, and places where predictions do not belong."""

import json
from pathlib import Path

import numpy as np

from tests.badinput.bad import (
    ENSEMBLE,
    check_refused,
    contents,
)
from tests.cli.conftest import Autoseg
from tests.io.make import write_picture


def test_a_corrupt_image_among_those_to_predict(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    good = sorted((workspace / "raw/HandBone/test").rglob("*.png"))[0].read_bytes()
    images.mkdir()
    for name, data in (("a good one", good), ("cut", good[:200]), ("empty", b""), ("text", b"hello")):
        (images / f"{name}.png").write_bytes(data)
    write_picture(images / "colour.png", np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8))
    before = contents(images)
    done = autoseg(*ENSEMBLE, "-i", images, "-o", out, "-w", workspace)
    assert done.code == 1
    for name, why in (("cut", "truncated"), ("empty", "is empty"), ("text", "no image"), ("colour", "has 3 colour channels")):
        assert f"Failed: {name}: {images / f'{name}.png'}: " in done.err
        assert why in done.err
    assert f"Predictions of 1 image in {out}, 4 failed" in done.out
    assert len(list((out / "a good one").iterdir())) == 29
    assert len((out / "submission.csv").read_text(encoding="utf-8").splitlines()) == 1 + 29
    assert contents(images) == before
    assert "1 image finished before" in autoseg(*ENSEMBLE, "-i", images, "-o", out, "-w", workspace).out


def test_a_folder_without_images(autoseg: Autoseg, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_refused(autoseg, trained, (*ENSEMBLE, "-i", tmp_path / "empty"), "empty: the folder holds no image (.png")


def test_predictions_never_land_among_other_files(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_picture(images / "x.png", np.zeros((20, 30), np.uint8))
    check_refused(autoseg, workspace, (*ENSEMBLE, "-i", images, "-o", images), "lies in the folder of the images to predict")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-i", images, "-o", images / "out"), "lies in the folder of the images to predict")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-o", workspace / "raw/HandBone"), "is not empty and holds no predictions")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-i", images / "x.png", "-o", images), "is not empty and holds no predictions")
    assert [path.name for path in images.iterdir()] == ["x.png"]


def test_what_an_ensemble_of_some_folds_says(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg(*ENSEMBLE, "-w", workspace)
    assert done.code == 0
    assert "2 of 5 folds" in done.out
    record = json.loads((workspace / "results/HandBone/predictions/ensemble/predict.json").read_text(encoding="utf-8"))
    assert record["ensemble"] == "2 of 5 folds"
    assert list(record["folds"]) == ["0", "1"]
    assert "\r" not in done.out + done.err
    assert "\x1b" not in done.out + done.err
