"""Prepared cases are not made again under a training that reads them, nor read while they are made again: two real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.kills import PLAN, ROOT, TRAIN, prepared_workspace, run
from tests.io.holding import another
from tests.preprocess.make import HOLDER


def touch_image(workspace: Path) -> None:
    """As if somebody had replaced a raw image."""
    os.utime(workspace / "raw/Blobs/imagesTr/case3.png", (1, 1))


def store_of(workspace: Path) -> Path:
    (store,) = (workspace / "preprocessed/Blobs/cases").iterdir()
    return store


def contents(store: Path) -> dict[str, bytes]:
    found = (path for path in store.rglob("*") if path.is_file() and not path.relative_to(store).parts[0].startswith("."))
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_cases_that_a_training_reads_stay_as_they_are(tmp_path: Path) -> None:
    workspace = prepared_workspace(tmp_path / "w")
    store, note = store_of(workspace), workspace / "doing.txt"
    order = json.dumps({"log": str(note), "sleep_in": "autoseg.trainers.fit:make_batch", "count": 3, "often": False})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    training = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.child", order, *TRAIN, "-w", str(workspace)], env=environment, cwd=workspace
    )
    try:
        while not note.with_name("asleep.txt").is_file():
            assert training.poll() is None
            time.sleep(0.05)
        before = contents(store)
        # What is only added disturbs nobody.
        shutil.rmtree(store / "case3")
        code, said, _ = run(workspace, PLAN, {})
        assert code == 0, said
        assert contents(store) == before
        touch_image(workspace)
        code, said, _ = run(workspace, PLAN, {})
        assert code == 2, said
        assert f"the training default/2d-default/fold0 (process {training.pid} on " in said
        assert "some have to be prepared again: their files changed, or they are damaged. Wait until it has ended, or stop it" in said
        assert contents(store) == before
    finally:
        training.send_signal(signal.SIGTERM)
        assert training.wait(60) == 143
    code, said, _ = run(workspace, PLAN, {})
    assert code == 0, said
    assert contents(store)["case3/case.json"] != before["case3/case.json"]


@pytest.mark.slow
def test_cases_that_are_made_again_train_nobody(tmp_path: Path) -> None:
    workspace = prepared_workspace(tmp_path / "w")
    with another(HOLDER, store_of(workspace), "remaking") as process:
        code, said, _ = run(workspace, TRAIN, {})
    assert code == 2, said
    assert f"are being prepared again by process {process.pid} on " in said
    assert run(workspace, TRAIN, {})[0] == 0
