"""--patience: a fold ends when the smoothed validation Dice has stayed below its best for so many epochs, resumed or not."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from autoseg.checkpoint import load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.errors import UsageError
from autoseg.io.interrupt import Interrupted
from autoseg.trainers import launch
from autoseg.trainers.options import TrainOptions
from autoseg.trainers.patience import epochs_without_gain
from autoseg.trainers.run import RunFolder
from tests.trainers.make import NAME

COMMAND = ["train", "2d", "fold0", "--epochs", "12", "--iterations-per-epoch", "2", "--patience", "3"]
#: Smoothed by 0.9: 0.2, 0.21, 0.219, then below 0.219 for three epochs.
CURVE = [0.2, 0.3, 0.3, 0.2, 0.1, 0.2]


@pytest.mark.parametrize(
    ("dices", "waited"),
    [
        ([], 0),
        ([0.0, 0.0, 0.0], 0),
        ([0.5], 0),
        ([0.0, 0.5, 0.5, 0.5], 2),
        ([0.5, 0.6, 0.5], 1),  # 0.5, 0.51, 0.509
        ([0.5, 0.6, 0.52], 0),  # 0.5, 0.51, 0.511: lower than the one before, and yet a gain
        (CURVE, 3),
    ],
)
def test_epochs_are_counted_from_the_best_smoothed_value(dices: list[float], waited: int) -> None:
    assert epochs_without_gain(dices) == waited


def run_of(workspace: Path) -> RunFolder:
    return RunFolder(path=workspace / "results" / NAME / "default" / "2d-default" / "fold0")


def train(workspace: Path, *options: str) -> None:
    cli.main([*COMMAND, *options, "-w", str(workspace)], standalone_mode=False)


def scripted(monkeypatch: pytest.MonkeyPatch, dices: list[float]) -> None:
    """The Dice of each epoch as given; 0.9 afterwards."""
    left = iter(dices)
    monkeypatch.setattr(launch, "quick_dice", lambda exam, net, cases: next(left, 0.9))


def check_ended(workspace: Path) -> None:
    run = run_of(workspace)
    progress = load_checkpoint(run.last).progress
    assert (progress["iteration"], progress["dices"]) == (12, CURVE)
    ended = "ended early at iteration 12: no better smoothed validation Dice in 3 epochs (--patience)"
    assert json.loads((run.path / "run.json").read_text(encoding="utf-8"))["ended"] == ended
    assert run.summary.is_file()


def test_a_fold_ends_when_patience_does(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, CURVE)
    train(workspace)
    check_ended(workspace)


def test_a_continued_run_remembers_how_long_it_has_waited(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, CURVE)
    steps = 0

    def step(self: Screen, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps in (9, 11):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Screen, "step", step)
    for _ in range(2):
        with pytest.raises(Interrupted):
            train(workspace)
    train(workspace)
    check_ended(workspace)


def test_without_patience_nothing_ends(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5] + 11 * [0.1])
    cli.main([*COMMAND[:-2], "-w", str(workspace)], standalone_mode=False)
    assert load_checkpoint(run_of(workspace).last).progress["iteration"] == 24


def test_the_end_of_the_schedule_is_no_early_end(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, CURVE)
    train(workspace, "--epochs", "6")
    assert load_checkpoint(run_of(workspace).last).progress["ended"] == ""


def test_fold_all_has_nothing_to_go_by(workspace: Path) -> None:
    with pytest.raises(UsageError, match="fold all validates no case: leave it out"):
        cli.main(["train", "2d", "all", "--epochs", "1", "--patience", "3", "-w", str(workspace)], standalone_mode=False)


def test_patience_is_at_least_one_epoch() -> None:
    with pytest.raises(UsageError, match="--patience must be at least 1, got 0"):
        TrainOptions(patience=0)
