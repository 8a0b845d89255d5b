"""What --epochs, --batch, --lr and --trainer make of a plan's stage."""

from dataclasses import replace
from typing import Any

import pytest

from autoseg.budget import Budget
from autoseg.errors import PlanError, UsageError
from autoseg.memory import CPU_PROCESS_BYTES, training_memory
from autoseg.plan import Plan, Stage
from autoseg.trainers.options import TRAINERS, TrainOptions, apply_options
from tests import small

PLANNED = replace(small.with_recipe(small.stage(), optimizer="sgd"), iterations=10_000, iterations_per_epoch=250)


def plan_of(stage: Stage = PLANNED, **budget: Any) -> Plan:
    given = {"name": "cpu", "kind": "cpu", "memory_bytes": 2**32, **budget}
    return small.plan(stages={"2d": stage}, budget=Budget(**given))


def applied(options: TrainOptions, *, expected: int | None = None, **budget: Any) -> Stage:
    return apply_options(plan_of(**budget), PLANNED, options, expected=lambda stage: stage.iterations if expected is None else expected)


def test_epochs_set_the_length() -> None:
    assert applied(TrainOptions()).iterations == 10_000
    stage = applied(TrainOptions(epochs=3))
    assert (stage.iterations, stage.iterations_per_epoch) == (750, 250)
    stage = applied(TrainOptions(epochs=3, iterations_per_epoch=7))
    assert (stage.iterations, stage.iterations_per_epoch) == (21, 7)


def test_the_recipe_follows_the_length() -> None:
    assert applied(TrainOptions()).recipe.optimizer == "sgd"
    assert applied(TrainOptions(epochs=3)).recipe.optimizer == "adamw"
    assert applied(TrainOptions(), expected=400).recipe.optimizer == "adamw"


@pytest.mark.parametrize("trainer", TRAINERS)
def test_named_recipes_keep_the_data_sets_own_settings(trainer: str) -> None:
    recipe = applied(TrainOptions(trainer=trainer, lr=0.123)).recipe
    assert recipe.name == trainer
    assert recipe.lr == 0.123
    assert recipe.optimizer == ("adamw" if trainer == "adamw" else "sgd")
    kept = PLANNED.recipe
    assert (recipe.loss, recipe.augmentation, recipe.foreground_share) == (kept.loss, kept.augmentation, kept.foreground_share)


def test_another_batch_is_traced() -> None:
    stage = applied(TrainOptions(batch=6))
    assert stage.batch == 6
    expected = training_memory(stage, exclusive=False, precision="fp32", device_type="cpu", budget_bytes=2**32)
    assert stage.memory.budget_bytes == 2**32
    assert stage.memory.peak_bytes == pytest.approx(expected.peak_bytes, rel=0.01)
    assert applied(TrainOptions(batch=2)).memory == PLANNED.memory


def test_another_optimizer_is_traced() -> None:
    # AdamW keeps two states per weight and SGD one.
    stage = applied(TrainOptions(trainer="adamw"))
    expected = training_memory(stage, exclusive=False, precision="fp32", device_type="cpu", budget_bytes=2**32)
    assert stage.memory == expected


def test_a_batch_beyond_the_budget_is_refused() -> None:
    with pytest.raises(PlanError, match=r"--batch 6 with sgd needs 0\.7 GiB \(traced\), but cpu has 0\.7 GiB; the plan's batch is 2"):
        applied(TrainOptions(batch=6), memory_bytes=CPU_PROCESS_BYTES + 1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"iterations_per_epoch": -1}, "--iterations-per-epoch must be at least 1, got -1"),
        ({"batch": 0}, "--batch must be at least 1, got 0"),
        ({"lr": 0.0}, "--lr must be positive, got 0.0"),
        ({"trainer": "adam"}, r"--trainer adam is not known; there are default, sgd, adamw\."),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainOptions(**options)
