"""What --epochs, --batch, --lr and --trainer make of a plan's stage."""

from dataclasses import replace
from typing import Any

import pytest

from autoseg.budget import Budget
from autoseg.errors import PlanError, UsageError
from autoseg.memory import CPU_PROCESS_BYTES, step_key, training_memory
from autoseg.plan import Plan, Stage
from autoseg.recipe import NO_AUGMENTATION, STRONG_AUGMENTATION, Augmentation, recipe_for
from autoseg.trainers.options import TRAINERS, TrainOptions, apply_options
from tests import small

#: The planner's recipe for a long training, with augmentation and sampling of its own.
PLANNED = replace(
    small.stage(),
    recipe=replace(recipe_for("dice_bce", 10_000), augmentation=NO_AUGMENTATION, foreground_share=0.5),
    iterations=10_000,
    iterations_per_epoch=250,
)


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


def test_a_recipe_that_a_person_put_into_the_plan_is_what_is_trained() -> None:
    chosen = small.with_recipe(PLANNED, lr=0.02)
    options = TrainOptions(epochs=3)
    stage = apply_options(plan_of(chosen), chosen, options, expected=lambda stage: stage.iterations)
    assert stage.recipe == chosen.recipe  # a short training, and still SGD at that rate
    assert stage.iterations == 750
    named = apply_options(plan_of(chosen), chosen, replace(options, trainer="adamw"), expected=lambda stage: stage.iterations)
    assert named.recipe.optimizer == "adamw"


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


def test_a_plan_that_was_edited_is_traced_again() -> None:
    """Who writes another batch into the file must not train with the memory of the batch before."""
    memory = training_memory(PLANNED, exclusive=False, precision="fp32", device_type="cpu", budget_bytes=2**32)
    planned = replace(PLANNED, memory=memory)

    def train(stage: Stage, **budget: Any) -> Stage:
        return apply_options(plan_of(stage, **budget), stage, TrainOptions(), expected=lambda stage: stage.iterations)

    assert train(planned).memory == memory
    edited = replace(planned, batch=9)
    assert train(edited).memory.peak_bytes > memory.peak_bytes
    with pytest.raises(PlanError, match="batch 9"):
        train(edited, memory_bytes=CPU_PROCESS_BYTES)


def test_another_optimizer_is_traced() -> None:
    # AdamW keeps two states per weight and SGD one.
    stage = applied(TrainOptions(trainer="adamw"))
    expected = training_memory(stage, exclusive=False, precision="fp32", device_type="cpu", budget_bytes=2**32)
    assert stage.memory == expected


def test_another_loss_is_traced_before_anything_is_measured() -> None:
    asked: list[Stage] = []

    def expected(stage: Stage) -> int:
        asked.append(stage)
        return stage.iterations

    planned = replace(PLANNED, step_s=0.5)
    stage = apply_options(plan_of(planned), planned, TrainOptions(loss="border_ce"), expected=expected)
    assert stage.recipe == replace(planned.recipe, loss="border_ce")
    assert stage.memory == training_memory(stage, exclusive=False, precision="fp32", device_type="cpu", budget_bytes=2**32)
    assert [(given.recipe.loss, given.step_s) for given in asked] == [("border_ce", None)]
    same = apply_options(plan_of(planned), planned, TrainOptions(loss="dice_bce", optimizer="sgd"), expected=expected)
    assert same == planned


