"""Contrast-limited adaptive histogram equalisation on the device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from autoseg.augment.warp import STRIP_PIXELS

#: For either side: per pixel of an axis the tile there, and its share.
Sides = list[tuple[Tensor, Tensor]]
#: Grey levels that are told apart, and tiles along an axis of an image and of a volume.
BINS = 256
TILES = {2: 8, 3: 4}


def equalise_tiles(x: Tensor, clip: float) -> Tensor:
    """Each tile's grey values spread by its own histogram, mixed linearly between the middles of tiles.

    Parameters
    ----------
    x : fp32 Tensor, (P), of 2 or 3 axes
    clip : float
        No level counts more than this many times the mean of all; what is cut off is spread evenly.

    Returns
    -------
    fp32 Tensor, (P)
        In the range of the argument.

    References
    ----------
    Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994; cut and spread once, as OpenCV does.
    """
    low, high = torch.aminmax(x)
    extent = (high - low).clamp(min=1e-7)
    levels = ((x - low) * ((BINS - 1) / extent)).round_().to(torch.int32)
    tables = _tables(levels, clip)
    out = torch.empty_like(x)
    corners = [_neighbours(size, TILES[x.ndim], x.device) for size in x.shape]
    step = max(1, STRIP_PIXELS // x[0].numel())
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        here = [[(tile[rows], share[rows]) for tile, share in corners[0]], *corners[1:]]
        out[rows] = _mixed(levels[rows], tables, here)
    return out.mul_(extent).add_(low)


def _mixed(levels: Tensor, tables: Tensor, corners: Sequence[Sides]) -> Tensor:
    """What the tables of the tiles around each pixel make of its level, weighted."""
    tiles, total = TILES[levels.ndim], torch.zeros(levels.shape, device=levels.device)
    for sides in product((0, 1), repeat=levels.ndim):
        index, weight = levels, torch.ones((), device=levels.device)
        for axis, side in enumerate(sides):
            tile, share = (part.reshape([-1 if a == axis else 1 for a in range(levels.ndim)]) for part in corners[axis][side])
            index, weight = index + BINS * tiles ** (levels.ndim - 1 - axis) * tile, weight * share
        total.addcmul_(tables.index_select(0, index.flatten()).reshape(levels.shape), weight)
    return total


def _tables(levels: Tensor, clip: float) -> Tensor:
    """Level -> [0, 1] for all tiles, one after the other, fp32."""
    tiles = TILES[levels.ndim]
    cell = levels.to(torch.int64)
    for axis, size in enumerate(levels.shape):
        tile = torch.arange(size, device=levels.device) * tiles // size
        cell += (tile * BINS * tiles ** (levels.ndim - 1 - axis)).reshape([-1 if a == axis else 1 for a in range(levels.ndim)])
    counts = torch.zeros(BINS * tiles**levels.ndim, device=levels.device)
    counts.scatter_add_(0, cell.flatten(), torch.ones((), device=levels.device).expand(levels.numel()))
    counts = counts.reshape(-1, BINS)
    total = counts.sum(dim=1, keepdim=True)
    cut = torch.minimum(counts, (clip / BINS) * total)
    cut += (total - cut.sum(dim=1, keepdim=True)) / BINS
    # A cumulative sum; torch's own is not deterministic on CUDA. A patch of fewer pixels than tiles leaves some empty: none is read.
    sums = cut @ torch.ones((BINS, BINS), device=levels.device).triu()
    return (sums / total.clamp(min=1)).flatten()


def _neighbours(size: int, tiles: int, device: torch.device) -> Sides:
    """Per pixel of an axis: the two tiles whose middles it lies between, with the share of each."""
    place = ((torch.arange(size, device=device) + 0.5) * tiles / size - 0.5).clamp_(0, tiles - 1)
    first = place.floor()
    share = place - first
    second = (first + 1).clamp_(max=tiles - 1)
    return [(first.to(torch.int32), 1 - share), (second.to(torch.int32), share)]
