"""A measured step is a real one, and the median of several."""

import time
from typing import Any

import pytest

from autoseg.step import training_step
from autoseg.stopwatch import TIMED_STEPS, WARM_UP_STEPS, measure_step
from tests import small


@pytest.mark.parametrize(("axes", "exclusive"), [(2, False), (2, True), (3, False)])
def test_a_step_takes_some_time(axes: int, exclusive: bool) -> None:
    assert 0 < measure_step(small.stage(axes, exclusive=exclusive), small.CPU, exclusive=exclusive) < 60


def test_the_median_of_the_steps_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = iter([5.0, 5.0, 0.2, 0.4, 0.3, 9.0, 0.1])
    batches: list[tuple[int, ...]] = []
    now = 0.0

    def step(learner: Any, given: Any) -> Any:
        nonlocal now
        now += next(pauses)
        batches.append(given[0].images.shape)
        return training_step(learner, given)

    monkeypatch.setattr("autoseg.stopwatch.training_step", step)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    assert measure_step(small.stage(), small.CPU, exclusive=False) == pytest.approx(0.3)
    assert len(batches) == WARM_UP_STEPS + TIMED_STEPS == 7
    assert set(batches) == {(2, 1, 16, 16)}


def test_larger_batches_take_longer() -> None:
    times = [measure_step(small.stage(patch=(64, 64), batch=b), small.CPU, exclusive=False) for b in (1, 16)]
    assert times[1] > 1.5 * times[0]
