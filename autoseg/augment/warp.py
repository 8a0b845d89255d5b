"""Rotation, scaling, elastic deformation, grid distortion and flips: one warp that reads each pixel once, skipped where nothing was drawn.

A pixel at offset q from the patch's centre, flips undone, is read at centre + M (g(q) + d(q)): M rotates and scales, g moves the lines of
a grid along each axis, d is the elastic deformation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from autoseg.augment.bspline import spline_matrix
from autoseg.augment.draws import SampleDraw
from autoseg.augment.pinned import to_device

#: Pixels that are warped at a time: their positions and indices stay in a processor's cache and in memory that is there already (a fresh
#: 4 MB costs 2 ms of page faults on a CPU); a GPU gets few enough kernels.
STRIP_PIXELS = 2**18
#: Whether only the strips are warped of which memory can tell any difference.
_FEW = ContextVar("_FEW", default=False)


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


def source_box(corner: tuple[int, ...], patch: tuple[int, ...], draw: SampleDraw) -> SourceBox:
    """The box of source pixels that a warped patch reads.

    Parameters
    ----------
    corner : tuple of int
        First pixel of the unwarped patch, may be negative.
    patch : tuple of int
    draw : SampleDraw
    """
    half = tuple((size - 1) / 2 for size in patch)
    if not draw.is_warped:
        return SourceBox(start=corner, stop=tuple(c + p for c, p in zip(corner, patch, strict=True)), centre=half)
    # A parallelogram's extent along an axis is the sum of its sides' extents. A spline's values lie between its control points' (the
    # distorted grid ends where the patch ends). One more pixel on each side for interpolation.
    shift = np.zeros(len(patch))
    if draw.elastic is not None:
        shift = np.abs(_control_points(draw.elastic, patch)).reshape(len(patch), -1).max(axis=1)
    matrix = np.eye(len(patch)) if draw.matrix is None else draw.matrix
    reach = np.abs(matrix) @ (np.array(half) + shift)
    middle = [c + h for c, h in zip(corner, half, strict=True)]
    start = tuple(math.floor(m - r) - 1 for m, r in zip(middle, reach, strict=True))
    stop = tuple(math.ceil(m + r) + 2 for m, r in zip(middle, reach, strict=True))
    return SourceBox(start=start, stop=stop, centre=tuple(m - s for m, s in zip(middle, start, strict=True)))


def flip_and_warp(
    image: Tensor, codes: Tensor, draw: SampleDraw, centre: tuple[float, ...], *, image_out: Tensor, codes_out: Tensor
) -> None:
    """Sample a patch from its source box: linear for the image, nearest for the codes (no code may be invented).

    Parameters
    ----------
    image : Tensor, (C, B)
        fp32 if the draw is warped.
    codes : integer Tensor, (B)
    draw : SampleDraw
    centre : tuple of float
        Of the patch, inside the box.
    image_out : fp32 Tensor, (C, P)
    codes_out : integer Tensor, (P)
        Filled.
    """
    if not draw.is_warped:
        image_out.copy_(image.flip([axis + 1 for axis in draw.flips]) if draw.flips else image)
        codes_out.copy_(codes.flip(draw.flips) if draw.flips else codes)
        return
    for rows, positions in source_positions(draw, tuple(codes_out.shape), centre, image.device):
        codes_out[rows] = read_nearest(codes, positions)
        image_out[:, rows] = read_linear(image, sampling_grid(positions, codes.shape))


def read_nearest(codes: Tensor, positions: Tensor) -> Tensor:
    """Codes (B) at the pixels nearest to source positions; beyond the border the border's. A gather: codes stay integers all the way."""
    index = None
    for position, length in zip(reversed(positions.unbind()), codes.shape, strict=True):
        # fp32 would not number the pixels of a box of 4096 x 4096.
        nearest = position.round().clamp_(0, length - 1).to(torch.int32)
        index = nearest if index is None else index.mul_(length).add_(nearest)
    assert index is not None
    return codes.flatten().index_select(0, index.flatten()).reshape(index.shape)


def read_linear(image: Tensor, grid: Tensor) -> Tensor:
    """An fp32 Tensor (C, B) sampled on a grid, linearly."""
    return F.grid_sample(image.unsqueeze(0), grid, mode="bilinear", padding_mode="border", align_corners=True)[0]


