"""export, and predict with what it wrote, on a machine with nothing else."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.bundle import onnx_folder
from autoseg.select.selection import save_selection
from tests.bundle.make import plant_cascade
from tests.cli.conftest import Autoseg
from tests.infer.plans import OVERLAPPING, plant_run, tiny_plan
from tests.select.make import plant_two, selection_of


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two trained folds, and three images elsewhere."""
    plant_run(tmp_path / "ws/results/Tiny", tiny_plan(OVERLAPPING), "0", "1")
    (tmp_path / "in").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (20, 24)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/h{k}.png")
    monkeypatch.chdir(tmp_path / "ws")
    return tmp_path


def test_a_model_as_one_file(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = autoseg("export", "-d", "Tiny", "-o", "../tiny.zip")
    assert exported.code == 0, exported.err
    assert "Exporting 2d-default, 2 of 5 folds" in exported.out
    assert "../tiny.zip: 2 nets, " in exported.out
    assert "Next: autoseg predict --model ../tiny.zip -i IMAGES -o OUT" in exported.out
    here = autoseg("predict", "-d", "Tiny", "--ensemble", "-i", "../in", "-o", "../here", "--device", "cpu")
    assert here.code == 0, here.err
    (workspace / "ws/results").rename(workspace / "gone")
    monkeypatch.chdir(workspace)
    there = autoseg("predict", "--model", "tiny.zip", "-i", "in", "-o", "there", "--device", "cpu")
    assert there.code == 0, there.err
    assert "Predicting 3 images with tiny.zip, on cpu" in there.out
    files = sorted(path.relative_to(workspace / "here") for path in (workspace / "here").rglob("*.png"))
    assert len(files) == 6
    assert all((workspace / "here" / file).read_bytes() == (workspace / "there" / file).read_bytes() for file in files)
    again = autoseg("predict", "--model", "tiny.zip", "-i", "in", "-o", "there", "--device", "cpu", "--ensemble")
    assert "3 images finished before" in again.out
    one = autoseg("predict", "--model", "tiny.zip", "-i", "in/h1.png", "-o", "one", "--folds", "fold1", "--device", "cpu")
    assert "Predicting 1 image with tiny.zip, fold 1, on cpu" in one.out
    wrong = autoseg("predict", "--model", "tiny.zip", "-i", "in", "-o", "two", "--folds", "fold0..2", "--device", "cpu")
    assert (wrong.code, "it holds 0, 1" in wrong.err) == (2, True)


def test_an_export_is_not_repeated_nor_lost(autoseg: Autoseg, workspace: Path) -> None:
    assert autoseg("export", "-d", "Tiny").code == 0
    before = Path("Tiny.zip").stat().st_mtime_ns
    again = autoseg("export", "-d", "Tiny")
    assert (again.code, "Tiny.zip holds these nets already" in again.out) == (0, True)
    other = autoseg("export", "-d", "Tiny", "--folds", "fold1")
    assert other.code == 2
    assert "Tiny.zip is there and holds something else" in other.err
    assert Path("Tiny.zip").stat().st_mtime_ns == before
    assert autoseg("export", "-d", "Tiny", "--folds", "fold1", "--overwrite").code == 0
    assert "holds these nets already" in autoseg("export", "-d", "Tiny", "--folds", "fold1").out


def test_a_cascade_predicts_from_its_file(autoseg: Autoseg, tmp_path: Path, workspace: Path) -> None:
    plant_cascade(tmp_path / "ws/results/Two", "0")
    assert autoseg("export", "-d", "Two").code == 0
    done = autoseg("predict", "--model", "Two.zip", "-i", "../in", "-o", "../out", "--device", "cpu")
    assert (done.code, "Predictions of 3 images" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "--model", "none.zip", "-i", "../in", "-o", "out"), "--model none.zip: there is no such file or folder"),
        (("predict", "--model", "results", "-o", "out"), "--model needs the images to predict: -i"),
        (("predict", "--model", "results", "-i", "../in"), "--model needs a folder to write to: -o"),
        (("predict", "--model", "results", "-i", "../in", "-o", "out", "--plan", "x"), "--plan chooses among the runs of a workspace"),
        (("predict", "--model", "../in/h0.png", "-i", "../in", "-o", "out"), "is no bundle, or was cut short"),
        (("predict", "--model", "results", "-i", "../in", "-o", "out", "--engine", "keras"), "'keras' is not one of 'torch', 'onnx'"),
        (("export", "-d", "Tiny", "-o", "model.pt"), "an exported model is a zip file; name it model.pt.zip"),
        (("export", "-d", "Tiny", "-o", "results/Tiny.zip", "--folds", "fold4"), "not finished"),
        (("export", "-d", "None"), "-d None: no such data set"),
        (("export", "-d", "Tiny", "--onnx", "-o", "../in/h0.png"), "is a file; --onnx writes a folder"),
        (("export", "-d", "Tiny", "--onnx", "-o", "../in"), "is not empty and holds no export"),
    ],
)
def test_mistakes_are_named(autoseg: Autoseg, workspace: Path, arguments: tuple[str, ...], message: str) -> None:
    done = autoseg(*arguments)
    assert (done.code, message in done.err) == (2, True), done.err
    assert not Path("out").exists()


def test_onnx_says_how_near_it_is(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_folder, "export_net", lambda *given: b"net")
    monkeypatch.setattr(onnx_folder, "check_export", lambda *given: 2e-6)
    done = autoseg("export", "-d", "Tiny", "--onnx", "--folds", "0")
    assert done.code == 0, done.err
    assert "onnx-fold0: 1 net, " in done.out
    assert "logits differ from torch's by 2e-06 of the largest at most" in done.out
    assert Path("results/Tiny/default/2d-default/onnx-fold0/2d/fold0.onnx").read_bytes() == b"net"


def test_what_was_selected_is_exported(autoseg: Autoseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = plant_two(tmp_path / "results/Tiny", OVERLAPPING)
    save_selection(results / "selection.json", selection_of(results, OVERLAPPING, "default/2d-default", "other/2d-default"))
    monkeypatch.chdir(tmp_path)
    first = autoseg("export", "-d", "Tiny")
    assert first.code == 0, first.err
    assert "Exporting soft vote of 2 members (selection.json)" in first.out
    assert "Tiny.zip: 3 nets" in first.out
    assert "holds these nets already" in autoseg("export", "-d", "Tiny").out
    one = autoseg("export", "-d", "Tiny", "--no-selection", "--plan", "other", "--overwrite")
    assert (one.code, "Tiny.zip: 1 net, " in one.out) == (0, True)
    assert "holds something else" in autoseg("export", "-d", "Tiny").err
