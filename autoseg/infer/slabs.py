"""Bands of the nets' grid as slabs of the original one, each as soon as its rows are known: no image of probabilities ever exists.

Shapes: H heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from autoseg.infer.blend import Band
from autoseg.preprocess.prepared import PreparedMeta
from autoseg.preprocess.resample import along, interpolation_matrix

#: Values of a slab: 128 MB of probabilities, and a quarter of that of masks.
SLAB = 2**25

Place = tuple[slice, ...]


class Slab(NamedTuple):
    """A part of an image on its original grid.

    Parameters
    ----------
    place : tuple of slices
        Where it lies, original axes.
    probabilities : fp32 Tensor, (H, *place), in [0, 1]
        Holds until the next slab is asked for.
    """

    place: Place
    probabilities: Tensor


def slabs(bands: Iterable[Band], meta: PreparedMeta) -> Iterator[Slab]:
    """The slabs of a case, in the order of its bands; together they are the box that was cut out of the image.

    Parameters
    ----------
    bands : iterable of Band
        All rows of the case, on the prepared grid.
    meta : PreparedMeta
    """
    if meta.resampled_shape != meta.box_shape:
        yield from _resampled(bands, meta)
        return
    for band in bands:
        values = band.probabilities
        step = _rows_of(SLAB, len(values), values.shape[2:])
        for top in range(0, values.shape[1], step):
            part = values[:, top : top + step]
            first = band.rows.start + top
            yield Slab(_place(meta, first, first + part.shape[1]), part.permute(0, *(1 + a for a in _back(meta))))


def _resampled(bands: Iterable[Band], meta: PreparedMeta) -> Iterator[Slab]:
    rows = _Rows.of(meta)
    others = [max(meta.resampled_shape[a], meta.box_shape[a]) for a in meta.axes[1:]]
    done, above = 0, _Above()
    for band in bands:
        values = band.probabilities.cpu().numpy()
        ready = rows.ready(band.rows.stop)
        # As many rows as fit, on the grid that has more of them.
        step = max(1, int(_rows_of(SLAB, len(values), others) * min(1, len(rows.first) / meta.shape[0])))
        for start in range(done, ready, step):
            stop = min(start + step, ready)
            low, high = int(rows.first[start]), int(rows.last[stop - 1]) + 1
            part = rows.matrix[start:stop, low:high]
            yield Slab(_place(meta, start, stop), torch.from_numpy(_carried(above.join(values, band.rows.start, low, high), part, meta)))
        done = max(done, ready)
        above.keep(values, band.rows, int(rows.first[done]) if done < len(rows.first) else band.rows.stop)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Which rows of the prepared grid each row of the original one is interpolated from: `first` to `last`, by `matrix` (new, old)."""

    matrix: sparse.csr_array[np.float32]
    first: NDArray[np.intp]
    last: NDArray[np.intp]

    @classmethod
    def of(cls, meta: PreparedMeta) -> _Rows:
        axis = meta.axes[0]
        matrix = interpolation_matrix(meta.resampled_shape[axis], meta.box_shape[axis], kernel="linear")
        # No row is empty: they sum to one.
        first, last = (np.asarray(ufunc.reduceat(matrix.indices, matrix.indptr[:-1]), np.intp) for ufunc in (np.minimum, np.maximum))
        return cls(matrix=matrix, first=first, last=last)

    def ready(self, known: int) -> int:
        """How many rows of the original grid are known when so many of the prepared one are."""
        return int(np.searchsorted(self.last, known, side="left"))


@dataclass(kw_only=True, eq=False)
class _Above:
    """The few prepared rows above a band, (H, rows, ...), that rows to come still need."""

    top: int = 0
    values: NDArray[np.float32] | None = field(default=None)

    def join(self, band: NDArray[np.float32], start: int, low: int, high: int) -> NDArray[np.float32]:
        """The rows `low` to `high`, of a band that begins at `start` and of those above it."""
        inside = band[:, max(0, low - start) : high - start]
        if low >= start:
            return inside
        assert self.values is not None
        return np.concatenate([self.values[:, low - self.top : high - self.top], inside], axis=1)

    def keep(self, band: NDArray[np.float32], rows: slice, first: int) -> None:
        """Forget the rows above `first`, and copy what is needed of the band: its memory is used again."""
        self.values, self.top = self.join(band, rows.start, first, rows.stop).copy(), first


def _carried(values: NDArray[np.float32], rows: sparse.csr_array[np.float32], meta: PreparedMeta) -> NDArray[np.float32]:
    """Prepared rows (H, rows, ...) carried to the original grid, its axes in their order; in the order of `resample`, to the last bit."""
    old, new = meta.resampled_shape, meta.box_shape
    for axis in sorted(range(len(old)), key=lambda a: new[a] / old[a]):
        dim = 1 + meta.axes.index(axis)
        if old[axis] == new[axis]:
            continue
        values = along(values, dim, rows if dim == 1 else interpolation_matrix(old[axis], new[axis], kernel="linear"))
    return values.transpose(0, *(1 + a for a in _back(meta)))


def _place(meta: PreparedMeta, first: int, stop: int) -> Place:
    """Rows of the box, along the original axis that lies first on the prepared grid, with all of the box's other axes."""
    place = [slice(low, high) for low, high in meta.box]
    offset = meta.box[meta.axes[0]][0]
    place[meta.axes[0]] = slice(offset + first, offset + stop)
    return tuple(place)


def _back(meta: PreparedMeta) -> list[int]:
    """Where each original axis lies on the prepared grid."""
    return [meta.axes.index(axis) for axis in range(len(meta.axes))]


def _rows_of(num: int, heads: int, others: Iterable[int]) -> int:
    """Rows that have about `num` values, at least one."""
    return max(1, num // max(1, heads * math.prod(others)))
