"""What a fold's training is at an iteration boundary, and its way to a checkpoint and back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoseg.augment.draws import fold_number
from autoseg.budget import Precision
from autoseg.checkpoint import Checkpoint, detached, load_checkpoint, save_checkpoint
from autoseg.plan import Plan, Stage
from autoseg.step import Learner, build_learner
from autoseg.trainers.schedule import Point


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What `fit` needs besides the data.

    Parameters
    ----------
    plan, stage
        The stage as trained, options applied.
    fold : str
    seed : int
    device : torch.device
    precision : {"fp32", "fp16", "bf16"}
    workers : int
    previous : str
        Of the checkpoints, in a cascade.
    patience : int or None
        Epochs without a better smoothed validation Dice after which the training ends.
    """

    plan: Plan
    stage: Stage
    fold: str
    seed: int
    device: torch.device
    precision: Precision
    workers: int
    previous: str = ""
    patience: int | None = None


@dataclass(kw_only=True)
class Progress:
    """What changes while a fold trains and is restored with it; JSON in the checkpoint.

    `losses` holds what schedule "plateau" goes by: progress and mean loss of each finished epoch; `dices` what patience goes by, the
    validation Dice of the epochs in which it was measured. `ended` says why the training ended before its schedule; empty if it did not.
    `skipped` counts the steps of the epoch whose loss was not finite, `skipped_in_a_row` those up to now, `overflows_in_a_row` those whose
    gradients a loss scaler found not finite; `lr_factor` is halved each time the training went back for them, `went_back` times so far.
    """

    iteration: int = 0
    epoch: int = 0
    used_s: float = 0.0
    best_dice: float | None = None
    loss_sum: float = 0.0
    step_s_sum: float = 0.0
    wait_s_sum: float = 0.0
    steps_in_epoch: int = 0
    losses: list[Point] = field(default_factory=list)
    dices: list[float] = field(default_factory=list)
    ended: str = ""
    scaler: dict[str, Any] = field(default_factory=dict)
    micro_batch: int | None = None
    skipped: int = 0
    skipped_in_a_row: int = 0
    overflows_in_a_row: int = 0
    went_back: int = 0
    lr_factor: float = 1.0


def with_stage(plan: Plan, stage: Stage) -> Plan:
    """The plan with the stage as it is trained, options applied: what predicts later is what was trained."""
    return replace(plan, stages={**plan.stages, stage.name: stage})


def start_or_resume(settings: FitSettings, file: Path | None) -> tuple[Learner, Progress]:
    """The learner of a checkpoint, or a fresh one if there is no such file."""
    # The weights are the only numbers from torch's global state; seeded by run and fold they are the same at every start.
    torch.manual_seed(1009 * settings.seed + fold_number(settings.fold))
    labels = settings.plan.labels
    learner = build_learner(
        settings.stage, settings.device, exclusive=labels.exclusive, precision=settings.precision, classes=labels.classes
    )
    if file is None or not file.is_file():
        return learner, Progress()
    checkpoint = load_checkpoint(file)
    learner.net.load_state_dict(checkpoint.trained or checkpoint.weights)
    restore_optimizer(learner.optimizer, checkpoint.optimizer)
    progress = Progress(**checkpoint.progress)
    if learner.average is not None:
        learner.average.restore(checkpoint.weights, progress.iteration)
    if learner.scaler is not None and progress.scaler:
        learner.scaler.load_state_dict(progress.scaler)
    return learner, progress


def predicting(learner: Learner) -> AbstractContextManager[None]:
    """While the block runs, the learner's net holds the weights that predict: the moving average, if the recipe has one."""
    return nullcontext() if learner.average is None else learner.average.in_use()


def save_state(path: Path, settings: FitSettings, learner: Learner, progress: Progress) -> None:
    """Write a checkpoint of a learner and its progress."""
    save_checkpoint(path, state_of(settings, learner, progress))


def snapshot(settings: FitSettings, learner: Learner, progress: Progress) -> Checkpoint:
    """`state_of` with copies of all tensors."""
    return detached(state_of(settings, learner, progress))


def state_of(settings: FitSettings, learner: Learner, progress: Progress) -> Checkpoint:
    """A learner and its progress as a checkpoint that shares their tensors."""
    if learner.scaler is not None:
        progress.scaler = learner.scaler.state_dict()
    inside: dict[str, Tensor] = dict(learner.net.state_dict())
    other = inside if learner.average is None else inside | learner.average.named()
    # While the average predicts (`predicting`) the two have changed places.
    weights, trained = (inside, other) if learner.average is not None and learner.average.is_in_use else (other, inside)
    return Checkpoint(
        plan=with_stage(settings.plan, settings.stage),
        stage=settings.stage.name,
        fold=settings.fold,
        weights=weights,
        trained={} if learner.average is None else trained,
        optimizer=optimizer_tensors(learner.optimizer),
        progress=asdict(progress),
        previous=settings.previous,
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state, flat: "INDEX.NAME" -> tensor."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {f"{i}.{name}": value for i, p in enumerate(parameters) for name, value in optimizer.state.get(p, {}).items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        # A fused kernel walks parameter and state side by side in memory: the state must have the parameter's layout.
        like = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value, device=parameter.device)
        optimizer.state[parameter][name] = like.detach().copy_(value)
