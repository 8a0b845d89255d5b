"""Contrast-limited adaptive histogram equalisation of a whole image, before anything else is done to its values.

A tile's contrast then depends on the image alone, not on the patch that a net looks at: training and prediction see the same pixels.
`augment.clahe` is the same on the device, of patches, with a limit that is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Grey levels that are told apart, and tiles along an axis of an image and of a volume (OpenCV's grid for images).
LEVELS = 256
TILES = {2: 8, 3: 4}
#: No level counts more than this many times the mean of all: what competition entries on X-rays give OpenCV as clipLimit.
CLIP = 2.0

#: For either side: per pixel of an axis the tile there, and its share.
Sides = list[tuple[NDArray[np.intp], NDArray[np.float32]]]


def equalise(channel: NDArray[Any], clip: float = CLIP) -> NDArray[np.uint8]:
    """Each tile's grey values spread by its own histogram, mixed linearly between the middles of tiles.

    Parameters
    ----------
    channel : array, (P), of 2 or 3 axes, any real dtype
    clip : float
        At least 1. What is cut off is spread evenly over all levels.

    Returns
    -------
    array of uint8, (P)
        From 0 to 255. A constant image stays constant.

    References
    ----------
    Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994; cut and spread once, as OpenCV does.
    """
    levels = _levels(channel)
    tables = _tables(levels, clip)
    sides = [_neighbours(size, _num_tiles(size, levels.ndim)) for size in levels.shape]
    out = np.empty(levels.shape, np.uint8)
    for row, plane in enumerate(levels):
        # One row (of an image) or slice (of a volume) at a time: its sums stay in the processor's cache.
        here = [(tile[row], share[row]) for tile, share in sides[0]]
        np.rint(_mixed(plane, tables, here, sides[1:]), out=out[row], casting="unsafe")
    return out


def _levels(channel: NDArray[Any]) -> NDArray[np.uint8]:
    """The image's range on a scale of 0 to 255."""
    low, high = float(channel.min()), float(channel.max())
    if (low, high) == (0, LEVELS - 1) and channel.dtype == np.uint8:
        return channel
    scaled = channel.astype(np.float32)
    scaled -= low
    scaled *= (LEVELS - 1) / max(high - low, 1e-12)
    return np.rint(scaled, out=scaled).astype(np.uint8)


def _tables(levels: NDArray[np.uint8], clip: float) -> NDArray[np.float32]:
    """Level -> 0 to 255 for every tile, (T, ..., LEVELS)."""
    tiles = [_num_tiles(size, levels.ndim) for size in levels.shape]
    # The first pixel of tile k is the first i with i * tiles // size = k.
    edges = [-(-np.arange(num + 1) * size // num) for num, size in zip(tiles, levels.shape, strict=True)]
    counts = np.empty((*tiles, LEVELS))
    for tile in np.ndindex(*tiles):
        inside = levels[tuple(slice(edge[k], edge[k + 1]) for edge, k in zip(edges, tile, strict=True))]
        counts[tile] = np.bincount(inside.ravel(), minlength=LEVELS)
    total = counts.sum(axis=-1, keepdims=True)
    cut = np.minimum(counts, clip / LEVELS * total)
    cut += (total - cut.sum(axis=-1, keepdims=True)) / LEVELS
    return np.asarray((LEVELS - 1) * cut.cumsum(axis=-1) / total, np.float32)


def _num_tiles(size: int, num_axes: int) -> int:
    """Tiles along an axis; none is empty."""
    return min(TILES[num_axes], size)


def _neighbours(size: int, tiles: int) -> Sides:
    """Per pixel of an axis: the two tiles whose middles it lies between, with the share of each."""
    place = np.clip((np.arange(size) + 0.5) * tiles / size - 0.5, 0, tiles - 1)
    first = np.floor(place).astype(np.intp)
    share = np.asarray(place - first, np.float32)
    return [(first, 1 - share), (np.minimum(first + 1, tiles - 1), share)]


def _mixed(
    plane: NDArray[np.uint8], tables: NDArray[np.float32], here: Sequence[tuple[np.intp, np.float32]], sides: Sequence[Sides]
) -> NDArray[np.float32]:
    """What the tables around each pixel of a row or slice make of its level, weighted; `here` has the two tiles along the first axis."""
    # Along the first axis every pixel lies the same way between two tiles, so their tables are mixed instead of their results.
    table = sum(tables[tile] * share for tile, share in here)
    total = np.zeros(plane.shape, np.float32)
    for corner in product((0, 1), repeat=plane.ndim):
        chosen = [sides[axis][side] for axis, side in enumerate(corner)]
        share = reduce(np.multiply, np.ix_(*(share for _, share in chosen)))
        total += share * np.asarray(table)[(*np.ix_(*(tile for tile, _ in chosen)), plane)]
    return total
