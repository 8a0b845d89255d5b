"""The learning rate in closed form."""

import math

import pytest

from autoseg.trainers.schedule import learning_rate
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


def test_progress_beyond_its_range_is_cut() -> None:
    assert learning_rate(POLY, 1.3) == learning_rate(COSINE, 1.0) == 0
    assert learning_rate(POLY, -0.1) == 0.01
