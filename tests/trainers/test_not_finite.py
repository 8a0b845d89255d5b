"""A loss that is not finite changes nothing; ten in a row go back to the last checkpoint with half the rate."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.errors import RunError
from autoseg.losses import DeepSupervision
from autoseg.recipe import OptimizerName
from autoseg.step import build_learner, training_step
from autoseg.trainers import fit
from autoseg.trainers.run import RunFolder
from tests import small
from tests.trainers.make import NAME

COMMAND = ["train", "2d", "fold0", "--epochs", "6", "--iterations-per-epoch", "5", "--lr", "0.02"]


def train(workspace: Path) -> None:
    cli.main([*COMMAND, "-w", str(workspace)], standalone_mode=False)


def run_of(workspace: Path) -> RunFolder:
    return RunFolder(path=workspace / "results" / NAME / "default" / "2d-default" / "fold0")


def last(workspace: Path) -> Checkpoint:
    return load_checkpoint(run_of(workspace).last)


def metrics(workspace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_of(workspace).path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def spoil(monkeypatch: pytest.MonkeyPatch, calls: set[int], value: float = float("nan")) -> None:
    """Let the loss of some steps, counted over all that are made from 1, be this value and its gradient with it."""
    forward, num = DeepSupervision.forward, 0

    def spoiled(self: DeepSupervision, *arguments: Any) -> torch.Tensor:
        nonlocal num
        loss = forward(self, *arguments)
        if type(loss) is not torch.Tensor:
            return loss  # a trace's
        num += 1
        return loss * value if num in calls else loss

    monkeypatch.setattr(DeepSupervision, "forward", spoiled)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "lion", "rmsprop"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_step_leaves_weights_and_states_alone(monkeypatch: pytest.MonkeyPatch, optimizer: OptimizerName, value: float) -> None:
    stage = small.with_recipe(small.stage(), optimizer=optimizer)
    learner = build_learner(stage, small.CPU, exclusive=False, precision="fp32")

    def state() -> dict[str, torch.Tensor]:
        states = {f"{i}.{name}": t for i, s in enumerate(learner.optimizer.state.values()) for name, t in s.items()}
        return {name: t.detach().clone() for name, t in (dict(learner.net.state_dict()) | states).items()}

    training_step(learner, [small.batch(seed=0)])
    before = state()
    with monkeypatch.context() as patch:
        spoil(patch, {1}, value)
        assert not torch.isfinite(training_step(learner, [small.batch(seed=1)]).loss)
    after = state()
    assert all(torch.equal(before[name], after[name]) for name in before)
    training_step(learner, [small.batch(seed=2)])
    assert any(not torch.equal(before[name], value) for name, value in state().items())


def test_single_ones_are_skipped_and_counted(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, {7, 8, 30})
    train(workspace)
    rows = metrics(workspace)
    assert [row.get("skipped", 0) for row in rows] == [0, 2, 0, 0, 0, 1]
    assert all(row["loss"] > 0 for row in rows)
    assert all(torch.isfinite(value).all() for value in last(workspace).weights.values())
    assert last(workspace).progress["lr_factor"] == 1.0
    log = (run_of(workspace).path / "log.txt").read_text(encoding="utf-8")
    assert "a step up to iteration 7 was skipped: its loss is not finite (nan)" in log


def test_ten_in_a_row_go_back_with_half_the_rate(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A checkpoint at every good iteration: the last one is of the eighth step.
    monkeypatch.setattr(fit, "CHECKPOINT_EVERY_S", -1.0)
    monkeypatch.setattr(fit, "CHECKPOINT_EPOCH_S", -1.0)
    spoil(monkeypatch, set(range(9, 19)))
    train(workspace)
    progress = last(workspace).progress
    assert (progress["went_back"], progress["lr_factor"], progress["iteration"]) == (1, 0.5, 30)
    words = "the loss of 10 steps in a row was not finite, up to iteration 19. The training goes on from iteration 9, the last checkpoint,"
    assert words in capsys.readouterr().out
    assert words in (run_of(workspace).path / "log.txt").read_text(encoding="utf-8")
    rows = metrics(workspace)
    assert [row["epoch"] for row in rows] == list(range(6))
    assert not any("skipped" in row for row in rows[2:])


def test_before_the_first_checkpoint_it_begins_anew(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, set(range(1, 11)))
    train(workspace)
    progress = last(workspace).progress
    assert (progress["went_back"], progress["lr_factor"], progress["iteration"]) == (1, 0.5, 30)


def test_what_never_becomes_finite_ends(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, set(range(1, 1000)))
    with pytest.raises(RunError, match=r"the loss is not finite, at iteration 11 again and with 1/32 of the rate\. Look for images"):
        train(workspace)
