"""The three commands on a tiny phantom, as a user types them."""

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Autoseg


def files_below(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_three_commands_on_a_phantom(autoseg: Autoseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = autoseg("demo", "make", "--people", 5, "--size", 64, "--workers", 1)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "Next: autoseg check"
    assert autoseg("check", "--workers", 1).out.splitlines()[-1] == "Next: autoseg plan_and_preprocess"
    plan = ["plan_and_preprocess", "-d", "HandBone", "--gpu", "cpu", "--workers", 1]
    done = autoseg(*plan)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "Data set HandBone"
    assert "Next: autoseg train 2d fold0..4" in done.out
    before = files_below(tmp_path / "preprocessed" / "HandBone")
    done = autoseg(*plan)
    assert done.code == 0
    assert files_below(tmp_path / "preprocessed" / "HandBone") == before  # a second run does nothing
    train = ["train", "2d", "fold0..1", "--epochs", 1, "--iterations-per-epoch", 2]
    done = autoseg(*train)
    assert done.code == 0, done.err
    assert "Data set HandBone (the only one in" in done.out
    fold = tmp_path / "results" / "HandBone" / "default" / "2d-default" / "fold1"
    assert {path.name for path in fold.iterdir()} >= {
        "checkpoint_last.safetensors",
        "metrics.jsonl",
        "summary.json",
        "run.json",
        "validation",
    }
    summary = json.loads((fold / "summary.json").read_text(encoding="utf-8"))
    assert len(summary["classes"]) == 29
    assert len(summary["cases"]) == 2  # a person's two hands
    report = tmp_path / "results" / "HandBone" / "report.html"
    assert f"Report: {report.relative_to(tmp_path)}" in done.out
    assert 'id="scores"' in report.read_text(encoding="utf-8")
    assert "is done" in autoseg(*train).out
    done = autoseg("predict", "--ensemble", "--device", "cpu")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "Next: autoseg demo score"
    out = tmp_path / "results" / "HandBone" / "predictions" / "ensemble"
    cases = [path for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert cases
    assert "the predictions in ensemble" in report.read_text(encoding="utf-8")
    assert all(len(list(case.glob("*.png"))) == 29 for case in cases)
    rows = list(csv.DictReader((out / "submission.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 29 * len(cases)
    assert autoseg("predict", "--device", "cpu").code == 2  # two folds, and neither --ensemble nor --folds
    done = autoseg("demo", "score")
    assert done.code == 0, done.err
    assert "mean mask" in done.out


def test_a_prediction_that_fails_for_an_image_exits_with_1(autoseg: Autoseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.trainers.make import plan_and_prepare

    monkeypatch.chdir(tmp_path)
    plan_and_prepare(tmp_path)
    assert autoseg("train", "2d", "0", "--epochs", 1, "--iterations-per-epoch", 1).code == 0
    images = tmp_path / "images"
    images.mkdir()
    good = (tmp_path / "raw" / "Blobs" / "imagesTs" / "new.png").read_bytes()
    (images / "good.png").write_bytes(good)
    (images / "bad.png").write_bytes(good[:60])
    (images / "notes.txt").touch()
    done = autoseg("predict", "-i", images, "-o", tmp_path / "out", "--device", "cpu")
    assert done.code == 1, done
    assert "Failed: bad" in done.err
    assert "1 file that is no image is passed over: notes.txt" in done.out
    assert (tmp_path / "out" / "good").is_dir()


def test_training_knows_the_groups_of_the_splits(autoseg: Autoseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set declares none: what was split by --group-regex or in blocks is what intervals are drawn over."""
    from tests.trainers.make import plan_and_prepare

    monkeypatch.chdir(tmp_path)
    plan_and_prepare(tmp_path)
    file = tmp_path / "preprocessed" / "Blobs" / "splits.json"
    splits = json.loads(file.read_text(encoding="utf-8"))
    splits |= {"rule": "groups", "groups": [fold["val"] for fold in splits["folds"]]}
    file.write_text(json.dumps(splits), encoding="utf-8")
    done = autoseg("train", "2d", "0", "--epochs", 1, "--iterations-per-epoch", 1)
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "results/Blobs/default/2d-default/fold0/summary.json").read_text(encoding="utf-8"))
    assert summary["drawn"] == "groups"
    assert set(summary["groups"]) == set(splits["folds"][0]["val"])
