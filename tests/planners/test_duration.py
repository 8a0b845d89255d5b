"""Each image about a hundred times, 10,000 to 250,000 iterations, or what the time leaves."""

import pytest

from autoseg.planners.duration import planned_duration, timed_iterations


@pytest.mark.parametrize(
    ("images", "batch", "iterations"),
    [(640, 2, 32_000), (640, 3, 21_333), (100, 2, 10_000), (20, 2, 10_000), (10_000, 2, 250_000), (50_000, 512, 10_000)],
)
def test_by_the_data(images: int, batch: int, iterations: int) -> None:
    duration = planned_duration(images, batch, fold_s=None, step_s=None)
    assert (duration.iterations, duration.expected, duration.iterations_per_epoch) == (iterations, iterations, 250)
    assert f"{100 * images // batch:,} iterations" in duration.reason


def test_by_the_time() -> None:
    duration = planned_duration(640, 2, fold_s=1000, step_s=0.5)
    assert (duration.iterations, duration.expected) == (32_000, 1800)  # a tenth of the time validates
    assert duration.iterations_per_epoch == 1800 // 40
    assert "1,000 s per fold at 0.5 s per step leave about 1,800 iterations" in duration.reason


def test_time_in_plenty_and_time_that_was_not_measured_change_nothing() -> None:
    by_data = planned_duration(640, 2, fold_s=None, step_s=None)
    assert planned_duration(640, 2, fold_s=1e6, step_s=0.5) == by_data
    assert planned_duration(640, 2, fold_s=1000, step_s=None) == by_data


def test_there_is_always_an_iteration() -> None:
    assert timed_iterations(1, 100) == 1
    assert planned_duration(10, 2, fold_s=1, step_s=100).expected == 1
