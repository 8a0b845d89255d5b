"""predict on several devices: a process for each, one folder of predictions."""

import multiprocessing
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.case import Case
from autoseg.cli import predict_nets
from autoseg.cli.predict_nets import Nets, sub_part
from autoseg.errors import DeviceError, UsageError
from autoseg.infer.files import choose_part
from autoseg.infer.folds import choose_folds
from autoseg.io.inputs import find_inputs
from autoseg.io.submission import read_submission
from tests.cli.conftest import Autoseg
from tests.infer.plans import OVERLAPPING, plant_run, tiny_plan

CPU = torch.device("cpu")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained fold; five images, one of them damaged."""
    plant_run(tmp_path / "results/Tiny", tiny_plan(OVERLAPPING), "0")
    (tmp_path / "in").mkdir()
    for k in range(5):
        Image.fromarray(np.random.default_rng(k).integers(0, 255, (20, 24)).astype(np.uint8)).save(tmp_path / f"in/h{k}.png")
    (tmp_path / "in/h3.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_images_are_shared_out(autoseg: Autoseg, workspace: Path) -> None:
    command = ("predict", "-d", "Tiny", "--ensemble", "-i", "in", "--format", "masks,rle")
    one = autoseg(*command, "-o", "one", "--device", "cpu")
    two = autoseg(*command, "-o", "two", "--device", "cpu,cpu")
    assert (one.code, two.code) == (1, 1)
    assert "on cpu, cpu" in two.out
    assert "Predictions of 4 images in two, 1 failed" in two.out
    assert "Failed: h3: in/h3.png: holds 8 bytes that are no image" in two.err
    names = {str(path.relative_to("one")) for path in Path("one").rglob("*")}
    assert {str(path.relative_to("two")) for path in Path("two").rglob("*")} == names
    assert all((Path("two") / name).read_bytes() == (Path("one") / name).read_bytes() for name in names if name.endswith((".png", ".csv")))
    assert len(read_submission(Path("two/submission.csv"))) == 8
    Path("in/h3.png").unlink()
    again = autoseg(*command, "-o", "two", "--device", "cpu")
    assert (again.code, "4 images finished before" in again.out) == (0, True)


def test_parts_of_a_part_are_the_part() -> None:
    workspace_cases = [find_case(k) for k in range(23)]
    for part in ((1, 1), (2, 5), (5, 5)):
        whole = {case.name for case in choose_part(workspace_cases, part)}
        pieces = [{case.name for case in choose_part(workspace_cases, sub_part(part, place, 3))} for place in range(3)]
        assert set.union(*pieces) == whole
        assert sum(map(len, pieces)) == len(whole)


def find_case(k: int) -> Case:
    return Case(name=f"c{k:02d}", images=())


def nets(workspace: Path) -> Nets:
    return Nets(place=choose_folds(workspace / "results/Tiny/default/2d-default", ensemble=True))


def test_one_image_needs_one_device(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_nets, "_SideBySide", None)  # would be a process each
    cases = find_inputs(workspace / "in/h1.png")
    outcome = nets(workspace).predict_files([CPU, CPU], cases, workspace / "out", part=None, progress=lambda done, total: None)
    assert outcome.done == ["h1"]


def test_devices_of_different_kinds_do_not_mix(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {0: (7, 0), 1: (8, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: kinds[device.index])
    cases = find_inputs(workspace / "in/h1.png") * 2
    with pytest.raises(UsageError, match="different precisions"):
        nets(workspace).predict_files(
            [torch.device("cuda", 0), torch.device("cuda", 1)], cases, workspace / "out", part=None, progress=lambda done, total: None
        )


class Broken:
    """Nets whose loading fails."""

    def __init__(self, words: str) -> None:
        self.words = words

    def load(self, device: torch.device) -> None:
        raise RuntimeError(self.words)


def work(words: str) -> predict_nets._Message:
    """What a process tells whose nets fail with these words."""
    here, there = multiprocessing.Pipe(duplex=False)
    predict_nets._work(cast(Nets, Broken(words)), CPU, None, [], Path(), {}, there)
    message = here.recv()
    assert isinstance(message, predict_nets._Message)
    return message


def test_a_process_without_memory_says_so() -> None:
    error = work("CUDA driver error: out of memory\nmore").error
    assert isinstance(error, DeviceError)
    assert str(error) == "cpu ran out of memory (CUDA driver error: out of memory)"
    with pytest.raises(RuntimeError, match="an illegal memory access"):
        work("CUDA error: an illegal memory access was encountered")


@pytest.mark.slow
def test_a_process_that_dies_is_reported_and_a_wrong_model_is_an_error(workspace: Path) -> None:
    cases = [*find_inputs(workspace / "in/h1.png"), *find_inputs(workspace / "in/h2.png")]

    def predict(given: Nets) -> object:
        return given.predict_files([CPU, CPU], cases, workspace / "out", part=None, progress=lambda done, total: None)

    broken = workspace / "broken.zip"
    broken.write_bytes(b"PK")
    with pytest.raises(Exception, match=r"broken\.zip is no bundle, or was cut short"):
        predict(Nets(place=broken))


@pytest.mark.slow
def test_what_a_killed_process_leaves_is_said(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(predict_nets._SideBySide):
        def _start(self, place: int, device: torch.device) -> predict_nets._Worker:
            worker = super()._start(place, device)
            if place:
                worker.process.kill()
            return worker

    monkeypatch.setattr(predict_nets, "_SideBySide", Killed)
    cases = [*find_inputs(workspace / "in/h1.png"), *find_inputs(workspace / "in/h2.png")]
    outcome = nets(workspace).predict_files([CPU, CPU], cases, workspace / "out", part=None, progress=lambda done, total: None)
    assert outcome.done == ["h1"]
    assert list(outcome.failures) == ["on cpu"]
    assert "was killed by SIGKILL" in outcome.failures["on cpu"]
    assert "the same command predicts the images that it left" in outcome.failures["on cpu"]
    monkeypatch.undo()
    outcome = nets(workspace).predict_files([CPU], cases, workspace / "out", part=None, progress=lambda done, total: None)
    assert (outcome.skipped, outcome.done) == (["h1"], ["h2"])
