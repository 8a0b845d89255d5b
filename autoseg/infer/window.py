"""The sliding window: tiles in batches through the nets, mirrored and averaged, blended into bands of finished rows.

Shapes: C channels of the image, H heads (K classes, and the background before them if they are exclusive), N tiles in a batch. A cascade's
net sees the previous stage's probabilities of the K classes behind the image's channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.augment import Intensity
from autoseg.augment.pinned import to_device
from autoseg.budget import Precision
from autoseg.infer.blend import Accumulator, Band, Start
from autoseg.infer.constant import KnownTiles, constant_values
from autoseg.infer.parts import Parts
from autoseg.infer.tiling import Axis, plan_axes, subsets
from autoseg.io.scratch import let_go
from autoseg.step import autocast, memory_format

__all__ = ["Band", "Source", "Window", "gather", "num_tiles", "predict_bands", "predict_image", "predict_sources"]


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


def predict_image(
    nets: Sequence[nn.Module],
    image: NDArray[Any] | Tensor,
    window: Window,
    intensity: Intensity,
    *,
    previous: NDArray[np.uint8] | None = None,
) -> NDArray[np.float32]:
    """Probabilities of one image as a whole, float32, (H, *spatial); for tests and measurements, whose images are small.

    Arguments as in `predict_sources` and `Source`.
    """
    return gather(predict_bands(nets, image, window, intensity, previous=previous), image.shape[1:])


def gather(bands: Iterable[Band], shape: Sequence[int]) -> NDArray[np.float32]:
    """All bands of an image of this spatial shape as one array, (H, *shape)."""
    whole: Tensor | None = None
    for band in bands:
        if whole is None:
            whole = torch.empty(len(band.probabilities), *shape)
        whole[:, band.rows] = band.probabilities
    assert whole is not None, "an image has at least one row"
    return whole.numpy()


def predict_bands(
    nets: Sequence[nn.Module],
    image: NDArray[Any] | Tensor,
    window: Window,
    intensity: Intensity,
    *,
    previous: NDArray[np.uint8] | None = None,
    parts: Parts | None = None,
) -> Iterator[Band]:
    """The bands of one image, for tests and measurements; arguments and errors as in `predict_sources` and `Source`."""
    array = image.cpu().numpy() if isinstance(image, Tensor) else image
    for _, band in predict_sources(nets, [Source(image=array, intensity=intensity, previous=previous)], window, parts=parts):
        yield band


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """An image to predict.

    Parameters
    ----------
    image : array, (C, *spatial)
        As stored: not normalised, any real dtype; one axis more than the patch for a 2D net on a volume. It may be one that is read by
        region (`io.tif_regions`).
    intensity : Intensity
    previous : array of uint8, (K, *spatial), optional
        255 times the previous stage's probabilities; read tile by tile.
    """

    image: NDArray[Any]
    intensity: Intensity
    previous: NDArray[np.uint8] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Opened:
    """An image with its tiles."""

    number: int
    source: Source
    axes: tuple[Axis, ...]
    accumulator: Accumulator


def predict_sources(
    nets: Sequence[nn.Module], sources: Iterable[Source], window: Window, known: KnownTiles | None = None, parts: Parts | None = None
) -> Iterator[tuple[int, Band]]:
    """Bands of several images one after another, as (number of the image, Band); their tiles share the batches.

    A band holds the mean over nets and flips, blended over tiles. It is given as soon as no tile to come touches its rows: only those that
    are still open have an accumulator, as many as the patch is high, whatever the image's height.
    The batch of tiles is the outer loop and the nets the inner one, so that folds cost their weights and no accumulators of their own.
    A tile whose channels are constant is computed once per value. A batch that runs out of memory is computed in halves, and so are all
    after it.

    Parameters
    ----------
    nets : sequence of modules
        The folds, in eval mode on the window's device. Each maps (N, C, *patch), or (N, C + K, *patch), to a list whose first item is
        logits (N, H, *patch).
    window : Window
    sources : iterable of Source
        Taken as their tiles are needed.
    known : KnownTiles, optional
        Of these nets and this window, from earlier images.
    parts : Parts, optional
        How many tiles there was memory for in earlier images.

    Raises
    ------
    ValueError
        If an image's axes or channels, or the previous channels' shape, do not fit.
    """
    known, parts = known or KnownTiles(), parts or Parts()
    tiles = _all_tiles(sources, window)
    while chunk := list(islice(tiles, window.batch)):
        groups = [(opened, [start for _, start in group]) for opened, group in groupby(chunk, key=lambda pair: pair[0])]
        results = _predict_chunk(nets, groups, window, known, parts)
        for opened, start in chunk:
            # Nobody keeps a tile, of volumes a quarter of a gigabyte, while the next ones are computed; zip would.
            for band in opened.accumulator.add(start, next(results)):
                yield opened.number, band


def num_tiles(shape: Sequence[int], window: Window) -> int:
    """Tiles of an image of this spatial shape."""
    return math.prod(len(axis.starts) for axis in _plan(shape, window))


def _plan(shape: Sequence[int], window: Window) -> tuple[Axis, ...]:
    return plan_axes(shape, (1,) * (len(shape) - len(window.patch)) + window.patch, window.step)


def _all_tiles(sources: Iterable[Source], window: Window) -> Iterator[tuple[_Opened, Start]]:
    for number, source in enumerate(sources):
        _check_fits(source, window)
        axes = _plan(source.image.shape[1:], window)
        opened = _Opened(number=number, source=source, axes=axes, accumulator=Accumulator(axes))
        for start in product(*(axis.starts for axis in axes)):
            yield opened, start


def _check_fits(source: Source, window: Window) -> None:
    image, previous, channels = source.image, source.previous, len(source.intensity.mean)
    if image.ndim - 1 - len(window.patch) not in (0, 1) or image.shape[0] != channels:
        raise ValueError(f"an image of shape {image.shape} does not fit {channels} channels and a patch of {window.patch}")
    if previous is not None and (previous.dtype != np.uint8 or previous.shape[1:] != image.shape[1:]):
        raise ValueError(f"previous must be uint8 and fit the image's {image.shape[1:]}, got {previous.dtype} {previous.shape}")


def _predict_chunk(
    nets: Sequence[nn.Module], groups: Sequence[tuple[_Opened, list[Start]]], window: Window, known: KnownTiles, parts: Parts
) -> Iterator[Tensor]:
    """Probabilities (H, *patch) of each tile, with the axes of its image."""
    keys: list[bytes | None] = []
    images: list[Tensor] = []
    before: list[Tensor] = []
    #: Results of constant tiles; None: in this batch.
    here: dict[bytes, Tensor | None] = {}
    for opened, starts in groups:
        source = opened.source
        arrays = [_read_tiles(array, opened.axes, starts, window) for array in (source.image, source.previous) if array is not None]
        if source.previous is not None:
            let_go(source.previous)
        own = [_key(source.intensity, [array[i] for array in arrays]) for i in range(len(starts))]
        computed = [i for i, key in enumerate(own) if key is None or _is_new(key, here, known)]
        keys += own
        if computed:
            image, *previous = (to_device(torch.from_numpy(array[computed]), window.device) for array in arrays)
            images.append(source.intensity.apply(_to_float(image, window)))
            before += previous
    joined, joined_before = _join(images) if images else None, _join(before) if before else None
    # What was joined of several images is held once.
    images.clear()
    before.clear()
    results = iter(()) if joined is None else _compute(nets, joined, joined_before, window, parts)
    has_slices = len(groups[0][0].axes) > len(window.patch)
    for key in keys:
        tile = None if key is None else here[key]
        if tile is None:
            tile = next(results)
            if key is not None:
                here[key] = tile = tile.clone()  # its batch is freed
                known.put(key, tile)
        yield tile.unsqueeze(1) if has_slices else tile
        del tile


def _compute(nets: Sequence[nn.Module], images: Tensor, previous: Tensor | None, window: Window, parts: Parts) -> Iterator[Tensor]:
    """Probabilities (H, *patch) of each tile."""

    def compute(part: slice) -> Tensor:
        return _predict_tiles(nets, images[part], None if previous is None else previous[part], window)

    return parts.compute(compute, len(images), window.device)


def _is_new(key: bytes, here: dict[bytes, Tensor | None], known: KnownTiles) -> bool:
    """True for a constant tile that has to be computed; notes in `here` what is known of it."""
    if key in here:
        return False
    here[key] = known.get(key)
    return here[key] is None


def _key(intensity: Intensity, tiles: Sequence[NDArray[Any]]) -> bytes | None:
    """What the nets see of a tile of the image (and one of the previous stage), if each channel of it is constant."""
    values = [constant_values(tile) for tile in tiles]
    if any(value is None for value in values):
        return None
    image, *previous = (torch.from_numpy(np.asarray(value, np.float32))[None] for value in values)
    seen = [intensity.apply(image), *previous]
    return torch.cat(seen, dim=1).numpy().tobytes()


def _join(tiles: Sequence[Tensor]) -> Tensor:
    return tiles[0] if len(tiles) == 1 else torch.cat(list(tiles))


def _read_tiles(image: NDArray[Any], axes: Sequence[Axis], starts: Sequence[Start], window: Window) -> NDArray[Any]:
    """Tiles (N, C, *patch), 8 and 16 bit as stored; beyond the image its mirror."""
    tiles = np.stack([_read_tile(image, axes, start) for start in starts])
    tiles = tiles.reshape(*tiles.shape[:2], *window.patch)  # a slice's own axis goes
    if tiles.dtype.kind != "f" and tiles.dtype not in (np.uint8, np.int16):
        tiles = tiles.astype(np.float32)  # torch moves the small dtypes as they are and knows little of the others
    return tiles


def _to_float(tiles: Tensor, window: Window) -> Tensor:
    return tiles.float().contiguous(memory_format=memory_format(len(window.patch), window.device.type))


def _read_tile(image: NDArray[Any], axes: Sequence[Axis], start: Start) -> NDArray[Any]:
    if all(0 <= first <= axis.length - axis.patch for axis, first in zip(axes, start, strict=True)):
        return image[:, *(slice(first, first + axis.patch) for axis, first in zip(axes, start, strict=True))]
    indices = [axis.indices(first) for axis, first in zip(axes, start, strict=True)]
    tile = image[:, *(slice(int(index.min()), int(index.max()) + 1) for index in indices)]
    for dim, index in enumerate(indices, start=1):
        tile = tile.take(index - index.min(), axis=dim)
    return tile


@torch.inference_mode()
def _predict_tiles(nets: Sequence[nn.Module], images: Tensor, previous: Tensor | None, window: Window) -> Tensor:
    """Probabilities (N, H, *patch), the mean over nets and flips."""
    cast = autocast(window.device, window.precision)
    flips = subsets(window.mirror_axes)
    total: Tensor | None = None
    for net, flip in product(nets, flips):
        dims = [axis + 2 for axis in flip]
        with cast():
            logits: Tensor = net(_input(images, previous, flip, window))[0]
        logits = logits.flip(dims) if dims else logits
        if len(flip) % 2 and window.mirror_swap:
            logits = logits[:, list(window.mirror_swap)]
        probabilities = _activate(logits, exclusive=window.exclusive)
        del logits
        total = probabilities if total is None else total.add_(probabilities)
    assert total is not None, "a model has at least one net"
    return total.div_(len(nets) * len(flips)) if len(nets) * len(flips) > 1 else total


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
    """Probabilities in fp32, in the order in memory that the logits have."""
    if not exclusive:
        return logits.to(torch.float32, copy=True).sigmoid_()
    if logits.device.type == "cpu":  # torch makes any other order contiguous first
        return logits.movedim(1, -1).softmax(dim=-1, dtype=torch.float32).movedim(-1, 1)
    return logits.softmax(dim=1, dtype=torch.float32)
