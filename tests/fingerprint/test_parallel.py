"""One function over many cases, here or in a pool."""

import operator
import os
import time

import pytest

from autoseg.errors import DataError, RunError
from autoseg.io import parallel
from autoseg.io.parallel import map_cases


def slow_process(item: int) -> tuple[int, int]:
    time.sleep(0.02)
    return item, os.getpid()


def fail(item: int) -> int:
    if item == 2:
        raise DataError([f"{item}: bad"])
    return item


def die(item: int) -> int:
    if item == 2:
        os._exit(1)
    return item


def test_quick_work_stays_in_this_process() -> None:
    seen: list[tuple[int, int]] = []
    found = list(map_cases(abs, [-1, -2, -3], workers=4, progress=lambda done, total: seen.append((done, total))))
    assert found == [1, 2, 3]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_when_a_pool_pays() -> None:
    assert not parallel._pool_pays(0.05, 40, 4)  # 2 s of work
    assert parallel._pool_pays(0.5, 40, 4)
    assert not parallel._pool_pays(30, 1, 4)


@pytest.mark.slow
def test_slow_work_goes_to_a_pool_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_pool_pays", lambda seconds, left, workers: seconds > 0.01)
    seen: list[int] = []
    found = list(map_cases(slow_process, range(8), workers=2, progress=lambda done, total: seen.append(done)))
    assert [item for item, _ in found] == list(range(8))
    assert seen == list(range(1, 9))
    assert len({pid for _, pid in found}) >= 2


@pytest.mark.slow
def test_a_workers_error_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_pool_pays", lambda seconds, left, workers: True)
    with pytest.raises(DataError, match="2: bad"):
        list(map_cases(fail, range(8), workers=2))


@pytest.mark.slow
def test_a_worker_that_dies_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_pool_pays", lambda seconds, left, workers: True)
    with pytest.raises(RunError, match="ran out of memory"):
        list(map_cases(die, range(8), workers=2))


def test_empty() -> None:
    assert list(map_cases(operator.neg, [], workers=4)) == []
