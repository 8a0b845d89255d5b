"""Samples read ahead by threads or processes, given back in order.

Threads where they do: decompression and slicing release the interpreter's lock and the heavy part of the augmentation runs on the device,
so nothing is gained by processes that take seconds to start and copy every array through a pipe. batchgenerators' transforms need
processes, since they draw from numpy's global generator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from autoseg.io.pool import in_pool
from autoseg.io.ram import free_bytes

T = TypeVar("T")

#: Batches that lie ready or in work for each thread, and the share of the memory that is free that all of them may take.
AHEAD_PER_WORKER, AHEAD_SHARE = 2, 0.25
#: What a person does about workers for whom there is no memory.
REMEDY = "a smaller budget.workers in the plan needs less of it, and training anew with --augmentation default no processes at all."


def read_ahead(read: Callable[[int], T], first: int, *, workers: int) -> Generator[T]:
    """read(first), read(first + 1), ... without end, each computed ahead of time.

    Parameters
    ----------
    read : callable
        A function of the index alone; its exception is raised here, with its own traceback.
    first : int
    workers : int
        Threads; 0 reads in the caller's. Where results are large fewer lie ready: `AHEAD_SHARE` of what is free when the first is there.
    """
    if workers < 1:
        index = first
        while True:
            yield read(index)
            index += 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="autoseg-loader")
    pending: deque[Future[T]] = deque()
    try:
        index, ahead = first, 1
        while True:
            while len(pending) < ahead:
                pending.append(pool.submit(read, index))
                index += 1
            result = pending.popleft().result()
            if index == first + 1:
                ahead = _num_ahead(result, AHEAD_PER_WORKER * workers)
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def work_ahead(read: Callable[[int], T], indices: range, *, name: Callable[[int], str], workers: int) -> Generator[T]:
    """read(index) for each index, computed ahead of time by processes.

    Parameters
    ----------
    read : callable
        Can be pickled. Its exception is raised here in its turn, caused by one that holds the worker's traceback.
    indices : range
    name : callable
        What a person calls the work on an index whose process dies.
    workers : int
        Processes, at least one.

    Raises
    ------
    RunError
        If processes die of the same index again and again; one that dies once is replaced.
    """
    results = in_pool(read, indices, workers=max(1, workers), name=name, remedy=REMEDY)
    try:
        # A thread keeps the pool fed while the caller computes.
        yield from read_ahead(lambda _: next(results), indices.start, workers=1)
    finally:
        results.close()


def _num_ahead(result: object, most: int) -> int:
    """How many such results may lie ready."""
    free, size = free_bytes(), _size(result)
    return most if free is None or not size else max(1, min(most, int(AHEAD_SHARE * free) // size))


def _size(value: Any) -> int:
    """Bytes of all arrays in lists and dataclasses."""
    if isinstance(value, list | tuple):
        return sum(_size(item) for item in value)
    if is_dataclass(value):
        return sum(_size(getattr(value, field.name)) for field in fields(value))
    return int(getattr(value, "nbytes", 0))