def source_positions(
    draw: SampleDraw, patch: tuple[int, ...], centre: tuple[float, ...], device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    """Where the pixels of a warped patch are read, flips included, some rows at a time.

    Yields
    ------
    rows : slice
        Of the patch's first axis.
    positions : fp32 Tensor, (A, R, P without its first axis)
        In pixels of the box, x first.
    """
    axes = len(patch)
    matrix = np.eye(axes) if draw.matrix is None else draw.matrix
    lines = [_sent(_grid_line(draw, axis, size), device) for axis, size in enumerate(patch)]
    deform = None if draw.elastic is None else _Deformation(draw.elastic, patch, draw.flips, device)
    step = max(1, STRIP_PIXELS // math.prod(patch[1:]))
    for start in _strips(patch[0], step):
        rows = slice(start, min(start + step, patch[0]))
        shifts = None if deform is None else deform.rows(rows)
        positions = torch.empty((axes, rows.stop - rows.start, *patch[1:]), device=device)
        for row, position in enumerate(reversed(positions.unbind())):
            position.fill_(centre[row])
            for column, line in enumerate([lines[0][rows], *lines[1:]]):
                factor = float(matrix[row, column])
                position.add_(line.reshape([-1 if axis == column else 1 for axis in range(axes)]), alpha=factor)
                if shifts is not None and factor:
                    position.add_(shifts[column], alpha=factor)
        yield rows, positions


@contextmanager
def few_strips() -> Iterator[None]:
    """Within this, on fake tensors, of many strips that are alike the first two and the last are warped: the peak is that of all.

    A volume of 224 x 320 x 320 has a hundred strips; on fake tensors they are two thirds of a traced step.
    """
    token = _FEW.set(True)
    try:
        yield
    finally:
        _FEW.reset(token)


def _strips(length: int, step: int) -> Sequence[int]:
    """First rows of the strips."""
    starts = range(0, length, step)
    return [*starts[:2], *starts[2:][-1:]] if _FEW.get() else starts


def _sent(array: NDArray[np.float64], device: torch.device) -> Tensor:
    """A small array in fp32 on the device."""
    return to_device(torch.from_numpy(np.ascontiguousarray(array, np.float32)), device)


def sampling_grid(positions: Tensor, box: Sequence[int]) -> Tensor:
    """grid_sample's grid (1, P, A): the source positions, overwritten by what they are on a scale of [-1, 1]."""
    for position, length in zip(reversed(positions.unbind()), box, strict=True):
        position.mul_(2 / max(length - 1, 1)).sub_(1)
    # Each coordinate stays by itself in memory: grid_sample reads that as fast, and interleaving them takes longer than all else here.
    return positions.movedim(0, -1).unsqueeze(0)


def _grid_line(draw: SampleDraw, axis: int, size: int) -> NDArray[np.float64]:
    """Offsets from the centre of the pixels along an axis, on the distorted grid; its first and last pixel stay where they are."""
    half = (size - 1) / 2
    offsets = np.arange(size) - half
    if draw.grid is not None:
        cells = draw.grid.shape[1]
        ends = np.concatenate([[0.0], np.cumsum(draw.grid[axis]) / cells])
        offsets = 2 * half * np.interp(np.arange(size) / max(size - 1, 1), np.linspace(0, 1, cells + 1), ends) - half
    return np.asarray(offsets[::-1] if axis in draw.flips else offsets, np.float64)


def _control_points(elastic: NDArray[np.float64], patch: tuple[int, ...]) -> NDArray[np.float64]:
    """Shifts in pixels."""
    spacing = [size / (num - 3) for size, num in zip(patch, elastic.shape[1:], strict=True)]
    return np.asarray(elastic * np.array(spacing).reshape(-1, *[1] * len(patch)))


class _Deformation:
    """The elastic shift of each pixel: control points through the splines' weights, axis by axis."""

    def __init__(self, elastic: NDArray[np.float64], patch: tuple[int, ...], flips: tuple[int, ...], device: torch.device) -> None:
        field = _sent(_control_points(elastic, patch), device)
        self._weights = []
        for axis, size in enumerate(patch):
            weights = spline_matrix(size, elastic.shape[axis + 1] - 3)
            self._weights.append(_sent(weights[::-1] if axis in flips else weights, device))
        self._field = field

    def rows(self, rows: slice) -> Tensor:
        """Of some rows of the patch, fp32 (A, R, P without its first axis), in pixels."""
        field = self._field
        for weights in (self._weights[0][rows], *self._weights[1:]):
            # The first of the remaining axes goes, the patch's comes last: after all of them they stand in their order.
            field = torch.tensordot(field, weights, dims=([1], [1]))
        return field
