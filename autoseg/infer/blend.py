"""Predicted tiles blended into bands of finished rows. Shapes: H heads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.infer.tiling import Axis
from autoseg.step import is_out_of_memory

Start = tuple[int, ...]

#: Of the memory that a GPU has beside what the net takes, open rows may take this share.
FREE_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class Band:
    """Finished rows of an image.

    Parameters
    ----------
    rows : slice
        Of the first spatial axis.
    probabilities : fp32 Tensor, (H, rows, ...), in [0, 1]
        On the window's device, or in the host's memory where that has no room; heads innermost in memory on a CPU. Holds until the next
        band is asked for: its memory is used again.
    """

    rows: slice
    probabilities: Tensor


def rows_device(device: torch.device, needed: int) -> torch.device:
    """Where open rows of `needed` bytes go: to the net's device, or to the host where a GPU has not that much left beside the net."""
    if device.type != "cuda":
        return device
    # What torch keeps for itself is free, too, but for what the tiles took that were computed last: the next ones take it again.
    left = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.max_memory_allocated(device)
    if needed <= FREE_SHARE * left:
        return device
    return torch.device("cpu")


def _zeros(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """fp32 zeros where `rows_device` says; with the host if they find no room on a GPU, whose free memory may lie in pieces."""
    try:
        return torch.zeros(shape, device=rows_device(device, 4 * math.prod(shape)))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return torch.zeros(shape)


class Accumulator:
    """The rows of an image that are still open: as many as a tile is high, whatever the image's height.

    Parameters
    ----------
    axes : sequence of Axis
        The image's tiles and their weights; tiles must come row by row, as `tiling.tiles` orders them.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = axes
        self.top = 0
        self.is_one_tile = all(len(axis.weights) == 1 for axis in axes)
        self.open: Tensor | None = None
        self.weights: list[dict[int, Tensor]] = []

    def add(self, start: Start, tile: Tensor) -> Iterator[Band]:
        """Blend the part of a tile (H, *patch) that lies in the image, and first give the rows that neither it nor a later tile touches."""
        places = [axis.inside(first) for axis, first in zip(self.axes, start, strict=True)]
        tile = tile[:, *(part for _, part in places)]
        if self.is_one_tile:
            yield Band(places[0][0], tile)
            return
        if self.open is None:
            self._begin(tile)
        yield from self._close_before(max(0, start[0]))
        assert self.open is not None
        rows = slice(places[0][0].start - self.top, places[0][0].stop - self.top)
        weight = torch.ones((), device=self.open.device)
        for dim, (first, (_, part)) in enumerate(zip(start, places, strict=True)):
            weight = weight.unsqueeze(-1) * self.weights[dim][first][part]
        self.open[:, rows, *(image for image, _ in places[1:])].addcmul_(tile.to(self.open.device), weight)
        if all(first == axis.starts[-1] for axis, first in zip(self.axes, start, strict=True)):
            yield from self._close_before(self.axes[0].length)

    def _begin(self, tile: Tensor) -> None:
        heads = len(tile)
        shape = (min(self.axes[0].patch, self.axes[0].length), *(axis.length for axis in self.axes[1:]))
        # As the net's own output lies: transposing 31 heads of a tile takes longer than blending them.
        inner = tile.device.type == "cpu"
        self.open = torch.zeros(*shape, heads).movedim(-1, 0) if inner else _zeros((heads, *shape), tile.device)
        device = self.open.device
        self.weights = [{start: torch.from_numpy(w).to(device) for start, w in axis.weights.items()} for axis in self.axes]

    def _close_before(self, row: int) -> Iterator[Band]:
        """Give the rows above `row`, if any are open, and make room for as many below."""
        assert self.open is not None
        closed = row - self.top
        if closed <= 0:
            return
        yield Band(slice(self.top, row), self.open[:, :closed])
        self.top = row
        left = self.open.shape[1] - closed
        for place in range(0, left, closed):  # in pieces that do not overlap, and in place: a second one would double the memory
            size = min(closed, left - place)
            self.open[:, place : place + size] = self.open[:, place + closed : place + closed + size]
        self.open[:, left:] = 0
