"""The same function over many cases: in this process, or in a pool of processes where that is measured to pay."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from autoseg.errors import RunError

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
        Most processes to use. Work starts in this process; a pool takes over once what is left is measured to repay its start.
    progress : callable(done, total), optional

    Notes
    -----
    At most two items per worker are under way, so that results never pile up in memory. An exception in a worker is raised here.
    """
    fastest = 0.0
    for done, item in enumerate(items):
        if workers > 1 and _pool_pays(fastest, len(items) - done, workers):
            yield from _in_pool(function, items, workers=workers, done=done, progress=progress)
            return
        begun = time.perf_counter()
        result = function(item)
        # The first item pays for imports and cold files; the quickest so far is what a case costs at least.
        took = time.perf_counter() - begun
        fastest = took if done == 1 else min(fastest, took)
        yield _report(result, done + 1, len(items), progress)


def _pool_pays(seconds_each: float, left: int, workers: int) -> bool:
    used = min(workers, left)
    return seconds_each * left - (START_S + seconds_each * left / used) > WORTH_S


def _in_pool(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, done: int, progress: Progress | None
) -> Iterator[Result]:
    used = min(workers, len(items) - done)
    log.debug("%d processes take over after %d of %d cases", used, done, len(items))
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(used, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for item in items[done:]:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * used:
                    done += 1
                    yield _report(waiting.popleft().result(), done, len(items), progress)
            while waiting:
                done += 1
                yield _report(waiting.popleft().result(), done, len(items), progress)
        except BrokenProcessPool:
            raise RunError(
                f"a process that was reading cases ended without a word after {done} of {len(items)}; most often the machine ran out of "
                f"memory: --workers {used // 2} needs less of it"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def _report(result: Result, done: int, total: int, progress: Progress | None) -> Result:
    if progress is not None:
        progress(done, total)
    return result
