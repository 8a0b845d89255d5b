"""The sliding window: tiles in batches through the nets, mirrored and averaged, blended into bands of finished rows.

Shapes: C channels of the image, H heads (K classes, and the background before them if they are exclusive), N tiles in a batch. A cascade's
net sees the previous stage's probabilities of the K classes behind the image's channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.augment import Intensity
from autoseg.budget import Precision
from autoseg.infer.tiling import Axis, plan_axes, subsets
from autoseg.step import autocast, memory_format

Start = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Window:
    """How images are predicted.

    Parameters
    ----------
    patch : tuple of int
        The net's axes. An image with one axis more is a stack of slices along its first axis, and is predicted slice by slice.
    exclusive : bool
        Softmax over the heads, else a sigmoid each.
    step : float
        Largest distance of neighbouring tiles as a share of the patch, in (0, 1].
    mirror_axes : tuple of int
        Axes of the net over whose flips, in all combinations, probabilities are averaged.
    mirror_swap : tuple of int
        For each head the head whose place it takes when an odd number of axes is flipped; empty: none change.
    batch : int
        Tiles in one forward pass.
    precision : {"fp32", "fp16", "bf16"}
        What the device runs.
    device : torch.device
    """

    patch: tuple[int, ...]
    exclusive: bool
    step: float = 0.5
    mirror_axes: tuple[int, ...] = ()
    mirror_swap: tuple[int, ...] = ()
    batch: int = 1
    precision: Precision = "fp32"
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable

    def __post_init__(self) -> None:
        if len(self.patch) not in (2, 3) or min(self.patch) < 1:
            raise ValueError(f"patch must have 2 or 3 positive sizes, got {self.patch}")
        if not 0 < self.step <= 1:
            raise ValueError(f"step must lie in (0, 1], got {self.step}")
        if any(axis not in range(len(self.patch)) for axis in self.mirror_axes):
            raise ValueError(f"mirror_axes must be axes of the patch {self.patch}, got {self.mirror_axes}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")


@dataclass(frozen=True, eq=False)
class Band:
    """Finished rows of an image.

    Parameters
    ----------
    rows : slice
        Of the first spatial axis.
    probabilities : fp32 Tensor, (H, rows, ...), in [0, 1]
        On the window's device.
    """

    rows: slice
    probabilities: Tensor


def predict_image(
    nets: Sequence[nn.Module],
    image: NDArray[Any] | Tensor,
    window: Window,
    intensity: Intensity,
    *,
    previous: NDArray[np.uint8] | None = None,
) -> NDArray[np.float32]:
    """Probabilities of a whole image.

    Parameters
    ----------
    nets : sequence of modules
        The folds, in eval mode on the window's device. Each maps (N, C, *patch), or (N, C + K, *patch), to a list whose first item is
        logits (N, H, *patch).
    image : array or Tensor, (C, *spatial)
        As stored: not normalised, any real dtype; one axis more than the patch for a 2D net on a volume.
    window : Window
    intensity : Intensity
    previous : array of uint8, (K, *spatial), optional
        255 times the previous stage's probabilities; read tile by tile.

    Returns
    -------
    array of float32, (H, *spatial), in [0, 1]
        Mean over nets and flips, blended over tiles.
    """
    bands = predict_bands(nets, image, window, intensity, previous=previous)
    first = next(bands)
    probabilities = np.empty((first.probabilities.shape[0], *image.shape[1:]), np.float32)
    probabilities[:, first.rows] = first.probabilities.cpu().numpy()
    for band in bands:
        probabilities[:, band.rows] = band.probabilities.cpu().numpy()
    return probabilities


def predict_bands(
    nets: Sequence[nn.Module],
    image: NDArray[Any] | Tensor,
    window: Window,
    intensity: Intensity,
    *,
    previous: NDArray[np.uint8] | None = None,
) -> Iterator[Band]:
    """Probabilities of an image as bands of rows, each as soon as no tile to come touches it; arguments as in `predict_image`.

    Only the rows that are still open have an accumulator: as many as the patch is high, whatever the image's height. The tile
    batch is the outer loop and the nets the inner one, so that folds cost their weights and no accumulators of their own.

    Raises
    ------
    ValueError
        If the image's axes or channels, or the previous channels' shape, do not fit.
    """
    array = image.cpu().numpy() if isinstance(image, Tensor) else image
    if array.ndim - 1 - len(window.patch) not in (0, 1) or array.shape[0] != len(intensity.mean):
        raise ValueError(f"an image of shape {array.shape} does not fit {len(intensity.mean)} channels and a patch of {window.patch}")
    if previous is not None and (previous.dtype != np.uint8 or previous.shape[1:] != array.shape[1:]):
        raise ValueError(f"previous must be uint8 and fit the image's {array.shape[1:]}, got {previous.dtype} {previous.shape}")
    patch = (1,) * (array.ndim - 1 - len(window.patch)) + window.patch
    axes = plan_axes(array.shape[1:], patch, window.step)
    starts = product(*(axis.starts for axis in axes))
    accumulator: _Accumulator | None = None
    while chunk := list(islice(starts, window.batch)):
        images = intensity.apply(_to_float(_read_tiles(array, axes, chunk, window), window))
        before = None if previous is None else _read_tiles(previous, axes, chunk, window)
        probabilities = _predict_tiles(nets, images, before, window, axes)
        accumulator = accumulator or _Accumulator(axes, probabilities.shape[1], window.device)
        for start, tile in zip(chunk, probabilities, strict=True):
            yield from accumulator.close_before(start[0])
            accumulator.add(start, tile)
    assert accumulator is not None
    yield from accumulator.close_before(axes[0].length)


def _read_tiles(image: NDArray[Any], axes: Sequence[Axis], starts: Sequence[Start], window: Window) -> Tensor:
    """Tiles (N, C, *patch) on the device, 8 and 16 bit as stored; beyond the image its mirror."""
    tiles = np.stack([_read_tile(image, axes, start) for start in starts])
    tiles = tiles.reshape(*tiles.shape[:2], *window.patch)  # a slice's own axis goes
    if tiles.dtype.kind != "f" and tiles.dtype not in (np.uint8, np.int16):
        tiles = tiles.astype(np.float32)  # torch moves the small dtypes as they are and knows little of the others
    return torch.from_numpy(tiles).to(window.device)


def _to_float(tiles: Tensor, window: Window) -> Tensor:
    return tiles.float().contiguous(memory_format=memory_format(len(window.patch), window.device.type))


def _read_tile(image: NDArray[Any], axes: Sequence[Axis], start: Start) -> NDArray[Any]:
    if all(0 <= first <= axis.length - axis.patch for axis, first in zip(axes, start, strict=True)):
        return image[:, *(slice(first, first + axis.patch) for axis, first in zip(axes, start, strict=True))]
    tile = image
    for dim, (axis, first) in enumerate(zip(axes, start, strict=True), start=1):
        tile = tile.take(axis.indices(first), axis=dim)
    return tile


@torch.inference_mode()
def _predict_tiles(nets: Sequence[nn.Module], images: Tensor, previous: Tensor | None, window: Window, axes: Sequence[Axis]) -> Tensor:
    """Probabilities (N, H, *spatial), the mean over nets and flips, with the axes of the image and without its mirrored surroundings."""
    cast = autocast(window.device, window.precision)
    # An axis shorter than the patch has one tile, so every tile of the batch lies in the image in the same way.
    crop = [axis.inside(axis.starts[0])[1] for axis in axes[-len(window.patch) :]]
    flips = subsets(window.mirror_axes)
    total: Tensor | None = None
    for net, flip in product(nets, flips):
        dims = [axis + 2 for axis in flip]
        with cast():
            logits: Tensor = net(_input(images, previous, flip, window))[0]
        logits = (logits.flip(dims) if dims else logits)[:, :, *crop]
        if len(flip) % 2 and window.mirror_swap:
            logits = logits[:, list(window.mirror_swap)]
        probabilities = _activate(logits, exclusive=window.exclusive)
        total = probabilities if total is None else total.add_(probabilities)
    assert total is not None, "predict_image needs at least one net"
    total = total.div_(len(nets) * len(flips))
    return total.unsqueeze(2) if len(axes) > len(window.patch) else total


def _input(images: Tensor, previous: Tensor | None, flip: Sequence[int], window: Window) -> Tensor:
    """What a net sees of tiles (N, C, *patch) and of the previous stage's (N, K, *patch) under a flip."""
    dims = [axis + 2 for axis in flip]
    seen = images.flip(dims) if dims else images
    if previous is None:
        return seen
    if len(flip) % 2 and window.mirror_swap:
        # In the mirror a left lung is a right one, to the net as to the stage before.
        first = int(window.exclusive)
        previous = previous[:, [head - first for head in window.mirror_swap[first:]]]
    # Bytes until here: in fp32 for every flip at once they would be the largest thing in memory.
    channels = _to_float(previous.flip(dims) if dims else previous, window).div_(255)
    return torch.cat([seen, channels], dim=1)


