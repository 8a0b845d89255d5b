"""Masks, or the map, of an image too large to keep them in memory: pngs that are written row by row, as rows are decided.

They lie in a hidden folder beside the predictions until the case is written, and go with the object that knows them. Imports no torch.
"""

from __future__ import annotations

import math
import os
import shutil
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from autoseg.infer.bits import BitMasks
from autoseg.io.atomic import link_or_copy, naming, scratch_folder
from autoseg.io.names import escape_name
from autoseg.io.png import PngWriter, read_rows
from autoseg.labels import LabelSpace, Mask
from autoseg.preprocess.prepared import PreparedMeta

#: Pixels from which on the masks of a case go to files: of 30 classes a bit each would take 250 MB.
LARGE = 2**26
#: Threads that compress, each the files of some classes, and parts that may wait for them.
THREADS = min(4, os.cpu_count() or 1)
WAITING = 8
#: Files that are open at a time at most: systems allow some 1,000.
MOST_FILES = 256
#: Empty rows that are written at a time.
EMPTY = 128


class RowFiles:
    """Some pngs of one shape (y, x), written together from top to bottom; rows that are skipped, and columns beside a part, are 0.

    A context: files are finished when it ends well, and gone when it does not.

    Parameters
    ----------
    path : Path
        What the case is called at last; the files lie in a folder beside it.
    num : int
    shape : (int, int)
    dtype : bool or uint8
    """

    #: In memory, for whoever adds that up.
    nbytes = 0

    def __init__(self, path: Path, num: int, shape: tuple[int, int], dtype: type[np.bool_ | np.uint8]) -> None:
        self.folder = scratch_folder(path)
        self._gone = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.files = [self.folder / f"{number}.png" for number in range(num)]
        self.size, self.type = shape, np.dtype(dtype)
        self._row = 0
        self._waiting: deque[list[Future[None]]] = deque()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            streams = [opened.enter_context(file.open("wb")) for file in self.files]
            # Of each file one thread alone knows: its rows stay in order.
            self._threads = [opened.enter_context(ThreadPoolExecutor(1)) for _ in range(min(THREADS, len(self.files)))]
            self._open = opened.pop_all()
        self._writers = [PngWriter(stream, self.size, self.type) for stream in streams]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with ExitStack() as undo:
            undo.callback(self.discard)
            with self._open:
                if kind is None:
                    with naming(self.folder):
                        self._finish()
            if kind is None:
                undo.pop_all()

    def _finish(self) -> None:
        self._skip(self.size[0] - self._row)
        self._wait(0)
        for writer in self._writers:
            writer.end()

    def discard(self) -> None:
        """Remove the files: nobody will look at them."""
        self._gone()

    def _put(self, place: tuple[slice, ...], parts: BitMasks | NDArray[np.uint8]) -> None:
        """The next rows of all files, (num, *place)."""
        rows, columns = place
        self._skip(rows.start - self._row)
        self._write(parts, rows.stop - rows.start, columns)

    def _skip(self, num_rows: int) -> None:
        for top in range(0, num_rows, EMPTY):
            self._write(None, min(EMPTY, num_rows - top))

    def _write(self, parts: BitMasks | NDArray[np.uint8] | None, num_rows: int, columns: slice = slice(0)) -> None:
        def work(first: int) -> None:
            for number in range(first, len(self.files), len(self._threads)):
                rows = np.zeros((num_rows, self.size[1]), self.type)
                if parts is not None:
                    rows[:, columns] = parts[number]
                self._writers[number].write(rows)

        self._waiting.append([thread.submit(work, first) for first, thread in enumerate(self._threads)])
        self._row += num_rows
        self._wait(WAITING)

    def _wait(self, most: int) -> None:
        # A full disk is said of this folder, and not of the image that is predicted.
        with naming(self.folder):
            while len(self._waiting) > most:
                for future in self._waiting.popleft():
                    future.result()

    def _read(self, number: int) -> NDArray[Any]:
        out, top = np.empty(self.size, self.type), 0
        for rows in read_rows(self.files[number]):
            np.not_equal(rows, 0, out=out[top : top + len(rows)]) if self.type == np.bool_ else np.copyto(out[top : top + len(rows)], rows)
            top += len(rows)
        return out

    def link(self, number: int, path: Path) -> None:
        """Give a file a name of its own; it stays when the folder goes."""
        link_or_copy(self.files[number], path)


class MaskFiles(RowFiles):
    """Masks of overlapping classes, bool (K, y, x), as `BitMasks` gives them: one at a time is read from its file."""

    dtype = np.dtype(np.bool_)

    def __init__(self, path: Path, num: int, shape: tuple[int, int]) -> None:
        super().__init__(path, num, shape, np.bool_)
        self.num, self.shape = num, (num, *shape)

    def put(self, place: tuple[slice, ...], masks: NDArray[np.bool_]) -> None:
        """The next rows of all classes, (K, *place)."""
        # From among 30 that lie innermost in memory, one class is much slower to take than from bits.
        bits = BitMasks.empty(self.num, masks.shape[1:])
        bits.put(tuple(slice(0, n) for n in masks.shape[1:]), masks)
        self._put(place, bits)

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, k: int) -> Mask:
        """The mask of class `k`."""
        if not -self.num <= k < self.num:
            raise IndexError(f"there are {self.num} masks, no mask {k}")
        return self._read(k % self.num)

    def __iter__(self) -> Iterator[Mask]:
        return (self[k] for k in range(self.num))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.stack(list(self)).astype(dtype or np.bool_, copy=False)


class MapFile(RowFiles):
    """The values of exclusive classes below 256, uint8 (y, x); `np.asarray` reads them."""

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        super().__init__(path, 1, shape, np.uint8)
        self.shape = shape

    def put(self, place: tuple[slice, ...], values: NDArray[np.uint8]) -> None:
        """The next rows."""
        self._put(place, values[None])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self._read(0).astype(dtype or np.uint8, copy=False)


def large_files(out: Path, labels: LabelSpace, meta: PreparedMeta) -> MaskFiles | MapFile | None:
    """Files in `out` for a large 2D case; None for others, of hundreds of classes, and where a class's value does not fit into a byte."""
    shape = meta.geometry.shape
    if len(shape) != 2 or math.prod(shape) < LARGE:
        return None
    if max(labels.values, default=0) > 255 if labels.exclusive else labels.num_classes > MOST_FILES:
        return None
    path = out / escape_name(meta.name)
    return MapFile(path, shape) if labels.exclusive else MaskFiles(path, labels.num_classes, shape)
