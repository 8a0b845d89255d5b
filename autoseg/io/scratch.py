"""Large arrays outside of memory: in a file without a name, whose pages the system takes away and brings back."""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Bytes from which on an array goes into a file: of 30 classes in a byte each those of 512 x 512 x 140 voxels.
LARGE = 2**30
#: Bytes that are left to everyone else on that disk.
LEFT = 2**30


def roomy_zeros(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros, in memory or, from `LARGE` bytes on, in a file of the folder of temporary files (TMPDIR), if its disk has room for it.

    The file has no name: it goes with the array, or with the process, however that ends.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE or not hasattr(os, "posix_fallocate"):
        return np.zeros(shape, dtype)
    if shutil.disk_usage(tempfile.gettempdir()).free < size + LEFT:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:
        try:
            # All of it now: a page that finds the disk full later would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            return np.zeros(shape, dtype)
        return np.memmap(file, dtype, "r+", shape=tuple(shape))


def let_go(array: NDArray[Any]) -> None:
    """Take the pages of an array of `roomy_zeros`, or of a part of it, out of this process's memory; the next look brings them back."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
