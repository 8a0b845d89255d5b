"""Ctrl-C and SIGTERM end what takes too long, and nothing is lost by it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from autoseg.checkpoint import load_checkpoint
from tests.faults.kills import (
    PREDICT,
    ROOT,
    TRAIN,
    check_whole,
    fold_folder,
    predictions_agree,
    prepared_workspace,
    run,
    trainings_agree,
)

LAST = "checkpoint_last.safetensors"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_workspace(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = copy(prepared, tmp_path_factory.mktemp("undisturbed") / "w")
    for command in (TRAIN, PREDICT):
        code, said, _ = run(workspace, command, {})
        assert code == 0, said
    return workspace


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, copy_function=shutil.copy2))


def stop_asleep(workspace: Path, command: list[str], order: dict[str, Any], number: signal.Signals) -> tuple[int, str]:
    """Send a signal while a function sleeps for ten minutes; the exit code and what was said."""
    note = workspace / "doing.txt"
    given = json.dumps({"log": str(note), **order})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.child", given, *command, "-w", str(workspace)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=workspace,
    )  # fmt: skip
    while not note.with_name("asleep.txt").is_file():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_step_that_takes_too_long_is_abandoned(
    prepared: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    workspace = copy(prepared, tmp_path / "w")
    # Checkpoints come late: what is there afterwards was saved because of the signal.
    order = {"sleep_in": "autoseg.trainers.fit:make_batch", "count": 7, "often": False}
    found, said = stop_asleep(workspace, TRAIN, order, number)
    assert found == code, said
    assert f"Stopped at iteration 6, the step in work is abandoned; {fold_folder(workspace)} holds it. The same command continues" in said
    assert load_checkpoint(fold_folder(workspace) / LAST).progress["iteration"] == 6
    assert run(workspace, TRAIN, {})[0] == 0
    trainings_agree(undisturbed, workspace)


@pytest.mark.slow
def test_the_dice_at_the_end_of_an_epoch_is_abandoned(prepared: Path, undisturbed: Path, tmp_path: Path) -> None:
    # Between an epoch's last step and its end, the moving average in the net.
    workspace = copy(prepared, tmp_path / "w")
    order = {"sleep_in": "autoseg.trainers.launch:quick_dice", "count": 2, "often": False}
    code, said = stop_asleep(workspace, TRAIN, order, signal.SIGTERM)
    assert code == 143, said
    progress = load_checkpoint(fold_folder(workspace) / LAST).progress
    assert (progress["iteration"], progress["epoch"], progress["steps_in_epoch"]) == (8, 1, 4)
    assert run(workspace, TRAIN, {})[0] == 0
    trainings_agree(undisturbed, workspace)


@pytest.mark.slow
def test_a_validation_keeps_the_cases_it_has_finished(prepared: Path, undisturbed: Path, tmp_path: Path) -> None:
    workspace = copy(prepared, tmp_path / "w")
    order = {"sleep_in": "autoseg.trainers.validation:segment", "count": 10, "often": False}  # 4 x 2 for the curve, then the second case
    code, said = stop_asleep(workspace, TRAIN, order, signal.SIGTERM)
    assert code == 143, said
    assert "Stopped while validating" in said
    kept = list((fold_folder(workspace) / "validation" / ".examined").iterdir())
    assert len(kept) == 1
    (prob,) = (fold_folder(workspace) / "validation" / "probabilities").glob("*.prob")
    written = prob.stat().st_mtime_ns
    assert run(workspace, TRAIN, {})[0] == 0
    assert prob.stat().st_mtime_ns == written
    trainings_agree(undisturbed, workspace)


@pytest.mark.slow
def test_a_prediction_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    workspace = copy(undisturbed, tmp_path / "w")
    shutil.rmtree(workspace / "results" / "Blobs" / "predictions")
    order = {"sleep_in": "autoseg.infer.window:_predict_tiles", "count": 1}
    code, said = stop_asleep(workspace, PREDICT, order, signal.SIGTERM)
    assert code == 143, said
    assert "What was finished is kept; the same command goes on." in said
    check_whole(workspace)
    assert run(workspace, PREDICT, {})[0] == 0
    predictions_agree(undisturbed, workspace)
