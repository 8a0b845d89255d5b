"""The learning rate in closed form."""

import math
from typing import get_args

import pytest

from autoseg.recipe import ScheduleName
from autoseg.trainers.schedule import SCHEDULES, learning_rate, plateaus
from tests import small

POLY = small.recipe(schedule="poly", lr=0.01)
COSINE = small.recipe(schedule="cosine", lr=0.002)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 0.99, 1.0])
def test_poly_and_cosine(progress: float) -> None:
    assert learning_rate(POLY, progress) == pytest.approx(0.01 * (1 - progress) ** 0.9)
    assert learning_rate(COSINE, progress) == pytest.approx(0.001 * (1 + math.cos(math.pi * progress)))


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_warmup_rises_linearly_and_the_rest_is_the_schedule(schedule: str) -> None:
    recipe = small.recipe(schedule=schedule, lr=1.0, warmup=0.2)
    assert learning_rate(recipe, 0.05) == pytest.approx(0.25)
    assert learning_rate(recipe, 0.1) == pytest.approx(0.5)
    assert learning_rate(recipe, 0.2) == pytest.approx(1.0)
    assert learning_rate(recipe, 0.6) == pytest.approx(learning_rate(small.recipe(schedule=schedule, lr=1.0), 0.5))
    assert learning_rate(recipe, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(recipe, 0.0) > 0


def test_the_recipes_names_are_the_schedules() -> None:
    assert set(get_args(ScheduleName)) == SCHEDULES.keys()


@pytest.mark.parametrize(("progress", "share"), [(0.0, 1), (0.49, 1), (0.5, 0.1), (0.74, 0.1), (0.75, 0.01), (1.0, 0.01)])
def test_step_and_constant(progress: float, share: float) -> None:
    assert learning_rate(small.recipe(schedule="step", lr=0.2), progress) == pytest.approx(0.2 * share)
    assert learning_rate(small.recipe(schedule="constant", lr=0.2), progress) == 0.2


def test_steps_are_of_the_time_after_warm_up() -> None:
    recipe = small.recipe(schedule="step", lr=1.0, warmup=0.2)
    assert [learning_rate(recipe, p) for p in (0.1, 0.2, 0.59, 0.61)] == pytest.approx([0.5, 1, 1, 0.1])
    assert learning_rate(small.recipe(schedule="constant", lr=1.0, warmup=0.2), 0.1) == pytest.approx(0.5)


def tenths(*losses: float, length: float = 0.05) -> list[tuple[float, float]]:
    """Epochs of a twentieth of the training."""
    return [(length * (k + 1), loss) for k, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "count"),
    [
        ((), 0),
        ((1.0,) * 2, 0),
        ((1.0,) * 3, 1),  # a tenth of the training after the lowest
        ((1.0,) * 4, 1),
        ((1.0,) * 5, 2),
        ((1.0, 0.9, 0.8, 0.7, 0.6), 0),
        ((1.0, 0.999, 0.998, 0.997), 1),  # falls, but by less than 0.005
        ((1.0, 0.998, 0.994, 0.993), 0),
        ((0.5, 0.9, 0.9), 1),
        ((float("nan"),) * 3, 1),
    ],
)
def test_plateaus(losses: tuple[float, ...], count: int) -> None:
    assert plateaus(tenths(*losses)) == count
    rate = learning_rate(small.recipe(schedule="plateau", lr=1.0), 0.5, tenths(*losses))
    assert rate == pytest.approx(0.2**count)


def test_plateaus_do_not_depend_on_how_long_epochs_are() -> None:
    flat = [tenths(*[1.0] * round(1 / length), length=length) for length in (0.1, 0.05, 0.01)]
    assert [plateaus(losses) for losses in flat] == [9, 9, 9]


def test_progress_beyond_its_range_is_cut() -> None:
    assert learning_rate(POLY, 1.3) == learning_rate(COSINE, 1.0) == 0
    assert learning_rate(POLY, -0.1) == 0.01
