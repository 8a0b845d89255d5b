"""What a user may change of a plan when training, and the stage that results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from autoseg.augment.synthetic import weigh_the_same
from autoseg.budget import GIB, Budget
from autoseg.errors import PlanError, UsageError
from autoseg.extensions import find
from autoseg.losses import LOSSES
from autoseg.memory import step_key, training_memory
from autoseg.plan import Plan, Stage
from autoseg.recipe import (
    AUGMENTATIONS,
    LOSS_FOR,
    OPTIMIZERS,
    RECIPES,
    OptimizerName,
    Recipe,
    ScheduleName,
    follows_length,
    recipe_for,
    with_data_of,
    with_optimizer,
)
from autoseg.trainers.schedule import SCHEDULES

#: The plan's own recipe, and by name those that a person may prefer.
TRAINERS = ("default", *RECIPES)
#: What another package's recipe may say; the rest belongs to the data set, or has an option of its own.
SETTINGS = frozenset({"optimizer", "lr", "schedule", "momentum", "weight_decay", "warmup", "clip_norm"})
#: What --optimizer, --schedule and --augmentation may say.
NAMES: dict[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZERS), "schedule": tuple(SCHEDULES), "augmentation": tuple(AUGMENTATIONS),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `autoseg train` that decide the outcome; None where the plan decides.

    Parameters
    ----------
    trainer : str
        "default", or the name of a recipe, which may be another installed package's.
    epochs, iterations_per_epoch, batch : int or None
    lr : float or None
    loss : str or None
        autoseg's own or another installed package's.
    optimizer : OptimizerName or None
        Brings its own rate, schedule, warm-up and weight decay.
    schedule : ScheduleName or None
    augmentation : str or None
        A name of `recipe.AUGMENTATIONS`.
    warmup : float or None
        Share of the training.
    seed : int
    patience : int or None
        Epochs without a better smoothed validation Dice after which a fold ends early; None: never.
    ema : float or None
        Decay of a moving average of the weights, which then predicts.
    deterministic : bool
        Only kernels that give the same bits every time.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    trainer: str = "default"
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    batch: int | None = None
    lr: float | None = None
    loss: str | None = None
    optimizer: OptimizerName | None = None
    schedule: ScheduleName | None = None
    augmentation: str | None = None
    warmup: float | None = None
    seed: int = 0
    patience: int | None = None
    ema: float | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations_per_epoch", "batch", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        find_recipe(self.trainer)
        if self.loss is not None:
            find("losses", self.loss, LOSSES, option="--loss")
        for name, known in NAMES.items():
            if getattr(self, name) not in (None, *known):
                raise UsageError(f"--{name} {getattr(self, name)} is not known; there are {', '.join(known)}.")
        if self.lr is not None and self.lr <= 0:
            raise UsageError(f"--lr must be positive, got {self.lr}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"--ema is the share of the average that a step leaves, between 0 and 1 (0.999, say), got {self.ema:g}")
        if self.warmup is not None and not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup is a share of the training, in [0, 1), got {self.warmup:g}")


def find_recipe(trainer: str) -> Mapping[str, Any]:
    """Settings of a named recipe; empty for "default", which is the plan's.

    Raises
    ------
    UsageError
        If there is none of this name, or another package's says what a recipe does not decide.
    """
    settings = find("recipes", trainer, {"default": {}, **RECIPES}, option="--trainer")
    if not isinstance(settings, Mapping) or not settings.keys() <= SETTINGS:
        raise UsageError(f"--trainer {trainer}: a recipe is a mapping with keys of {', '.join(sorted(SETTINGS))}, got {settings!r}.")
    return settings


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
        If another batch, loss, augmentation, optimizer or an average of the weights does not fit the plan's budget.
    """
    per_epoch = options.iterations_per_epoch or stage.iterations_per_epoch
    iterations = stage.iterations if options.epochs is None else options.epochs * per_epoch
    stage = replace(stage, iterations=iterations, iterations_per_epoch=per_epoch)
    wanted = replace(
        stage, batch=options.batch or stage.batch, recipe=replace(stage.recipe, loss=_loss(plan, options.loss or stage.recipe.loss))
    )
    edited = stage.memory.of not in ("", step_key(stage))
    if options.augmentation is not None:
        stage, wanted = (_augmented(given, options.augmentation) for given in (stage, wanted))
        # Other probabilities of the same transforms need no other memory.
        edited = edited or not weigh_the_same(stage, plan.stages[stage.name])
    if wanted != stage or edited:
        # Other options, or a plan that a person has edited since its memory was traced.
        stage = _traced(plan, replace(wanted, step_s=None))
    length = plan.stages[stage.name].iterations if plan.budget.hours is None else None
    recipe = _recipe(stage.recipe, options, expected(stage), length=length)
    other_state = (recipe.optimizer, recipe.ema) != (stage.recipe.optimizer, stage.recipe.ema)
    stage = replace(stage, recipe=recipe)
    return _traced(plan, stage) if other_state else stage


def _augmented(stage: Stage, name: str) -> Stage:
    """The stage with a named augmentation; how long its step takes is then not known, unless it has that already."""
    recipe = replace(stage.recipe, augmentation=AUGMENTATIONS[name])
    return stage if recipe == stage.recipe else replace(stage, recipe=recipe, step_s=None)


def _loss(plan: Plan, name: str) -> str:
    """The name; UsageError if it is the other kind of classes' name for Dice with cross-entropy."""
    exclusive = plan.labels.exclusive
    if LOSS_FOR.get(name, exclusive) != exclusive:
        here = next(other for other, kind in LOSS_FOR.items() if kind == exclusive)
        what = "exclude each other" if exclusive else "overlap"
        raise UsageError(f"--loss {name}: the classes of plan {plan.name} {what}; the same loss for them is --loss {here}.")
    return name


def _recipe(planned: Recipe, options: TrainOptions, expected: int, *, length: int | None) -> Recipe:
    """The recipe for so many expected iterations; `length` is what the planned one was chosen for, None if that was an estimate."""
    if options.trainer != "default":
        recipe = Recipe(name=options.trainer, loss=planned.loss, **find_recipe(options.trainer))
    elif not planned.pinned and follows_length(planned, length):
        recipe = recipe_for(planned.loss, expected)
    else:
        # A rate or an optimizer that a person put into the plan holds whatever the length.
        recipe = planned
    recipe = with_data_of(recipe, planned)
    if options.optimizer is not None:
        recipe = with_optimizer(recipe, options.optimizer)
    chosen = {name: getattr(options, name) for name in ("lr", "schedule", "warmup", "ema")}
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
