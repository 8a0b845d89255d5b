"""Every optimizer, and the schedule that goes by losses, come to the same weights when a training is broken off and continued."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.io.interrupt import Interrupt
from autoseg.io.json_files import load_json
from autoseg.plan import Plan, Stage
from autoseg.planners.folds import Splits
from autoseg.preprocess.store import PreparedStore, plan_key
from autoseg.recipe import AUGMENTATIONS, OptimizerName
from autoseg.trainers import fit
from autoseg.trainers.clock import Clock
from autoseg.trainers.fit import Fit
from autoseg.trainers.run import RunFolder
from autoseg.trainers.sampler import Sampler
from autoseg.trainers.state import FitSettings
from autoseg.trainers.watch import Watch
from autoseg.workspace import Workspace
from tests import small
from tests.trainers.make import NAME

ITERATIONS = 12


class Broken(Exception):
    """As if the process were killed."""


def stage_of(workspace: Path, **recipe: object) -> tuple[Plan, Stage]:
    plan = load_json(Workspace(root=workspace).plan_file(NAME, "default"), Plan)
    stage = replace(plan.stages["2d"], iterations=ITERATIONS, iterations_per_epoch=1)
    return plan, small.with_recipe(stage, **recipe)


def train(workspace: Path, folder: Path, plan: Plan, stage: Stage, *, broken_at: int = 0) -> tuple[Checkpoint, list[float]]:
    """A fold to its end, or until an iteration after whose predecessor a checkpoint was written; and the rates of all steps."""
    place, rates = Workspace(root=workspace), list[float]()
    cases = load_json(place.splits_file(NAME), Splits).folds[0].train
    store = PreparedStore(place.store_folder(NAME, plan_key(plan, plan.stages["2d"])))
    settings = FitSettings(plan=plan, stage=stage, fold="0", seed=0, device=small.CPU, precision="fp32", workers=0)

    def on_step(iteration: int, loss: float, pace_s: float) -> None:
        rates.append(training.learner.optimizer.param_groups[0]["lr"])
        if iteration == broken_at:
            raise Broken

    folder.mkdir(exist_ok=True)
    watch = Watch(on_step=on_step, measure_dice=lambda learner, iteration: None, say=print)
    sampler = Sampler(store=store, cases=cases, stage=stage, seed=0, fold="0", classes=plan.labels.classes)
    run = RunFolder(path=folder)
    training = Fit(settings, sampler, Clock(planned=ITERATIONS), run, watch)
    if broken_at:
        with pytest.raises(Broken):
            training.until_done(Interrupt())
    else:
        training.until_done(Interrupt())
    return load_checkpoint(run.last), rates


def check_resumed(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **recipe: object) -> list[float]:
    """Rates of the undisturbed run."""
    monkeypatch.setattr(fit, "CHECKPOINT_EVERY_S", -1.0)
    monkeypatch.setattr(fit, "CHECKPOINT_EPOCH_S", -1.0)
    plan, stage = stage_of(workspace, **recipe)
    whole, rates = train(workspace, tmp_path / "whole", plan, stage)
    stopped, _ = train(workspace, tmp_path / "parts", plan, stage, broken_at=6)
    assert stopped.progress["iteration"] == 5
    resumed, later = train(workspace, tmp_path / "parts", plan, stage)
    assert rates[5:] == later
    assert whole.progress["losses"] == resumed.progress["losses"]
    for ours, theirs in ((whole.weights, resumed.weights), (whole.optimizer, resumed.optimizer)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert any(not torch.equal(stopped.weights[name], value) for name, value in whole.weights.items())
    return rates


@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_every_optimizer_goes_on_bit_for_bit(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: OptimizerName
) -> None:
    check_resumed(prepared, tmp_path, monkeypatch, optimizer=optimizer, lr=0.003)


def test_plateaus_are_remembered(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A rate that changes next to nothing, so that the loss stays where it is: a plateau after each tenth, of 1.2 iterations.
    rates = check_resumed(prepared, tmp_path, monkeypatch, schedule="plateau", lr=1e-4, warmup=0.0)
    assert rates[0] == 1e-4
    assert rates[-1] < rates[5] < rates[0]


def test_weights_of_classes_and_cases(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"class_weights": {"small/one": 4.0}, "loss_weights": {"big one": 2.0}, "case_weights": {"case3": 3.0}, "min_foreground": 0.2}
    check_resumed(prepared, tmp_path, monkeypatch, loss="border_ce", foreground_share=0.5, **weights)


def test_augmentation_by_workers(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_resumed(prepared, tmp_path, monkeypatch, augmentation=AUGMENTATIONS["workers"])
