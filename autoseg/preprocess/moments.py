"""Range, mean and standard deviation of channels in one pass over their parts: of an image that is read by region, each is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.io.tif_regions import TifRegions

#: Values that are looked at in one go; counting takes 8 bytes of each.
PIECE = 2**22


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of all values: the lowest and the highest, the mean and the standard deviation (of the whole, not of a sample)."""

    low: float
    high: float
    mean: float
    std: float


class _Counts:
    """Of uint8 and uint16: how often each value is there, which is exact."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._counts = np.zeros(np.iinfo(dtype).max + 1)

    def add(self, part: NDArray[Any]) -> None:
        self._counts += np.bincount(part.ravel(), minlength=len(self._counts))

    def moments(self) -> Moments:
        counts, grey = self._counts, np.arange(len(self._counts), dtype=np.float64)
        mean = float(counts @ grey / counts.sum())
        std = float(np.sqrt(counts @ (grey - mean) ** 2 / counts.sum()))
        there = np.flatnonzero(counts)
        return Moments(low=float(there[0]), high=float(there[-1]), mean=mean, std=std)


class _Sums:
    """Of other dtypes: Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979."""

    def __init__(self) -> None:
        self._low, self._high, self._mean, self._squares, self._size = np.inf, -np.inf, 0.0, 0.0, 0

    def add(self, part: NDArray[Any]) -> None:
        self._low, self._high = min(self._low, float(part.min())), max(self._high, float(part.max()))
        own = float(part.mean(dtype=np.float64))
        off, total = own - self._mean, self._size + part.size
        within = float(np.square(np.subtract(part, own, dtype=np.float64)).sum())
        self._squares += within + off * off * self._size * part.size / total
        self._mean += off * part.size / total
        self._size = total

    def moments(self) -> Moments:
        return Moments(low=self._low, high=self._high, mean=self._mean, std=float(np.sqrt(self._squares / self._size)))


def _gatherer(dtype: np.dtype[Any]) -> _Counts | _Sums:
    return _Counts(dtype) if dtype in (np.uint8, np.uint16) else _Sums()


def moments_of(channel: NDArray[Any]) -> Moments:
    """The moments of an array that holds at least one value.

    Notes
    -----
    uint8 and uint16 are counted, which is exact; of others the sums of parts are joined, as accurate as two passes.
    """
    gathered = _gatherer(channel.dtype)
    for part in pieces(channel):
        gathered.add(part)
    return gathered.moments()


def moments_of_regions(regions: TifRegions) -> list[Moments]:
    """The moments of each channel of an image that is read by region, whose strips and tiles are decoded once for all of them."""
    gathered = [_gatherer(regions.dtype) for _ in range(len(regions))]
    # As high as those of one channel: the sums do not depend on what else is in the file.
    for slab in regions.slabs(of_each=True):
        for one, part in zip(gathered, slab, strict=True):
            one.add(part)
    return [one.moments() for one in gathered]


def pieces(array: NDArray[Any]) -> list[NDArray[Any]]:
    """An array cut along its first axis into views of some millions of values; small ones whole."""
    rows = max(1, PIECE * len(array) // max(1, array.size))
    return [array[start : start + rows] for start in range(0, len(array), rows)]
