"""Predicted cases on their way to the disk: written by threads of this process, or by other processes where that pays.

zlib, gzip and blosc2 compress outside of Python's lock; lines round masks, run lengths as text and pictures to look at are made inside of
it, where they hold up each other and the thread that feeds a GPU. Nets on a CPU have use for every core themselves: there threads write,
in a quarter of the memory, until they are seen to be what the nets wait for.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import NamedTuple

import numpy as np

from autoseg.case import Case
from autoseg.infer.bits import BitMasks
from autoseg.infer.claim import remove_all_leftovers
from autoseg.infer.formats import FORMATS
from autoseg.infer.mask_files import RowFiles
from autoseg.infer.segmentation import Segmentation
from autoseg.infer.target import Target
from autoseg.io.parallel import WORTH_S, pool_pays
from autoseg.io.ram import free_bytes, workers_that_fit
from autoseg.io.remote import Remote

log = logging.getLogger(__name__)

#: Larger segmentations are written here: they would lie in memory twice.
MOST_BYTES = 2**28
#: Bytes a pixel that an overlay or outlines of a large image take while they are drawn.
IMAGES = 4
#: What a process that writes holds besides the masks (numpy, scipy and pillow, and what is sent to it), and copies of an image's planes:
#: together 160 MiB at 2048 x 2048 with 29 classes, as measured (benchmarks/README.md, "Writing predictions").
PROCESS_BYTES, COPIES = 3 * 2**25, 4
REMEDY = "--overwrite with fewer formats at a time (--format) needs less of it."


class _Work(NamedTuple):
    """One case for another process."""

    case: Case
    segmentation: Segmentation
    target: Target
    is_known: bool


class Writer:
    """Writes cases, for several threads at once.

    Parameters
    ----------
    target : Target
    num_cases : int
        That are still to be written.
    processes : int
        That may write; 0: this one alone.
    threads : int
        That call `write`: when all are at it, the nets wait.
    on_gpu : bool
        The nets are on a GPU: the processor's cores are free, and processes write as soon as that pays.
    """

    def __init__(self, target: Target, num_cases: int, *, processes: int, threads: int, on_gpu: bool) -> None:
        self.target, self.left = target, num_cases
        self.threads, self.on_gpu = threads, on_gpu
        #: Seconds in which all threads were writing.
        self.full_s = 0.0
        self._writing, self._full_since = 0, 0.0
        self.processes = processes if any(FORMATS[name].holds_lock for name in target.formats) else 0
        self.remote: Remote[_Work, None] | None = None
        self._fastest = float("inf")
        self._lock = threading.Lock()

    def write(self, case: Case, segmentation: Segmentation, *, is_known: bool) -> None:
        """`Target.write_anew`, here or elsewhere.

        Raises
        ------
        RunError
            If a process that wrote the case died, more than once.
        """
        remote = self.remote
        if remote is not None and may_leave(segmentation):
            remote(_Work(case, segmentation, self.target, is_known))
            return
        self._come()
        begun = time.thread_time()
        try:
            self.target.write_anew(case, segmentation, is_known=is_known)
        finally:
            self._go()
        self._note(time.thread_time() - begun, segmentation)

    def close(self) -> None:
        """End the processes, and remove what one that died left half written."""
        if self.remote is not None:
            self.remote.close()
            if self.remote.deaths:
                remove_all_leftovers(self.target.out)

    def _come(self) -> None:
        with self._lock:
            self._writing += 1
            if self._writing == self.threads:
                self._full_since = time.perf_counter()

    def _go(self) -> None:
        with self._lock:
            if self._writing == self.threads:
                self.full_s += time.perf_counter() - self._full_since
            self._writing -= 1

    def _note(self, seconds: float, segmentation: Segmentation) -> None:
        """A case took this thread so many seconds of the processor: are others to do it from here on?"""
        with self._lock:
            self.left -= 1
            self._fastest = min(self._fastest, seconds)
            is_scarce = self.on_gpu or self.full_s > WORTH_S
            if self.remote is not None or not self.processes or not is_scarce or not may_leave(segmentation):
                return
            each = PROCESS_BYTES + COPIES * num_bytes(segmentation)
            used = workers_that_fit(self.processes, each, free_bytes())
            if used > 1 and pool_pays(self._fastest, self.left, used):
                log.info("processes write the files from here on: a case takes %.2f s of Python's own time", self._fastest)
                self.remote = Remote(_write, most=used, remedy=REMEDY)


def may_leave(segmentation: Segmentation) -> bool:
    """True if it can go to another process: its masks lie in memory, and are small."""
    return isinstance(segmentation.array, BitMasks | np.ndarray) and num_bytes(segmentation) <= MOST_BYTES


def num_bytes(segmentation: Segmentation) -> int:
    """What its arrays take in memory; of masks in files what their writing may take: a few images of a byte a pixel."""
    if isinstance(segmentation.array, RowFiles):
        return IMAGES * math.prod(segmentation.array.size)
    array = segmentation.array.planes if isinstance(segmentation.array, BitMasks) else segmentation.array
    kept = (part for part in (array, segmentation.probabilities, segmentation.halves) if part is not None)
    return sum(int(part.nbytes) for part in kept)


def _write(work: _Work) -> None:
    work.target.write_anew(work.case, work.segmentation, is_known=work.is_known)
