"""A training that was stopped, or killed, in the middle of an epoch ends in the same weights, bit for bit."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.io.interrupt import Interrupted
from autoseg.trainers import fit
from tests.trainers.make import NAME

EPOCHS, PER_EPOCH = 4, 5
COMMAND = ["train", "2d", "fold0", "--epochs", str(EPOCHS), "--iterations-per-epoch", str(PER_EPOCH), "--lr", "0.02"]
#: Everything in a checkpoint's progress that a clock decides.
CLOCKED = {"used_s", "step_s_sum", "wait_s_sum"}

# A checkpoint after every iteration; killed in the middle of one, before its checkpoint.
KILLER = """
import os, signal, sys
from autoseg.cli import main
from autoseg.cli.screen import Screen
from autoseg.trainers import fit
at = int(sys.argv.pop(1))
fit.CHECKPOINT_EVERY_S = fit.CHECKPOINT_EPOCH_S = -1.0
steps = 0
def step(self, *arguments):
    global steps
    steps += 1
    if steps == at:
        os.kill(os.getpid(), signal.SIGKILL)
Screen.step = step
main()
"""


def train(workspace: Path) -> None:
    cli.main([*COMMAND, "-w", str(workspace)], standalone_mode=False)


def fold_folder(workspace: Path) -> Path:
    return workspace / "results" / NAME / "default" / "2d-default" / "fold0"


def last(workspace: Path) -> Checkpoint:
    return load_checkpoint(fold_folder(workspace) / "checkpoint_last.safetensors")


def metrics(workspace: Path) -> list[dict[str, Any]]:
    lines = (fold_folder(workspace) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in ("step_s", "data_wait_s")} for line in lines]


def kill_at(workspace: Path, iteration: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(iteration), *COMMAND, "-w", str(workspace)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def interrupt_at(workspace: Path, iteration: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def step(self: Screen, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == iteration:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Screen, "step", step)
        with pytest.raises(Interrupted, match=rf"Stopped at iteration {iteration}; .*fold0 holds it. The same command continues") as caught:
            train(workspace)
    assert caught.value.exit_code == 130


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("undisturbed") / "w"
    shutil.copytree(prepared, workspace)
    train(workspace)
    return workspace


def check_equal(a: Checkpoint, b: Checkpoint) -> None:
    assert a.plan == b.plan
    for ours, theirs in ((a.weights, b.weights), (a.optimizer, b.optimizer)):
        assert ours.keys() == theirs.keys()
        different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
        assert not different
    assert {k: v for k, v in a.progress.items() if k not in CLOCKED} == {k: v for k, v in b.progress.items() if k not in CLOCKED}


def check_same_run(a: Path, b: Path) -> None:
    check_equal(last(a), last(b))
    assert metrics(a) == metrics(b)
    best = [load_checkpoint(fold_folder(w) / "checkpoint_best.safetensors") for w in (a, b)]
    check_equal(*best)
    summaries = [(fold_folder(w) / "summary.json").read_text(encoding="utf-8") for w in (a, b)]
    assert summaries[0] == summaries[1]


def test_the_undisturbed_run_is_what_it_should_be(undisturbed: Path) -> None:
    checkpoint = last(undisturbed)
    stage = checkpoint.settings
    assert (stage.iterations, stage.iterations_per_epoch) == (EPOCHS * PER_EPOCH, PER_EPOCH)
    assert stage.recipe.optimizer == "adamw"
    assert stage.recipe.augmentation.rotation_p > 0
    assert stage.rotation_degrees > 0
    assert checkpoint.plan.budget.workers == 2
    assert checkpoint.progress["iteration"] == EPOCHS * PER_EPOCH
    rows = metrics(undisturbed)
    assert [row["epoch"] for row in rows] == list(range(EPOCHS))
    assert [row["iteration"] for row in rows] == [PER_EPOCH * (k + 1) for k in range(EPOCHS)]
    assert rows[-1]["loss"] < rows[0]["loss"]
    summary = json.loads((fold_folder(undisturbed) / "summary.json").read_text(encoding="utf-8"))
    assert summary["classes"].keys() == {"big one", "small/one"}
    assert len(summary["cases"]) == 2


def test_after_ctrl_c_in_the_middle_of_an_epoch(undisturbed: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(workspace, 8, monkeypatch)
    stopped = last(workspace)
    assert (stopped.progress["iteration"], stopped.progress["steps_in_epoch"]) == (8, 3)
    assert not (fold_folder(workspace) / "summary.json").exists()
    train(workspace)
    check_same_run(undisturbed, workspace)


def test_after_many_interruptions(undisturbed: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # At the first step, at an epoch's end, and at the very end, each counted from the start of its process.
    for total, steps in ((1, 1), (5, 4), (13, 8), (20, 7)):
        with monkeypatch.context() as patch:
            count = 0

            def step(self: Screen, *arguments: Any, at: int = steps) -> None:
                nonlocal count
                count += 1
                if count == at:
                    signal.raise_signal(signal.SIGINT)

            patch.setattr(Screen, "step", step)
            with pytest.raises(Interrupted, match=f"Stopped at iteration {total};"):
                train(workspace)
        assert last(workspace).progress["iteration"] == total
    train(workspace)
    check_same_run(undisturbed, workspace)


def test_the_dice_curve_keeps_its_points(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # More epochs than points of the curve: epochs 1 and 2 are measured and epoch 3, in which it stops, is not.
    monkeypatch.setattr("tests.trainers.test_resume.COMMAND", [*COMMAND, "--epochs", "15", "--iterations-per-epoch", "2"])
    undisturbed, stopped = (Path(shutil.copytree(prepared, tmp_path / name)) for name in ("undisturbed", "stopped"))
    train(undisturbed)
    assert ["val_dice" in row for row in metrics(undisturbed)][:4] == [False, True, True, False]
    interrupt_at(stopped, 7, monkeypatch)
    train(stopped)
    check_same_run(undisturbed, stopped)


def test_after_a_kill_in_the_middle_of_an_epoch(undisturbed: Path, workspace: Path) -> None:
    kill_at(workspace, 9)
    # Written beside the training: one may be half done, and one more wait for it.
    assert 6 <= last(workspace).progress["iteration"] <= 8
    train(workspace)
    check_same_run(undisturbed, workspace)


def test_after_a_kill_before_the_first_checkpoint(undisturbed: Path, workspace: Path) -> None:
    kill_at(workspace, 1)
    assert not (fold_folder(workspace) / "checkpoint_last.safetensors").exists()
    train(workspace)
    check_same_run(undisturbed, workspace)


def test_checkpoints_on_the_way_change_nothing(undisturbed: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_EVERY_S", -1.0)
    train(workspace)
    check_same_run(undisturbed, workspace)


def test_a_finished_fold_is_left_as_it_is(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {path: path.stat().st_mtime_ns for path in fold_folder(undisturbed).rglob("*") if path.name != "run.json"}
    train(undisturbed)
    assert "fold0: is done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_restart_begins_anew_and_comes_to_the_same(undisturbed: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(workspace, 8, monkeypatch)
    stray = fold_folder(workspace) / "validation" / "stray.txt"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("")
    cli.main([*COMMAND, "--restart", "-w", str(workspace)], standalone_mode=False)
    assert not stray.exists()
    check_same_run(undisturbed, workspace)
