"""A file STOP ends a fold as it stands: a checkpoint, a validation, a summary, and a record of it."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.io.interrupt import Interrupted
from autoseg.trainers.run import RunFolder
from tests.trainers.make import NAME

PLANNED = 20
COMMAND = ["train", "2d", "fold0", "--epochs", "4", "--iterations-per-epoch", "5"]
WORDS = "stopped early by a person at iteration {}"


def train(workspace: Path) -> None:
    cli.main([*COMMAND, "-w", str(workspace)], standalone_mode=False)


def run_of(workspace: Path) -> RunFolder:
    return RunFolder(path=workspace / "results" / NAME / "default" / "2d-default" / "fold0")


def last(workspace: Path) -> Checkpoint:
    return load_checkpoint(run_of(workspace).last)


def at_step(number: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Call `act` after the step of this number; gives the steps that were made."""
    steps: list[int] = []

    def step(self: Screen, *arguments: Any) -> None:
        steps.append(len(steps) + 1)
        if len(steps) == number:
            act()

    monkeypatch.setattr(Screen, "step", step)
    return steps


def check_stopped(workspace: Path, iteration: int) -> None:
    run, words = run_of(workspace), WORDS.format(iteration)
    assert not run.stop.exists()
    assert last(workspace).progress["iteration"] == iteration
    assert len(json.loads(run.summary.read_text(encoding="utf-8"))["cases"]) == 2
    assert json.loads((run.path / "run.json").read_text(encoding="utf-8"))["ended"] == words
    assert words in (run.path / "log.txt").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["iteration"] == iteration


def test_the_next_step_is_the_last(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    steps = at_step(8, lambda: run_of(workspace).stop.touch(), monkeypatch)
    train(workspace)
    assert len(steps) == 8
    check_stopped(workspace, 8)
    output = capsys.readouterr().out
    assert f"fold0: {WORDS.format(8)}" in output
    assert "fold0: done, validation Dice" in output
    assert "Next: autoseg predict" in output
    train(workspace)
    assert f"fold0: is done ({WORDS.format(8)})" in capsys.readouterr().out
    assert len(steps) == 8


def test_a_fold_that_was_interrupted_ends_without_a_step(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        at_step(3, lambda: signal.raise_signal(signal.SIGINT), patch)
        with pytest.raises(Interrupted):
            train(workspace)
    before = last(workspace)
    run_of(workspace).stop.touch()
    steps = at_step(0, list, monkeypatch)
    train(workspace)
    assert steps == []
    check_stopped(workspace, 3)
    assert all((last(workspace).weights[name] == value).all() for name, value in before.weights.items())


def test_what_breaks_off_the_end_is_made_up_for(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = at_step(8, lambda: run_of(workspace).stop.touch(), monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Screen, "validated", lambda self, fold, done, total: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Interrupted):
            train(workspace)
    assert not run_of(workspace).summary.exists()
    train(workspace)
    assert len(steps) == 8
    check_stopped(workspace, 8)


def test_before_anything_is_trained_it_is_removed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(workspace)
    run.path.mkdir(parents=True)
    run.stop.touch()
    train(workspace)
    assert "STOP was there before anything was trained; it is removed, and the fold is trained." in capsys.readouterr().out
    assert last(workspace).progress["iteration"] == PLANNED
    assert json.loads((run.path / "run.json").read_text(encoding="utf-8"))["ended"] == ""
    # One that comes late finds nothing to end, and is no trap for a later command.
    run.stop.touch()
    train(workspace)
    assert not run.stop.exists()
    assert "fold0: is done\n" in capsys.readouterr().out


def test_at_the_last_step_nothing_is_stopped_early(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_step(PLANNED, lambda: run_of(workspace).stop.touch(), monkeypatch)
    train(workspace)
    assert last(workspace).progress["ended"] == ""
    assert not run_of(workspace).stop.exists()
