"""The same function over many cases: in this process, or in a pool of processes where that is measured to pay."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from autoseg.io.pool import in_pool
from autoseg.io.ram import free_bytes, peak_bytes, workers_that_fit

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

#: Seconds until spawned processes have imported numpy, scipy and SimpleITK and done their first small case (1.1 to 1.3 measured).
START_S = 1.5
#: A pool must save this many seconds to be worth its processes.
WORTH_S = 2.0


def map_cases(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, progress: Progress | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order.

    Parameters
    ----------
    function : callable
        Defined at the top of a module (or a functools.partial of such a function), so that a spawned process can import it.
    items : sequence
    workers : int
        Most processes to use; fewer where the memory that is free (`io.ram`) does not hold as many as this process has become large with
        the first items. Work starts in this process; a pool takes over once what is left is measured to repay its start.
    progress : callable(done, total), optional

    Raises
    ------
    RunError
        If a worker dies of the same item again and again.

    Notes
    -----
    At most two items per worker are under way, so that results never pile up in memory. An exception in a worker is raised here. An item
    whose worker dies is given to another one, with fewer beside it (`io.pool`).
    """
    fastest = 0.0
    for done, item in enumerate(items):
        if workers > 1 and pool_pays(fastest, len(items) - done, workers):
            used = _planned(workers, len(items) - done)
            for number, result in enumerate(in_pool(function, items[done:], workers=used), start=done + 1):
                yield _report(result, number, len(items), progress)
            return
        begun = time.perf_counter()
        result = function(item)
        # The first item pays for imports and cold files; the quickest so far is what a case costs at least.
        took = time.perf_counter() - begun
        fastest = took if done == 1 else min(fastest, took)
        yield _report(result, done + 1, len(items), progress)


def _planned(workers: int, left: int) -> int:
    wanted = min(workers, left)
    used = workers_that_fit(wanted, peak_bytes(), free_bytes())
    if used < wanted:
        log.info("%d instead of %d processes: each may become as large as this one has, %.1f GB", used, wanted, peak_bytes() / 1e9)
    return used


def pool_pays(seconds_each: float, left: int, workers: int) -> bool:
    """True if processes, started now, save more than `WORTH_S` of what `left` items of so many seconds each take here."""
    used = min(workers, left)
    return used > 0 and seconds_each * left - (START_S + seconds_each * left / used) > WORTH_S


def _report(result: Result, done: int, total: int, progress: Progress | None) -> Result:
    if progress is not None:
        progress(done, total)
    return result
