"""A measured step is a real one, and the median of several."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from autoseg.step import training_step
from autoseg.stopwatch import TIMED_STEPS, WARM_UP_STEPS, measure_step
from tests import small

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


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


def short_steps(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int, int], bool], error: RuntimeError = CUDA) -> list[int]:
    """Steps for whose number, from 0, and most samples at a time `fails` holds run out of memory; gives those sizes of all steps."""
    sizes: list[int] = []

    def step(learner: Any, given: Any) -> Any:
        size = max(len(part.images) for part in given)
        assert sum(len(part.images) for part in given) == 4
        sizes.append(size)
        if fails(len(sizes) - 1, size):
            raise error
        return training_step(learner, given)

    monkeypatch.setattr("autoseg.stopwatch.training_step", step)
    return sizes


def test_a_step_that_runs_out_of_memory_is_timed_in_parts(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    sizes = short_steps(monkeypatch, lambda number, size: size > 1)
    assert measure_step(small.stage(batch=4), small.CPU, exclusive=False) > 0
    assert sizes == [4, 4, 2, 2, *[1] * 7]
    assert [record.getMessage() for record in caplog.records] == [
        f"memory ran out with {size} samples at a time: steps of 4 in parts are timed" for size in (4, 2)
    ]


def test_one_that_fails_once_keeps_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = short_steps(monkeypatch, lambda number, size: number == 3)
    measure_step(small.stage(batch=4), small.CPU, exclusive=False)
    assert sizes == [4] * 8


def test_only_steps_of_the_size_that_fits_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = short_steps(monkeypatch, lambda number, size: number in (3, 4))
    measure_step(small.stage(batch=4), small.CPU, exclusive=False)
    assert sizes == [4] * 5 + [2] * 7


def test_a_single_sample_too_large_and_other_errors_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = short_steps(monkeypatch, lambda number, size: True)
    with pytest.raises(torch.OutOfMemoryError):
        measure_step(small.stage(batch=4), small.CPU, exclusive=False)
    assert sizes == [4, 4, 2, 2, 1, 1]
    sizes = short_steps(monkeypatch, lambda number, size: True, RuntimeError("mat1 and mat2"))
    with pytest.raises(RuntimeError, match="mat1"):
        measure_step(small.stage(batch=4), small.CPU, exclusive=False)
    assert sizes == [4]


def test_larger_batches_take_longer() -> None:
    times = [measure_step(small.stage(patch=(64, 64), batch=b), small.CPU, exclusive=False) for b in (1, 16)]
    assert times[1] > 1.5 * times[0]