def _activate(logits: Tensor, *, exclusive: bool) -> Tensor:
    # Contiguous before fp32: blending wants each head's rows together, and half the bytes move.
    logits = logits.contiguous().to(torch.float32, copy=True)
    return logits.softmax(dim=1) if exclusive else logits.sigmoid_()


class _Accumulator:
    """The rows that are still open."""

    def __init__(self, axes: Sequence[Axis], heads: int, device: torch.device) -> None:
        self.axes = axes
        self.top = 0
        self.weights = [{start: torch.from_numpy(w).to(device) for start, w in axis.weights.items()} for axis in axes]
        height = min(axes[0].patch, axes[0].length)
        self.open = torch.zeros(heads, height, *(axis.length for axis in axes[1:]), device=device)

    def close_before(self, row: int) -> Iterator[Band]:
        """Give the rows above `row`, if any are open, and make room for as many below."""
        closed = row - self.top
        if closed <= 0:
            return
        yield Band(slice(self.top, row), self.open[:, :closed])
        self.top = row
        if row < self.axes[0].length:
            below = self.open[:, closed:]
            self.open = torch.zeros_like(self.open)
            self.open[:, : below.shape[1]] = below

    def add(self, start: Start, tile: Tensor) -> None:
        """Blend the part of a tile that lies in the image, (H, *part)."""
        places = [axis.inside(first) for axis, first in zip(self.axes, start, strict=True)]
        rows = slice(places[0][0].start - self.top, places[0][0].stop - self.top)
        target = self.open[:, rows, *(image for image, _ in places[1:])]
        if all(len(axis.weights) == 1 for axis in self.axes):
            target.copy_(tile)
            return
        weight = torch.ones((), device=tile.device)
        for dim, (first, (_, part)) in enumerate(zip(start, places, strict=True)):
            weight = weight.unsqueeze(-1) * self.weights[dim][first][part]
        target.addcmul_(tile, weight)
