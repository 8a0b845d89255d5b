"""Rotation, scaling and flips: one warp that reads each pixel once, skipped where nothing was drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from autoseg.augment.draws import SampleDraw

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SourceBox:
    """The part of a case that a patch is made from; it may reach beyond the image, whose border is mirrored.

    Parameters
    ----------
    start, stop : tuple of int
        Half-open, in the case's pixels.
    centre : tuple of float
        Position of the patch's centre inside the box.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]
    centre: tuple[float, ...]


def source_box(corner: tuple[int, ...], patch: tuple[int, ...], matrix: Matrix | None) -> SourceBox:
    """The box of source pixels that a warped patch reads.

    Parameters
    ----------
    corner : tuple of int
        First pixel of the unwarped patch, may be negative.
    patch : tuple of int
    matrix : array (A, A) or None
        Patch offset -> source offset, about the patch's centre.
    """
    half = tuple((size - 1) / 2 for size in patch)
    if matrix is None:
        return SourceBox(start=corner, stop=tuple(c + p for c, p in zip(corner, patch, strict=True)), centre=half)
    # A parallelogram's extent along an axis is the sum of its sides' extents. One more pixel on each side for interpolation.
    reach = np.abs(matrix) @ np.array(half)
    middle = [c + h for c, h in zip(corner, half, strict=True)]
    start = tuple(math.floor(m - r) - 1 for m, r in zip(middle, reach, strict=True))
    stop = tuple(math.ceil(m + r) + 2 for m, r in zip(middle, reach, strict=True))
    return SourceBox(start=start, stop=stop, centre=tuple(m - s for m, s in zip(middle, start, strict=True)))


def flip_and_warp(
    image: Tensor, codes: Tensor, draw: SampleDraw, patch: tuple[int, ...], centre: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Sample a patch from its source box: linear for the image, nearest for the codes (no code may be invented).

    Parameters
    ----------
    image : fp32 Tensor, (C, B)
    codes : int32 Tensor, (B)
    draw : SampleDraw
    patch : tuple of int
        P.
    centre : tuple of float
        Of the patch, inside the box.

    Returns
    -------
    image (C, P), codes (P)
    """
    grid = sampling_grid(draw, patch, centre, codes.shape, image.device)
    if grid is None:
        return move_image(image, draw, None), codes.flip(draw.flips) if draw.flips else codes
    # fp32 holds codes up to 2**24 exactly; nearest invents none.
    moved = F.grid_sample(codes.float()[None, None], grid, mode="nearest", padding_mode="border", align_corners=True)
    return move_image(image, draw, grid), moved[0, 0].to(torch.int32)


def move_image(image: Tensor, draw: SampleDraw, grid: Tensor | None) -> Tensor:
    """An fp32 Tensor (C, B) sampled on a grid, linearly, or only flipped if there is none: (C, P)."""
    if grid is None:
        return image.flip([axis + 1 for axis in draw.flips]) if draw.flips else image
    return F.grid_sample(image.unsqueeze(0), grid, mode="bilinear", padding_mode="border", align_corners=True)[0]


def sampling_grid(
    draw: SampleDraw, patch: tuple[int, ...], centre: tuple[float, ...], box: Sequence[int], device: torch.device
) -> Tensor | None:
    """grid_sample's grid (1, P, A), flips included: source positions scaled to [-1, 1], the last array axis (x) first.

    None if pixels lie on pixels: nothing is rotated or scaled. `box` is B.
    """
    if draw.matrix is None:
        return None
    signs = np.ones(len(patch))
    signs[list(draw.flips)] = -1
    matrix = draw.matrix * signs
    axes = [torch.arange(size, device=device, dtype=torch.float32) - (size - 1) / 2 for size in patch]
    grid = []
    for row in reversed(range(len(patch))):
        position = torch.full((), centre[row], device=device)
        for column, offsets in enumerate(axes):
            shape = [1] * len(patch)
            shape[column] = -1
            position = position + float(matrix[row, column]) * offsets.reshape(shape)
        grid.append((position.expand(patch) * (2 / max(box[row] - 1, 1))) - 1)
    return torch.stack(grid, dim=-1).unsqueeze(0)
