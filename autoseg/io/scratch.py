"""Large arrays outside of memory: in a file without a name, whose pages the system takes away and brings back."""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Bytes from which on an array goes into a file: of 30 classes in a byte each those of 512 x 512 x 140 voxels.
LARGE = 2**30
#: Bytes that are left to everyone else on that disk.
LEFT = 2**30
#: On a disk where /tmp is in memory (file-hierarchy(7)).
LASTING = Path("/var/tmp")  # noqa: S108 - the file gets no name
MOUNTS = Path("/proc/self/mountinfo")


def roomy_zeros(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros, in memory or, from `LARGE` bytes on, in a file of the folder of temporary files (TMPDIR), if its disk has room for it.

    The file has no name: it goes with the array, or with the process, however that ends. Where that folder is itself in memory (/tmp of
    some systems) it lies in /var/tmp, unless TMPDIR names the folder; in no file if both are.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE or not hasattr(os, "posix_fallocate"):
        return np.zeros(shape, dtype)
    folder = _folder()
    if folder is None or shutil.disk_usage(folder).free < size + LEFT:
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # All of it now: a page that finds the disk full later would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=tuple(shape))
    except OSError:
        return np.zeros(shape, dtype)


def _folder() -> Path | None:
    """Where files may lie; None where they would take their bytes from the memory at once, and never give them back."""
    chosen = Path(tempfile.gettempdir())
    if not is_in_memory(chosen):
        return chosen
    is_wanted = not os.environ.keys().isdisjoint({"TMPDIR", "TEMP", "TMP"})
    return LASTING if not is_wanted and os.access(LASTING, os.W_OK) and not is_in_memory(LASTING) else None


def is_in_memory(folder: Path, mounts: Path = MOUNTS) -> bool:
    """True if what is written to a folder stays in memory; False as well where the system does not say."""
    try:
        device, text = os.stat(folder).st_dev, mounts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    # proc_pid_mountinfo(5): the device is the third field, the kind of file system the first one behind a dash.
    lines = (line.split() for line in text.splitlines())
    return any(fields[2:3] == [number] and fields[fields.index("-") + 1] in ("tmpfs", "ramfs") for fields in lines if "-" in fields)


def let_go(array: NDArray[Any]) -> None:
    """Take the pages of an array of `roomy_zeros`, or of a part of it, out of this process's memory; the next look brings them back."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
