"""A wall clock that people or a time server set, by days, forth and back: planning, training, predicting are as on a steady one.

`tests/house/test_wall_clock.py` reads the source for it, `tests/io/test_locks.py` has the locks.
"""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoseg.cli import cli
from autoseg.trainers import fit
from autoseg.trainers.run import RunFolder
from autoseg.trainers.saver import Saver
from tests.faults.kills import (
    PLAN,
    PREDICT,
    TRAIN,
    fold_folder,
    plans_agree,
    predictions_agree,
    prepared_workspace,
    raw_workspace,
    trainings_agree,
)

DAY_S = 86_400


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[float]]:
    """From its call on the wall clock is another day at every look; gives what was looked at."""
    real, looks, days = time.time, list[float](), itertools.cycle((0, 3, -2, 400, -7))

    def now() -> float:
        looks.append(real() + DAY_S * next(days))
        return looks[-1]

    def begin() -> list[float]:
        monkeypatch.setattr(time, "time", now)
        monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * now()))
        return looks

    return begin


def autoseg(workspace: Path, command: list[str]) -> None:
    cli.main([*command, "-w", str(workspace)], standalone_mode=False)


@pytest.mark.slow
def test_a_plan_is_the_same(tmp_path: Path, set_clock: Callable[[], list[float]]) -> None:
    steady, jumping = raw_workspace(tmp_path / "steady"), raw_workspace(tmp_path / "jumping")
    autoseg(steady, PLAN)
    set_clock()
    assert abs(time.time() - time.time()) > DAY_S
    autoseg(jumping, PLAN)
    plans_agree(steady, jumping)
    # Done is done, whatever day it is.
    before = {path: path.stat().st_mtime_ns for path in jumping.rglob("*.json")}
    autoseg(jumping, PLAN)
    assert {path: path.stat().st_mtime_ns for path in jumping.rglob("*.json")} == before


def test_a_training_and_its_prediction_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_clock: Callable[[], list[float]]
) -> None:
    steady, jumping = prepared_workspace(tmp_path / "steady"), prepared_workspace(tmp_path / "jumping")
    written: list[tuple[str, int]] = []
    write = Saver.write

    def noted(self: Saver, path: Path, checkpoint: Any) -> None:
        written.append((path.name, checkpoint.progress["iteration"]))
        write(self, path, checkpoint)

    monkeypatch.setattr(Saver, "write", noted)
    saved = []
    for workspace in (steady, jumping):
        if workspace == jumping:
            looks = set_clock()
        for command in (TRAIN, PREDICT):
            autoseg(workspace, command)
        saved.append(written.copy())
        written.clear()
    trainings_agree(steady, jumping)
    predictions_agree(steady, jumping)
    # Neither more checkpoints, because days seem to have gone by, nor fewer.
    assert saved[0] == saved[1]
    assert max(looks) - min(looks) > 100 * DAY_S  # the log's lines


def test_checkpoints_come_by_their_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_clock: Callable[[], list[float]]) -> None:
    workspace = prepared_workspace(tmp_path / "w")
    monkeypatch.setattr(fit, "CHECKPOINT_EVERY_S", 0.0)
    iterations: list[int] = []
    write = Saver.write

    def noted(self: Saver, path: Path, checkpoint: Any) -> None:
        if path.name == "checkpoint_last.safetensors":
            iterations.append(checkpoint.progress["iteration"])
        write(self, path, checkpoint)

    monkeypatch.setattr(Saver, "write", noted)
    set_clock()
    autoseg(workspace, TRAIN)
    assert sorted(set(iterations)) == list(range(1, 17))


def test_hours_are_counted_by_what_went_by(tmp_path: Path, set_clock: Callable[[], list[float]]) -> None:
    workspace = prepared_workspace(tmp_path / "w")
    file = workspace / "preprocessed/Blobs/plans/default.json"
    plan = json.loads(file.read_text(encoding="utf-8"))
    plan["stages"]["2d"] |= {"iterations": 16, "iterations_per_epoch": 4}
    file.write_text(json.dumps(plan), encoding="utf-8")
    set_clock()
    begun = time.monotonic()
    autoseg(workspace, ["train", "2d", "fold0", "--hours", "2", "--device", "cpu"])
    took_s = time.monotonic() - begun
    run = RunFolder(path=fold_folder(workspace))
    assert 0 < run.time_spent().used_s <= took_s
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["iteration"] == 16  # the two hours did not end on another day
    assert run.summary.is_file()
