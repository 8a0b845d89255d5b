"""How an image is cut into overlapping tiles, and with which weights their predictions are blended. Pure functions of shapes.

Everything is separable: a grid of tiles is the product of its axes, and so are the weights and their sums. Weights are therefore
normalised axis by axis, before anything is predicted: a plain sum of weighted tiles is the blend, and nothing is divided at the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.geometry import mirror_indices

SIGMA_SHARE = 1 / 8
#: No weight is below this share of the peak. exp(-8), the edge of a patch of 8 sigma, is 3e-4; a narrower Gaussian would vanish in fp32.
FLOOR = 1e-6

Weights = NDArray[np.float32]


def tile_starts(length: int, patch: int, step: float = 0.5) -> tuple[int, ...]:
    """First pixels of the tiles along one axis.

    Parameters
    ----------
    length, patch : int
        Pixels of the image and of a tile, both at least 1.
    step : float
        Largest distance between neighbouring tiles as a share of the patch, in (0, 1].

    Returns
    -------
    tuple of int
        Ascending, spread evenly, the first at 0 and the last flush with the end (nnU-Net's rule). An image that is smaller than the
        patch gets one tile with the image in its middle: its start is negative, and the tile mirrors the image on both sides.

    Raises
    ------
    ValueError
        If a length is below 1 or `step` outside (0, 1].

    Examples
    --------
    A row of 10 pixels, tiles of 4 that overlap by half or more::

        image   0 1 2 3 4 5 6 7 8 9
        tile 0  # # # #
        tile 1      # # # #
        tile 2          # # # #
        tile 3              # # # #

    >>> tile_starts(10, 4)
    (0, 2, 4, 6)

    Five pixels in a tile of 8, one mirrored pixel before and two behind::

        image     0 1 2 3 4
        tile 0  1 0 1 2 3 4 3 2

    >>> tile_starts(5, 8)
    (-1,)
    """
    if length < 1 or patch < 1:
        raise ValueError(f"length and patch must be at least 1, got {length} and {patch}")
    if not 0 < step <= 1:
        raise ValueError(f"step must lie in (0, 1], got {step}")
    spare = length - patch
    if spare <= 0:
        return (-(-spare // 2),)
    intervals = math.ceil(spare / max(1.0, patch * step))
    return tuple(round(spare * i / intervals) for i in range(intervals + 1))


def tiles(shape: Sequence[int], patch: Sequence[int], step: float = 0.5) -> list[tuple[int, ...]]:
    """First pixels of all tiles of an image, row by row: the first axis ascends slowest, so that finished rows close early.

    Parameters
    ----------
    shape, patch : sequence of int
        Of the image and of a tile, along the same axes.
    step : float
        As in `tile_starts`.

    Examples
    --------
    6 x 4 pixels, tiles of 4 x 4, step 0.5; `2` is where both tiles lie::

        0  # # # #
        1  # # # #
        2  2 2 2 2
        3  2 2 2 2
        4  # # # #
        5  # # # #

    >>> tiles((6, 4), (4, 4))
    [(0, 0), (2, 0)]
    >>> len(tiles((2048, 2048), (512, 512)))
    49
    """
    return list(itertools.product(*(tile_starts(n, p, step) for n, p in zip(shape, patch, strict=True))))


def gaussian(patch: int, sigma_share: float = SIGMA_SHARE) -> Weights:
    """Weights along one axis of a tile: a Gaussian around its middle, float32, shape (patch,), in (0, 1].

    Predictions at a tile's border see context on one side alone, so they count less (nnU-Net: sigma is 1/8 of the patch). The
    weights of a tile are the product over its axes.
    """
    distance = np.arange(patch, dtype=np.float64) - (patch - 1) / 2
    values = np.exp(-0.5 * (distance / (patch * sigma_share)) ** 2)
    return np.asarray(np.maximum(values / values.max(), FLOOR), np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """The tiles along one axis and their weights.

    Parameters
    ----------
    length, patch : int
    weights : dict of start -> array of float32, shape (patch,)
        In the order of the starts. Over the tiles that cover a pixel they sum to one; outside the image they are zero.
    """

    length: int
    patch: int
    weights: dict[int, Weights]

    @property
    def starts(self) -> tuple[int, ...]:
        """First pixels of the tiles, ascending."""
        return tuple(self.weights)

    def inside(self, start: int) -> tuple[slice, slice]:
        """Where the tile at `start` lies in the image, and that same part within the tile."""
        return inside(start, self.patch, self.length)

    def indices(self, start: int) -> NDArray[np.int64]:
        """The image's pixels that the tile at `start` reads, mirrored beyond the ends; shape (patch,)."""
        return mirror_indices(start, start + self.patch, self.length)


def inside(start: int, patch: int, length: int) -> tuple[slice, slice]:
    """The part of a tile that lies in the image, as a slice of the image and as a slice of the tile.

    >>> inside(-1, 8, 5)
    (slice(0, 5, None), slice(1, 6, None))
    """
    low, high = max(start, 0), min(start + patch, length)
    return slice(low, high), slice(low - start, high - start)


def plan_axis(length: int, patch: int, step: float = 0.5, sigma_share: float = SIGMA_SHARE) -> Axis:
    """The tiles of one axis with Gaussian weights that are a partition of unity."""
    starts = tile_starts(length, patch, step)
    bell = gaussian(patch, sigma_share).astype(np.float64)
    total = np.zeros(length, np.float64)
    for start in starts:
        image, tile = inside(start, patch, length)
        total[image] += bell[tile]
    weights = {}
    for start in starts:
        image, tile = inside(start, patch, length)
        weights[start] = np.zeros(patch, np.float32)
        weights[start][tile] = bell[tile] / total[image]
    return Axis(length=length, patch=patch, weights=weights)


def plan_axes(shape: Sequence[int], patch: Sequence[int], step: float = 0.5) -> tuple[Axis, ...]:
    """`plan_axis` for every axis of an image."""
    return tuple(plan_axis(n, p, step) for n, p in zip(shape, patch, strict=True))


def subsets(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """All subsets of mirror axes, the empty one first: what test-time augmentation averages over.

    >>> subsets((0, 1))
    [(), (0,), (1,), (0, 1)]
    """
    return [chosen for size in range(len(axes) + 1) for chosen in itertools.combinations(axes, size)]