def test_a_named_augmentation_is_traced_where_it_needs_other_memory() -> None:
    stage = applied(TrainOptions(augmentation="strong"))
    assert stage.recipe == replace(PLANNED.recipe, augmentation=STRONG_AUGMENTATION)
    assert stage.memory == training_memory(stage, exclusive=False, precision="fp32", device_type="cpu", budget_bytes=2**32)
    # The same transforms, drawn less often: the memory is the planned one, the time of a step is not.
    planned = replace(small.with_recipe(PLANNED, augmentation=replace(Augmentation(), noise_p=0.05)), step_s=0.5)
    stage = apply_options(plan_of(planned), planned, TrainOptions(augmentation="default"), expected=lambda stage: stage.iterations)
    assert stage == replace(planned, recipe=replace(planned.recipe, augmentation=Augmentation()), step_s=None)
    assert applied(TrainOptions(augmentation="none")) == PLANNED  # which is planned without any
    assert applied(TrainOptions(augmentation="strong", trainer="adamw")).recipe.augmentation == STRONG_AUGMENTATION
    # What workers do is left undone by the device, and traced all the same.
    stage = apply_options(plan_of(planned), planned, TrainOptions(augmentation="workers"), expected=lambda stage: stage.iterations)
    assert stage == replace(planned, recipe=replace(planned.recipe, augmentation=Augmentation(backend="workers")), step_s=None)
    assert step_key(stage) == step_key(small.with_recipe(planned, augmentation=Augmentation()))


def test_options_of_the_recipe_come_on_top_of_each_other() -> None:
    recipe = applied(TrainOptions(optimizer="lion")).recipe
    assert (recipe.name, recipe.optimizer, recipe.lr, recipe.weight_decay, recipe.schedule) == ("default", "lion", 5e-4, 0.1, "cosine")
    assert recipe.foreground_share == PLANNED.recipe.foreground_share
    recipe = applied(TrainOptions(trainer="adamw", optimizer="rmsprop", lr=0.2, schedule="plateau", warmup=0.3)).recipe
    assert (recipe.name, recipe.optimizer, recipe.lr, recipe.schedule, recipe.warmup) == ("adamw", "rmsprop", 0.2, "plateau", 0.3)
    # A short training's rate and warm-up, and another schedule.
    recipe = applied(TrainOptions(epochs=3, schedule="step")).recipe
    assert (recipe.optimizer, recipe.lr, recipe.schedule, recipe.warmup) == ("adamw", 5e-3, "step", 0.05)
    assert applied(TrainOptions(warmup=0.0, epochs=3)).recipe.warmup == 0


@pytest.mark.parametrize(
    ("labels", "loss", "other"), [(small.EXCLUSIVE, "dice_bce", "dice_ce"), (small.OVERLAPPING, "dice_ce", "dice_bce")]
)
def test_the_loss_of_the_other_kind_of_classes(labels: Any, loss: Any, other: str) -> None:
    plan = small.plan(labels)
    with pytest.raises(UsageError, match=rf"--loss {loss}: the classes of plan default .*; the same loss for them is --loss {other}\."):
        apply_options(plan, plan.stages["2d"], TrainOptions(loss=loss), expected=lambda stage: stage.iterations)


def test_a_batch_beyond_the_budget_is_refused() -> None:
    with pytest.raises(
        PlanError, match=r"batch 6 with dice_bce and sgd needs 0\.7 GiB \(traced\), but cpu has 0\.7 GiB; the plan's batch is 2"
    ):
        applied(TrainOptions(batch=6), memory_bytes=CPU_PROCESS_BYTES + 1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"iterations_per_epoch": -1}, "--iterations-per-epoch must be at least 1, got -1"),
        ({"batch": 0}, "--batch must be at least 1, got 0"),
        ({"lr": 0.0}, "--lr must be positive, got 0.0"),
        (
            {"loss": "dice"},
            r"--loss dice is not known; there are dice_ce, dice_bce, dice_focal, focal, tversky, jaccard, ms_ssim, border_ce\.",
        ),
        ({"optimizer": "adamax"}, r"--optimizer adamax is not known; there are sgd, adam, adamw, lion, rmsprop\."),
        ({"schedule": "linear"}, r"--schedule linear is not known; there are poly, cosine, step, constant, plateau\."),
        ({"augmentation": "weak"}, r"--augmentation weak is not known; there are default, none, strong, workers\."),
        ({"warmup": 1.0}, r"--warmup is a share of the training, in \[0, 1\), got 1"),
        ({"warmup": float("nan")}, "--warmup is a share of the training"),
        ({"trainer": "adam"}, r"--trainer adam is not known; there are default, sgd, adamw\."),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainOptions(**options)
