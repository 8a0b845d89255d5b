"""What a user may change of a plan when training, and the stage that results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from autoseg.budget import Budget
from autoseg.errors import PlanError, UsageError
from autoseg.memory import training_memory
from autoseg.plan import Plan, Stage
from autoseg.recipe import (
    LOSS_FOR,
    OPTIMIZERS,
    RECIPES,
    LossName,
    OptimizerName,
    Recipe,
    ScheduleName,
    follows_length,
    recipe_for,
    with_data_of,
    with_optimizer,
)
from autoseg.trainers.schedule import SCHEDULES

GIB = 1024**3
#: The plan's own recipe, and by name those that a person may prefer.
TRAINERS = ("default", *RECIPES)
#: What --loss, --optimizer and --schedule may say.
NAMES: dict[str, tuple[str, ...]] = {"loss": get_args(LossName), "optimizer": tuple(OPTIMIZERS), "schedule": tuple(SCHEDULES)}


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `autoseg train` that decide the outcome; None where the plan decides.

    Parameters
    ----------
    trainer : str
        "default", or the name of a recipe.
    epochs, iterations_per_epoch, batch : int or None
    lr : float or None
    loss : LossName or None
    optimizer : OptimizerName or None
        Brings its own rate, schedule, warm-up and weight decay.
    schedule : ScheduleName or None
    warmup : float or None
        Share of the training.
    seed : int
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    trainer: str = "default"
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    batch: int | None = None
    lr: float | None = None
    loss: LossName | None = None
    optimizer: OptimizerName | None = None
    schedule: ScheduleName | None = None
    warmup: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations_per_epoch", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        if self.trainer not in TRAINERS:
            raise UsageError(f"--trainer {self.trainer} is not known; there are {', '.join(TRAINERS)}.")
        for name, known in NAMES.items():
            if getattr(self, name) not in (None, *known):
                raise UsageError(f"--{name} {getattr(self, name)} is not known; there are {', '.join(known)}.")
        if self.lr is not None and self.lr <= 0:
            raise UsageError(f"--lr must be positive, got {self.lr}")
        if self.warmup is not None and not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup is a share of the training, in [0, 1), got {self.warmup:g}")


def apply_options(plan: Plan, stage: Stage, options: TrainOptions, *, expected: Callable[[Stage], int]) -> Stage:
    """The stage as it is trained.

    Parameters
    ----------
    plan : Plan
    stage : Stage
        The plan's.
    options : TrainOptions
    expected : callable
        Iterations that the time leaves to a stage, at most its own; asked once the rest is settled.

    Raises
    ------
    UsageError
        If the loss is not for the plan's classes.
    PlanError
        If another batch, loss or optimizer does not fit the plan's budget.
    """
    per_epoch = options.iterations_per_epoch or stage.iterations_per_epoch
    iterations = stage.iterations if options.epochs is None else options.epochs * per_epoch
    stage = replace(stage, iterations=iterations, iterations_per_epoch=per_epoch)
    wanted = replace(
        stage, batch=options.batch or stage.batch, recipe=replace(stage.recipe, loss=_loss(plan, options.loss or stage.recipe.loss))
    )
    if wanted != stage:
        stage = _traced(plan, replace(wanted, step_s=None))
    recipe = _recipe(stage.recipe, options, expected(stage))
    other_state = recipe.optimizer != stage.recipe.optimizer
    stage = replace(stage, recipe=recipe)
    return _traced(plan, stage) if other_state else stage


def _loss(plan: Plan, name: LossName) -> LossName:
    """The name; UsageError if it is the other kind of classes' name for Dice with cross-entropy."""
    exclusive = plan.labels.exclusive
    if LOSS_FOR.get(name, exclusive) != exclusive:
        here = next(other for other, kind in LOSS_FOR.items() if kind == exclusive)
        what = "exclude each other" if exclusive else "overlap"
        raise UsageError(f"--loss {name}: the classes of plan {plan.name} {what}; the same loss for them is --loss {here}.")
    return name


def _recipe(planned: Recipe, options: TrainOptions, expected: int) -> Recipe:
    if options.trainer != "default":
        recipe = Recipe(name=options.trainer, loss=planned.loss, **RECIPES[options.trainer])
    elif follows_length(planned):
        recipe = recipe_for(planned.loss, expected)
    else:
        # A rate or an optimizer that a person put into the plan holds whatever the length.
        recipe = planned
    recipe = with_data_of(recipe, planned)
    if options.optimizer is not None:
        recipe = with_optimizer(recipe, options.optimizer)
    chosen = {name: getattr(options, name) for name in ("lr", "schedule", "warmup")}
    return replace(recipe, **{name: value for name, value in chosen.items() if value is not None})


def _traced(plan: Plan, stage: Stage) -> Stage:
    """The stage with its own traced memory; PlanError if the plan's device has less."""
    budget: Budget = plan.budget
    planned = plan.stages[stage.name]
    about = planned.memory.parts.get("activations", 0) * stage.batch / planned.batch
    if about > 2 * budget.memory_bytes:
        # Far beyond: tracing takes time for each sample.
        raise PlanError(
            f"--batch {stage.batch} needs about {about / GIB:.0f} GiB, but {budget.name} has {budget.memory_bytes / GIB:.1f} GiB; "
            f"the plan's batch is {planned.batch}."
        )
    memory = training_memory(
        stage,
        exclusive=plan.labels.exclusive,
        precision=stage.precision,
        device_type=budget.kind,
        budget_bytes=budget.memory_bytes,
        has_ignore=plan.labels.has_ignore,
        workers=budget.workers,
    )
    if memory.peak_bytes > budget.memory_bytes:
        raise PlanError(
            f"batch {stage.batch} with {stage.recipe.loss} and {stage.recipe.optimizer} needs {memory.peak_bytes / GIB:.1f} GiB (traced), "
            f"but {budget.name} has {budget.memory_bytes / GIB:.1f} GiB; the plan's batch is {planned.batch}."
        )
    return replace(stage, memory=memory)
