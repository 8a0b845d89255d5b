"""A step that runs out of memory is made again in parts: said, recorded, and continued with."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.augment import make_batch
from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.io.interrupt import Interrupted
from autoseg.nets import UNet
from autoseg.trainers import fit
from autoseg.trainers.shortage import STEPS_OF_GRACE, Shortage
from tests.trainers.make import NAME

BATCH = 3
COMMAND = ["train", "2d", "fold0", "--epochs", "2", "--iterations-per-epoch", "3", "--batch", str(BATCH)]
SPLIT = "memory ran out at iteration"

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)

Forward = Callable[[UNet, Tensor], Any]


def train(workspace: Path) -> None:
    cli.main([*COMMAND, "-w", str(workspace)], standalone_mode=False)


def folder(workspace: Path) -> Path:
    return workspace / "results" / NAME / "default" / "2d-default" / "fold0"


def last(workspace: Path) -> Checkpoint:
    return load_checkpoint(folder(workspace) / "checkpoint_last.safetensors")


def room_for(limit: int, monkeypatch: pytest.MonkeyPatch, error: RuntimeError = CUDA, *, after: int = 0) -> list[int]:
    """Training passes of more than `limit` samples fail from the `after`-th pass on; gives the sizes of all passes."""
    sizes: list[int] = []
    forward: Forward = UNet.forward

    def limited(net: UNet, x: Tensor) -> Any:
        if net.training and type(x) is Tensor:  # the trace of --batch is on tensors of another type
            sizes.append(len(x))
            if len(x) > limit and len(sizes) > after:
                raise error
        return forward(net, x)

    monkeypatch.setattr(UNet, "forward", limited)
    return sizes


@pytest.mark.parametrize("error", [CUDA, CPU])
def test_the_step_is_made_in_parts(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: RuntimeError
) -> None:
    sizes = room_for(2, monkeypatch, error, after=2)
    train(workspace)
    # Two whole steps; the third fails, fails again, and is made again as 2 + 1, and so are all after it.
    assert sizes == [3, 3, 3, 3, *[2, 1] * 4]
    out = capsys.readouterr().out
    assert out.count(SPLIT) == 1
    assert f"fold0: {SPLIT} 2 with 3 samples at a time again. From here on a step takes its 3 samples 2 at a time" in out
    log = (folder(workspace) / "log.txt").read_text(encoding="utf-8")
    assert log.count(SPLIT) == 2
    assert f"{SPLIT} 2 with 3 samples at a time. What the step held is given back, and it is made again." in log
    assert last(workspace).progress["micro_batch"] == 2
    rows = [json.loads(line) for line in (folder(workspace) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row.get("micro_batch") for row in rows] == [2, 2]
    # A step that failed is none.
    steps = {float(value) for name, value in last(workspace).optimizer.items() if name.endswith(".step")}
    assert steps == {6.0}
    assert last(workspace).progress["iteration"] == 6


def test_it_is_halved_until_it_fits(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = room_for(1, monkeypatch)
    train(workspace)
    assert sizes == [3, 3, 2, 2, *[1, 1, 1] * 6]
    assert capsys.readouterr().out.count(SPLIT) == 2
    assert last(workspace).progress["micro_batch"] == 1


def short_in(calls: set[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Training passes with these numbers, counted from 0, fail whatever their size; gives the sizes of all passes."""
    sizes: list[int] = []
    forward: Forward = UNet.forward

    def short(net: UNet, x: Tensor) -> Any:
        if net.training and type(x) is Tensor:
            sizes.append(len(x))
            if len(sizes) - 1 in calls:
                raise CUDA
        return forward(net, x)

    monkeypatch.setattr(UNet, "forward", short)
    return sizes


def test_a_step_that_fails_once_keeps_its_size(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = short_in({2}, monkeypatch)
    train(workspace)
    assert sizes == [3] * 7
    assert SPLIT not in capsys.readouterr().out
    assert (folder(workspace) / "log.txt").read_text(encoding="utf-8").count(SPLIT) == 1
    assert last(workspace).progress["micro_batch"] is None
    assert not any("micro_batch" in line for line in (folder(workspace) / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert last(workspace).progress["iteration"] == 6


def test_one_that_fails_again_soon_does_not(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = short_in({1, 4}, monkeypatch)
    train(workspace)
    # The second step fails and is made again; the fourth fails, and is made again in parts.
    assert sizes == [3, 3, 3, 3, 3, *[2, 1] * 3]


def test_what_was_long_ago_is_forgotten_and_smaller_parts_are_given_their_own_second_chance() -> None:
    short = Shortage()
    sizes = [short.after(iteration, 4, 5)[0] for iteration in (7, 7 + STEPS_OF_GRACE, 8 + STEPS_OF_GRACE, 9 + STEPS_OF_GRACE)]
    assert sizes == [4, 4, 2, 4]
    # A training that went back to its last checkpoint begins anew.
    assert short.is_new(3)
    assert not short.is_new(10 + STEPS_OF_GRACE)


def test_a_single_sample_too_large_is_an_error_and_what_is_saved_stays(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_EVERY_S", -1.0)
    sizes = room_for(0, monkeypatch, after=2)
    with pytest.raises(torch.OutOfMemoryError):
        train(workspace)
    assert sizes == [3, 3, 3, 3, 2, 2, 1, 1]
    assert last(workspace).progress["iteration"] == 2


def test_other_errors_are_not_taken_for_it(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = room_for(0, monkeypatch, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        train(workspace)
    assert sizes == [3]


def stop_after(iteration: int, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def step(self: Screen, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == iteration:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Screen, "step", step)
        with pytest.raises(Interrupted):
            train(workspace)


def test_a_continued_run_starts_with_it(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = room_for(2, monkeypatch)
    stop_after(2, workspace, monkeypatch)
    assert sizes == [3, 3, 2, 1, 2, 1]
    sizes.clear()
    capsys.readouterr()
    train(workspace)
    assert sizes == [2, 1] * 4
    assert SPLIT not in capsys.readouterr().out


def test_the_images_are_the_same_bit_for_bit(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def noted(raw: Any, patch: Any, **options: Any) -> Any:
        batch = make_batch(raw, patch, **options)
        seen.append(batch.images.clone())
        return batch

    monkeypatch.setattr("autoseg.trainers.fit.make_batch", noted)
    room_for(2, monkeypatch, after=1)
    train(workspace)
    # The second iteration was made three times.
    assert len(seen) == 8
    assert torch.equal(seen[1], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])
