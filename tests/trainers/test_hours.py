"""--hours: the schedule is finished when the time is over, whatever a step costs and however often the training was stopped."""

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoseg.checkpoint import load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.errors import UsageError
from autoseg.io.interrupt import Interrupt, Interrupted, listening
from autoseg.io.json_files import load_json
from autoseg.io.layouts import read_dataset
from autoseg.plan import Plan
from autoseg.planners.folds import Splits
from autoseg.preprocess.store import PreparedStore, plan_key
from autoseg.trainers import FoldCases, Job
from autoseg.trainers.clock import Clock
from autoseg.trainers.fit import Fit
from autoseg.trainers.hours import fold_share_s
from autoseg.trainers.launch import train_fold
from autoseg.trainers.run import RunFolder, TimeSpent
from autoseg.trainers.sampler import Sampler
from autoseg.trainers.state import FitSettings
from autoseg.trainers.watch import Watch
from autoseg.workspace import Workspace
from tests import small
from tests.trainers.make import NAME


class Time:
    """A clock that stands still unless it is moved."""

    def __init__(self, start: float = 500.0) -> None:
        self.seconds = start

    def __call__(self) -> float:
        return self.seconds


def fold_of(workspace: Path) -> tuple[Plan, FoldCases, PreparedStore]:
    place = Workspace(root=workspace)
    plan = load_json(place.plan_file(NAME, "default"), Plan)
    fold = load_json(place.splits_file(NAME), Splits).folds[0]
    store = PreparedStore(place.store_folder(NAME, plan_key(plan, plan.stages["2d"])))
    return plan, FoldCases(train=fold.train, val=fold.val), store


def timed_fit(workspace: Path, clock: Clock, step: Callable[[int], None]) -> Fit:
    plan, cases, store = fold_of(workspace)
    stage = plan.stages["2d"]
    settings = FitSettings(plan=plan, stage=stage, fold="0", seed=0, device=small.CPU, precision="fp32", workers=0)
    watch = Watch(on_step=lambda iteration, loss, pace: step(iteration), measure_dice=lambda learner, iteration: None, say=print)
    (workspace / "fold0").mkdir(exist_ok=True)
    sampler = Sampler(store=store, cases=cases.train, stage=stage, seed=0, fold="0")
    return Fit(settings, sampler, clock, RunFolder(path=workspace / "fold0"), watch)


