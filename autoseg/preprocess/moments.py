"""Range, mean and standard deviation of a channel in one pass over its parts: of an image that is read by region, each is read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.io.tif_regions import regions_of

#: Values that are looked at in one go; counting takes 8 bytes of each.
PIECE = 2**22


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of all values: the lowest and the highest, the mean and the standard deviation (of the whole, not of a sample)."""

    low: float
    high: float
    mean: float
    std: float


def moments(parts: Iterable[NDArray[Any]]) -> Moments:
    """The moments of one array's parts, which are of one dtype and hold at least one value.

    Notes
    -----
    8 and 16 bit are counted, which is exact. Others: Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm for computing
    sample variances, 1979; as accurate as two passes.
    """
    iterator = iter(parts)
    first = next(iterator)
    if first.dtype in (np.uint8, np.uint16):
        return _counted(first, iterator)
    low, high, mean, squares, size = np.inf, -np.inf, 0.0, 0.0, 0
    for part in _with(first, iterator):
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        own = float(part.mean(dtype=np.float64))
        off, total = own - mean, size + part.size
        squares += float(np.square(np.subtract(part, own, dtype=np.float64)).sum()) + off * off * size * part.size / total
        mean += off * part.size / total
        size = total
    return Moments(low=low, high=high, mean=mean, std=float(np.sqrt(squares / size)))


def _counted(first: NDArray[Any], others: Iterable[NDArray[Any]]) -> Moments:
    counts = np.zeros(np.iinfo(first.dtype).max + 1)
    for part in _with(first, others):
        counts += np.bincount(part.ravel(), minlength=len(counts))
    grey = np.arange(len(counts), dtype=np.float64)
    mean = float(counts @ grey / counts.sum())
    there = np.flatnonzero(counts)
    return Moments(low=float(there[0]), high=float(there[-1]), mean=mean, std=float(np.sqrt(counts @ (grey - mean) ** 2 / counts.sum())))


def _with(first: NDArray[Any], others: Iterable[NDArray[Any]]) -> Iterable[NDArray[Any]]:
    yield first
    yield from others


def moments_of(channel: NDArray[Any]) -> Moments:
    """The moments of an array, or of an image (1, y, x) that is read by region."""
    regions = regions_of(channel)
    return moments(pieces(channel) if regions is None else regions.slabs())


def pieces(array: NDArray[Any]) -> list[NDArray[Any]]:
    """An array cut along its first axis into views of some millions of values; small ones whole."""
    rows = max(1, PIECE * len(array) // max(1, array.size))
    return [array[start : start + rows] for start in range(0, len(array), rows)]
