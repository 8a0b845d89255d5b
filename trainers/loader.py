"""Samples read ahead by threads, given back in order.

Threads, not processes: decompression and slicing release the interpreter's lock and the heavy part of the augmentation runs on the
device, so nothing is gained by processes that take seconds to start, copy every array through a pipe and hide their errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Batches that lie ready or in work for each thread.
AHEAD_PER_WORKER = 2


def read_ahead(read: Callable[[int], T], first: int, *, workers: int) -> Generator[T]:
    """read(first), read(first + 1), ... without end, each computed ahead of time.

    Parameters
    ----------
    read : callable
        A function of the index alone; its exception is raised here, with its own traceback.
    first : int
    workers : int
        Threads; 0 reads in the caller's.
    """
    if workers < 1:
        index = first
        while True:
            yield read(index)
            index += 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="autoseg-loader")
    pending: deque[Future[T]] = deque()
    try:
        index = first
        while True:
            while len(pending) < AHEAD_PER_WORKER * workers:
                pending.append(pool.submit(read, index))
                index += 1
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