def last_lr(training: Fit) -> float:
    return float(training.learner.optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("step_s", [0.3, 0.9])
def test_the_schedule_is_finished_in_time(workspace: Path, step_s: float) -> None:
    now = Time()
    clock = Clock(planned=10**6, share_s=30, reserve_s=5, now=now, started=now())

    def step(iteration: int) -> None:
        now.seconds += step_s

    training = timed_fit(workspace, clock, step)
    training.until_done(Interrupt())
    assert 25 <= clock.elapsed_s() <= 25 + step_s + 1e-6
    assert training.progress.iteration == pytest.approx(25 / step_s, abs=1)
    assert last_lr(training) < 0.01 * training.settings.stage.recipe.lr  # the end of the cosine


def test_time_counts_over_restarts(workspace: Path) -> None:
    now = Time()
    first = Clock(planned=10**6, share_s=10, now=now, started=now())

    def step(iteration: int) -> None:
        now.seconds += 0.1
        if iteration == 30:
            signal.raise_signal(signal.SIGINT)

    with listening() as interrupt, pytest.raises(Interrupted):
        timed_fit(workspace, first, step).until_done(interrupt)
    now.seconds = 1e5  # the night between is nobody's
    second = Clock(planned=10**6, share_s=10, now=now, started=now())

    def go_on(iteration: int) -> None:
        now.seconds += 0.2

    training = timed_fit(workspace, second, go_on)
    assert training.progress.iteration == 30
    assert second.elapsed_s() == pytest.approx(3)
    training.until_done(Interrupt())
    assert training.progress.iteration == pytest.approx(30 + 7 / 0.2, abs=1)
    assert last_lr(training) < 2e-3 * training.settings.stage.recipe.lr


def test_a_stop_between_two_iterations_is_saved(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The signal comes when nothing was saved and the loop is about to go on.
    training = timed_fit(workspace, Clock(planned=20), lambda iteration: None)
    save = Fit._maybe_save

    def save_and_stop(self: Fit, **given: Any) -> None:
        save(self, **given)
        if self.progress.iteration == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Fit, "_maybe_save", save_and_stop)
    with listening() as interrupt, pytest.raises(Interrupted) as stopped:
        training.until_done(interrupt)
    saved = load_checkpoint(training.run.last).progress["iteration"]
    assert f"Stopped at iteration {saved};" in str(stopped.value)


def job_of(workspace: Path, **changes: Any) -> Job:
    plan, cases, store = fold_of(workspace)
    raw = read_dataset(workspace / "raw" / NAME)
    given: dict[str, Any] = {
        "workspace": Workspace(root=workspace), "dataset": raw, "plan": plan, "config": "2d", "store": store,
        "folds": dict.fromkeys("012", cases), "hours": 1.0,
    }  # fmt: skip
    return Job(**{**given, **changes})


def test_each_fold_gets_an_equal_share_of_what_is_left(workspace: Path) -> None:
    job = job_of(workspace)
    assert fold_share_s(job_of(workspace, hours=None), "0") is None
    assert [fold_share_s(job, fold) for fold in "012"] == [1200] * 3
    job.folder("0").save_time(TimeSpent(used_s=1500, validation_s=10, validation_cases=2))
    assert fold_share_s(job, "1") == fold_share_s(job, "2") == 1050
    # Begun and not finished: what it has used is part of its own share.
    job.folder("1").save_time(TimeSpent(used_s=100))
    assert fold_share_s(job, "1") == 1050
    assert fold_share_s(job, "2") == 1050


def test_restart_forgets_the_time_of_folds_that_are_still_to_come(workspace: Path) -> None:
    for fold in "012":
        job_of(workspace).folder(fold).save_time(TimeSpent(used_s=3000, validation_s=10, validation_cases=2))
    job = job_of(workspace, restart=True)
    assert fold_share_s(job, "0") == 1200
    job.folder("0").save_time(TimeSpent(used_s=1000, validation_s=10, validation_cases=2))
    assert fold_share_s(job, "1") == 1300


@pytest.mark.slow
def test_forty_seconds_are_forty_seconds(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    cli.main(["train", "2d", "fold0", "--hours", str(40 / 3600), "-w", str(workspace)], standalone_mode=False)
    assert time.monotonic() - begin == pytest.approx(40, rel=0.01)
    spent = RunFolder(path=workspace / "results" / NAME / "default" / "2d-default" / "fold0").time_spent()
    assert spent.used_s == pytest.approx(40, rel=0.01)
    checkpoint = load_checkpoint(workspace / "results" / NAME / "default" / "2d-default" / "fold0" / "checkpoint_last.safetensors")
    assert checkpoint.progress["iteration"] > 400
    assert "done, validation Dice" in capsys.readouterr().out


def test_a_fold_without_time_says_so_and_is_not_finished(workspace: Path) -> None:
    job = job_of(workspace, hours=0.5)
    job.folder("0").path.mkdir(parents=True, exist_ok=True)
    for fold in "02":
        job.folder(fold).save_time(TimeSpent(used_s=1800, validation_s=10, validation_cases=2))
    only = replace(job, folds={"0": job.folds["0"], "1": job.folds["1"]})
    with listening() as interrupt, pytest.raises(UsageError, match=r"fold1: no time is left to train.*--hours 1"):
        train_fold(only, "1", Screen(), interrupt, begun=time.monotonic())
    assert not only.folder("1").summary.is_file()
