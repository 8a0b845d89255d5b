"""--deterministic: equal bits twice, whatever reads the data, and a clear word where torch has no such kernel."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.errors import DeviceError, RunError
from autoseg.io.interrupt import Interrupted
from autoseg.nets import UNet
from autoseg.trainers import launch
from autoseg.trainers.determinism import CUBLAS_VARIABLE, reproducible
from tests.trainers.make import NAME

COMMAND = ["train", "2d", "fold0", "--epochs", "2", "--iterations-per-epoch", "4"]


class Measured(Exception):
    """A step would have been timed."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set here so that it is taken back afterwards.
    monkeypatch.setenv(CUBLAS_VARIABLE, "")
    monkeypatch.delenv(CUBLAS_VARIABLE)


def train(workspace: Path, *options: str) -> Checkpoint:
    cli.main([*COMMAND, *options, "-w", str(workspace)], standalone_mode=False)
    return load_checkpoint(folder(workspace) / "checkpoint_last.safetensors")


def folder(workspace: Path) -> Path:
    return workspace / "results" / NAME / "default" / "2d-default" / "fold0"


def read_by(workers: int, workspace: Path) -> Path:
    """The workspace, its plan with so many reading threads."""
    file = workspace / "preprocessed" / NAME / "plans" / "default.json"
    plan = json.loads(file.read_text(encoding="utf-8"))
    assert plan["budget"]["workers"] != workers
    plan["budget"]["workers"] = workers
    file.write_text(json.dumps(plan), encoding="utf-8")
    return workspace


def same(a: Checkpoint, b: Checkpoint) -> bool:
    pairs = ((a.weights, b.weights), (a.optimizer, b.optimizer))
    return all(x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in pairs)


def test_twice_the_same_with_any_number_of_readers(prepared: Path, tmp_path: Path) -> None:
    first, second, third = (Path(shutil.copytree(prepared, tmp_path / name)) for name in ("first", "second", "third"))
    bits = train(first, "--deterministic")
    assert same(bits, train(second, "--deterministic"))
    assert same(bits, train(read_by(0, third), "--deterministic"))
    assert not same(bits, train(first, "--deterministic", "--seed", "1", "--restart"))


def test_the_mode_holds_for_every_step_and_no_longer(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool, str | None]] = []

    def step(self: Screen, *arguments: Any) -> None:
        mode = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        seen.append((*mode, os.environ.get(CUBLAS_VARIABLE)))

    monkeypatch.setattr(Screen, "step", step)
    train(workspace, "--deterministic")
    assert seen == 8 * [(True, False, ":4096:8")]
    assert not torch.are_deterministic_algorithms_enabled()
    record = json.loads((folder(workspace) / "run.json").read_text(encoding="utf-8"))
    assert (record["options"]["deterministic"], record["threads"]) == (True, torch.get_num_threads())
    with pytest.raises(RunError, match="--deterministic: True -> False"):
        train(workspace)


@pytest.mark.parametrize(("options", "expected"), [(["--deterministic"], ":4096:8"), ([], None)])
def test_cublas_is_told_before_a_step_is_timed(
    options: list[str], expected: str | None, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch looks once in a process, when cuBLAS is first used: with --hours that may be here.
    seen: list[str | None] = []

    def measure(*arguments: Any, **settings: Any) -> float:
        seen.append(os.environ.get(CUBLAS_VARIABLE))
        raise Measured

    monkeypatch.setattr(launch, "measure_step", measure)
    with pytest.raises(Measured):
        cli.main(["train", "2d", "fold0", "--hours", "0.01", *options, "-w", str(workspace)], standalone_mode=False)
    assert seen == [expected]


def test_a_run_goes_on_with_the_threads_it_began_with(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = torch.get_num_threads(), list[int]()

    def step(self: Screen, *arguments: Any) -> None:
        seen.append(torch.get_num_threads())
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Screen, "step", step)
    try:
        torch.set_num_threads(3)
        with pytest.raises(Interrupted):
            train(workspace, "--deterministic")
        torch.set_num_threads(2)
        train(workspace, "--deterministic")
        assert seen == 8 * [3]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_operation_without_such_a_kernel_names_the_option(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = UNet.forward

    def scattered(net: UNet, x: Tensor) -> Any:
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
        return forward(net, x)

    monkeypatch.setattr(UNet, "forward", scattered)
    with pytest.raises(
        DeviceError, match=r"--deterministic: .*put_ does not have a deterministic .*another net, loss.*leave --deterministic out"
    ):
        train(workspace, "--deterministic")
    assert not torch.are_deterministic_algorithms_enabled()


def test_other_errors_come_through() -> None:
    with pytest.raises(RuntimeError, match="something else"), reproducible(wanted=True):
        raise RuntimeError("something else")
