"""A case at low resolution: what is compared between cases. Lives in memory while a data set is measured, in no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.labels import CodeMap

#: Pixels per axis of a sketch, by number of axes: enough for pose and likeness, 4 KiB a channel.
SKETCH_SIZE = {2: 32, 3: 16}


@dataclass(frozen=True, kw_only=True, eq=False)
class Sketch:
    """A case at low resolution, its whole extent squeezed into a square or cube.

    Parameters
    ----------
    image : array of float32, shape (g,) * n
        Mean over channels.
    classes : array of float32, shape (K, g, ...)
        Share of each cell that belongs to each class.
    foreground : array, shape (C, N)
        A sample of the foreground's values.
    """

    image: NDArray[np.float32]
    classes: NDArray[np.float32]
    foreground: NDArray[np.float32]

    def thinned(self, *, values: int, keep_classes: bool) -> Sketch:
        """About `values` foreground values at most, and no classes where they are not compared: memory stays bounded."""
        step = -(-self.foreground.shape[1] // values) if self.foreground.shape[1] else 1
        return Sketch(
            image=self.image,
            classes=self.classes if keep_classes else self.classes[:0],
            foreground=np.ascontiguousarray(self.foreground[:, ::step]),
        )


def cell_edges(length: int, cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last (exclusive) index of each of `cells` cells along an axis; cells share pixels if the axis is shorter.

    Examples
    --------
    >>> [edges.tolist() for edges in cell_edges(5, 2)]
    [[0, 2], [3, 5]]
    """
    index = np.arange(cells)
    starts = index * length // cells
    return starts, np.maximum(-(-(index + 1) * length // cells), starts + 1)


def shrink(array: NDArray[Any], cells: int, *, samples: int = 8) -> NDArray[np.float32]:
    """The mean of each cell, shape (cells,) * n; any image size, (z,) y, x."""
    out = array
    # A stride first where pixels abound: 8 samples a cell and axis are plenty for a mean, and 2048 x 2048 pixels are not.
    out = out[tuple(slice(n // (2 * samples * cells), None, max(1, n // (samples * cells))) for n in out.shape)]
    sums: NDArray[np.float64] = out.astype(np.float64)
    for axis, length in enumerate(out.shape):
        starts, stops = cell_edges(length, cells)
        total = np.insert(np.cumsum(sums, axis=axis), 0, 0.0, axis=axis)
        spans = (stops - starts).reshape([-1 if a == axis else 1 for a in range(sums.ndim)])
        sums = (np.take(total, stops, axis=axis) - np.take(total, starts, axis=axis)) / spans
    return sums.astype(np.float32)


def shrink_classes(labels: CodeMap, cells: int) -> NDArray[np.float32]:
    """Share of each cell that belongs to each class, (K, cells, ...), in one pass over the code map whatever the number of classes."""
    shape = labels.codes.shape
    cell = np.zeros((1,) * len(shape), np.int64)
    count = np.ones((1,) * len(shape), np.int64)
    for axis, length in enumerate(shape):
        along = [-1 if a == axis else 1 for a in range(len(shape))]
        if length < cells:  # repeat pixels; each cell reads the pixel under its middle
            return shrink_classes(labels.with_codes(_stretch(labels.codes, cells)), cells)
        of_pixel = np.arange(length) * cells // length
        cell = cell * cells + of_pixel.reshape(along)
        count = count * np.bincount(of_pixel, minlength=cells).reshape(along)
    sets = len(labels.table)
    counts = np.bincount((cell * sets + labels.codes).ravel(), minlength=cells ** len(shape) * sets).reshape(-1, sets)
    shares = (counts @ labels.table.astype(np.float64)) / count.reshape(-1, 1)
    return np.asarray(shares.T.reshape(-1, *(cells,) * len(shape)), np.float32)


def _stretch(codes: NDArray[Any], cells: int) -> NDArray[Any]:
    for axis, length in enumerate(codes.shape):
        if length < cells:
            codes = np.take(codes, (2 * np.arange(cells) + 1) * length // (2 * cells), axis=axis)
    return codes


def standardise(pictures: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows of zero mean and unit length, so that a product of two rows is their correlation; constant rows become zero."""
    rows = pictures.reshape(len(pictures), -1).astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1e-9, rows / np.maximum(length, 1e-9), 0.0)
