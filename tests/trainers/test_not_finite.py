"""A loss that is not finite changes nothing; ten in a row go back to the last checkpoint with half the rate."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.errors import RunError
from autoseg.io.interrupt import Interrupted
from autoseg.losses import DeepSupervision
from autoseg.recipe import OptimizerName
from autoseg.step import Learner, build_learner, training_step
from autoseg.trainers import fit, launch, readings
from autoseg.trainers.clock import Clock
from autoseg.trainers.fit import Fit
from autoseg.trainers.run import RunFolder
from tests import small
from tests.trainers.make import NAME

COMMAND = ["train", "2d", "fold0", "--epochs", "6", "--iterations-per-epoch", "5", "--lr", "0.02"]


def train(workspace: Path) -> None:
    cli.main([*COMMAND, "-w", str(workspace)], standalone_mode=False)


def capture(monkeypatch: pytest.MonkeyPatch) -> list[Fit]:
    """The trainings that are begun from here on."""
    begun: list[Fit] = []
    begin = Fit.__init__

    def noted(self: Fit, *arguments: Any) -> None:
        begin(self, *arguments)
        begun.append(self)

    monkeypatch.setattr(Fit, "__init__", noted)
    return begun


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
    words = "the loss of 10 steps in a row was not finite, up to iteration 19. The training goes on from iteration 8, the last good state,"
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
    words = r"the loss of 10 steps in a row was not finite, at iteration 11 again and with 1/32 of the rate\. Look for images"
    with pytest.raises(RunError, match=words):
        train(workspace)


def finite(workspace: Path) -> bool:
    return all(torch.isfinite(value).all() for value in last(workspace).weights.values())


def test_images_that_spoil_the_last_steps_do_not_undo_the_training(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, {28, 29, 30})
    train(workspace)
    progress = last(workspace).progress
    assert (progress["went_back"], progress["iteration"], progress["skipped_in_a_row"]) == (0, 30, 0)
    assert finite(workspace)
    log = (run_of(workspace).path / "log.txt").read_text(encoding="utf-8")
    assert "the losses of the last 3 steps were not finite; what was learned before stands" in log


def spoil_weights(monkeypatch: pytest.MonkeyPatch, begun: list[Fit], *, after: int) -> None:
    """After a step, counted from 1 over all that are made, the weights are finite and give no image a finite loss: an update went wrong."""
    steps = 0

    def step(self: Screen, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == after:
            with torch.no_grad():
                for parameter in begun[0].learner.net.parameters():
                    parameter.fill_(3e38)

    monkeypatch.setattr(Screen, "step", step)


@pytest.mark.parametrize(("saved", "iteration"), [("never", 0), ("before", 25), ("after", 0), ("after the best", 20)])
def test_weights_that_spoil_the_last_steps_are_given_up(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, saved: str, iteration: int
) -> None:
    # The checkpoint of the 27th iteration is written when nothing is known of its weights yet.
    due = {"never": (), "before": (25,), "after": (27,), "after the best": (27,)}[saved]
    monkeypatch.setattr(Fit, "_due_s", lambda self, epoch_ends: -1.0 if self.progress.iteration in due else 1e9)
    dices = iter([0.1, 0.2, 0.3, 0.4] if saved == "after the best" else [])
    monkeypatch.setattr(launch, "quick_dice", lambda *arguments: next(dices, None))
    filled: list[int] = []

    def noted(self: Fit, file: Path | None) -> None:
        self.watch = replace(self.watch, fill=lambda learner: filled.append(self.progress.iteration))  # --from
        begin(self, file)

    begin = Fit._begin_from
    monkeypatch.setattr(Fit, "_begin_from", noted)
    spoil_weights(monkeypatch, capture(monkeypatch), after=27)
    train(workspace)
    assert filled == ([] if iteration else [0])
    progress = last(workspace).progress
    assert (progress["went_back"], progress["lr_factor"], progress["iteration"]) == (1, 0.5, 30)
    assert finite(workspace)
    log = (run_of(workspace).path / "log.txt").read_text(encoding="utf-8")
    assert f"not finite, up to iteration 30. The training goes on from iteration {iteration}, the last good state" in log


def test_a_training_that_learned_nothing_does_not_end_well(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, set(range(1, 1000)))
    short = ["train", "2d", "fold0", "--epochs", "1", "--iterations-per-epoch", "4", "-w", str(workspace)]
    with pytest.raises(RunError, match="the losses of the last 4 steps were not finite, at iteration 4 again and with 1/32 of the rate"):
        cli.main(short, standalone_mode=False)


def test_where_no_time_is_left_the_last_checkpoint_stands(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fit, "_due_s", lambda self, epoch_ends: -1.0 if self.progress.iteration == 8 else 1e9)
    begun = capture(monkeypatch)
    spoil_weights(monkeypatch, begun, after=9)
    # The time is up after twelve steps.
    monkeypatch.setattr(Clock, "progress", lambda self, iteration: min(1.0, iteration / 12) if not begun[0].progress.went_back else 1.0)
    train(workspace)
    assert last(workspace).progress["iteration"] == 8
    assert run_of(workspace).summary.is_file()


@pytest.mark.parametrize("by", ["boundary", "watcher"])
def test_a_stop_among_them_keeps_the_last_good_state(workspace: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_EVERY_S", -1.0)
    begun, steps, said = capture(monkeypatch), 0, []

    def step(self: Screen, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 12:
            if by == "watcher":
                said.append(begun[0]._abandon())
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        spoil(patch, set(range(9, 14)))
        patch.setattr(Screen, "step", step)
        with pytest.raises(Interrupted, match=r"Stopped at iteration 8; .*fold0 holds it"):
            train(workspace)
    if by == "watcher":
        assert "Stopped while losses were not finite" in said[0]
        assert "fold0 keeps the state from before. The same command continues" in said[0]
    assert (last(workspace).progress["iteration"], last(workspace).progress["skipped_in_a_row"]) == (8, 0)
    train(workspace)
    assert last(workspace).progress["iteration"] == 30


def scaled(monkeypatch: pytest.MonkeyPatch, overflowing: set[int]) -> None:
    """Train as in fp16 on CUDA, with a scaler; the gradients of some steps, counted from 1, are not finite at any scale."""
    forward, num = DeepSupervision.forward, 0

    def built(*arguments: Any, **options: Any) -> Learner:
        learner = build_learner(*arguments, **options)
        learner.scaler = torch.amp.GradScaler("cpu")
        return learner

    def spoiled(self: DeepSupervision, *arguments: Any) -> torch.Tensor:
        nonlocal num
        loss = forward(self, *arguments)
        if type(loss) is torch.Tensor and loss.requires_grad:
            num += 1
            if num in overflowing:
                loss.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
        return loss

    monkeypatch.setattr("autoseg.trainers.state.build_learner", built)
    monkeypatch.setattr(DeepSupervision, "forward", spoiled)


def test_a_scaler_that_looks_for_its_scale_is_left_alone(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled(monkeypatch, set(range(1, 17)))
    train(workspace)
    progress = last(workspace).progress
    assert (progress["went_back"], progress["overflows_in_a_row"], progress["iteration"]) == (0, 0, 30)
    assert progress["scaler"]["scale"] == 1.0  # 2**16 halved 16 times
    assert not any("skipped" in row for row in metrics(workspace))


def test_gradients_that_no_scale_makes_finite_go_back(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readings, "BAD_SCALES", 20)
    scaled(monkeypatch, set(range(1, 21)))
    train(workspace)
    progress = last(workspace).progress
    assert (progress["went_back"], progress["lr_factor"], progress["iteration"]) == (1, 0.5, 30)
    assert progress["scaler"]["scale"] == 2.0**16
    words = "the gradients of 20 steps in a row were not finite in fp16, whatever the loss was scaled by, up to iteration 21."
    assert words in capsys.readouterr().out


def test_gradients_that_never_become_finite_end(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "BAD_SCALES", 12)
    scaled(monkeypatch, set(range(1, 1000)))
    with pytest.raises(RunError, match=r"of 12 steps in a row were not finite in fp16.*or in fp32 \(plan_and_preprocess --set CONFIG"):
        train(workspace)
