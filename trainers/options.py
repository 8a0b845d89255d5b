"""What a user may change of a plan when training, and the stage that results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from autoseg.budget import Budget
from autoseg.errors import PlanError, UsageError
from autoseg.memory import training_memory
from autoseg.plan import Plan, Stage
from autoseg.recipe import RECIPES, Recipe, recipe_for

GIB = 1024**3
#: The plan's own recipe, and by name those that a person may prefer.
TRAINERS = ("default", *RECIPES)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `autoseg train` that decide the outcome; None where the plan decides.

    Parameters
    ----------
    trainer : str
        "default", or the name of a recipe.
    epochs, iterations_per_epoch, batch : int or None
    lr : float or None
    seed : int
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    trainer: str = "default"
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    batch: int | None = None
    lr: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations_per_epoch", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        if self.trainer not in TRAINERS:
            raise UsageError(f"--trainer {self.trainer} is not known; there are {', '.join(TRAINERS)}.")
        if self.lr is not None and self.lr <= 0:
            raise UsageError(f"--lr must be positive, got {self.lr}")


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
    PlanError
        If another batch or optimizer does not fit the plan's budget.
    """
    per_epoch = options.iterations_per_epoch or stage.iterations_per_epoch
    iterations = stage.iterations if options.epochs is None else options.epochs * per_epoch
    stage = replace(stage, iterations=iterations, iterations_per_epoch=per_epoch)
    if options.batch is not None and options.batch != stage.batch:
        stage = _traced(plan, replace(stage, batch=options.batch, step_s=None))
    recipe = _recipe(stage, options, expected(stage))
    other_state = recipe.optimizer != stage.recipe.optimizer
    stage = replace(stage, recipe=recipe)
    return _traced(plan, stage) if other_state else stage


def _recipe(stage: Stage, options: TrainOptions, expected: int) -> Recipe:
    if options.trainer == "default":
        recipe = recipe_for(stage.recipe.loss, expected)
    else:
        recipe = Recipe(name=options.trainer, loss=stage.recipe.loss, **RECIPES[options.trainer])
    recipe = replace(recipe, augmentation=stage.recipe.augmentation, foreground_share=stage.recipe.foreground_share)
    return recipe if options.lr is None else replace(recipe, lr=options.lr)


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
    )
    if memory.peak_bytes > budget.memory_bytes:
        raise PlanError(
            f"--batch {stage.batch} with {stage.recipe.optimizer} needs {memory.peak_bytes / GIB:.1f} GiB (traced), but {budget.name} has "
            f"{budget.memory_bytes / GIB:.1f} GiB; the plan's batch is {planned.batch}."
        )
    return replace(stage, memory=memory)
