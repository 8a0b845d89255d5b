"""Predicting whole images with 29 classes, a picture of 2048 x 2048 and a volume: tiles, folds and test-time augmentation."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from autoseg.augment import Intensity
from autoseg.budget import GIB
from autoseg.infer.parts import Parts
from autoseg.infer.tiling import tiles
from autoseg.infer.window import Window, predict_bands
from autoseg.nets import NETS
from autoseg.step import place
from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.stages import stage

HEAD = (
    "image", "patch", "tiles", "tiles at a time", "folds", "flips", "precision", "ms an image", "times one fold without flips", "tiles/s",
    "peak GiB",
)  # fmt: skip
Shape = tuple[int, ...]
#: Image and patch, in the order in which they are measured.
SIZES: tuple[tuple[Shape, Shape], ...] = (
    ((2048, 2048), (2048, 2048)),
    ((2048, 2048), (512, 512)),
    ((128, 320, 320), (128, 128, 128)),
)
TINY_SIZES: tuple[tuple[Shape, Shape], ...] = (((12, 12), (8, 8)), ((8, 12, 8), (8, 8, 8)))
CLASSES, TINY_CLASSES, FOLDS = 29, 3, 5
#: Pixels in one forward pass, as `infer.nets` has it for CUDA.
BATCH_PIXELS = 2**22
IMAGES, LEAST_IMAGES, TIMED_S = 5, 2, 4.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a row measures: an image, a patch, how many folds, and over which axes is mirrored."""

    shape: Shape
    patch: Shape
    folds: int
    mirror_axes: tuple[int, ...]

    @property
    def flips(self) -> int:
        """Ways in which each tile is seen."""
        return 1 << len(self.mirror_axes)

    @property
    def num_tiles(self) -> int:
        """Tiles of the image, half a patch apart."""
        return len(tiles(self.shape, self.patch))


def rows(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    """Three rows for each size; the folds are drawn, not trained: weights change no time."""
    for shape, patch in TINY_SIZES if device.tiny else SIZES:
        image = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
        one_s: float | None = None
        for load in loads(shape, patch):
            if not clock.allows_another():
                yield cells(load, device, "skipped: no time left")
                continue
            try:
                image_s, allocated = measure(load, image, device)
            except torch.OutOfMemoryError:
                yield cells(load, device, "out of memory")
                continue
            one_s = one_s or (image_s if load.folds * load.flips == 1 else None)
            factor = "" if one_s is None else f"{image_s / one_s:.2f}"
            speed = load.num_tiles * load.folds * load.flips / image_s
            yield cells(load, device, f"{1000 * image_s:.0f}", factor, f"{speed:.1f}", f"{allocated / GIB:.2f}")


def loads(shape: Shape, patch: Shape) -> Iterator[Load]:
    """One fold as it is, with all flips, and all folds with all flips; others are compared with the first."""
    every = tuple(range(len(patch)))
    for folds, axes in ((1, ()), (1, every), (FOLDS, every)):
        yield Load(shape=shape, patch=patch, folds=folds, mirror_axes=axes)


def cells(load: Load, device: Device, result: str, *figures: str) -> tuple[str, ...]:
    """A row of the table."""
    what = (
        " x ".join(map(str, load.shape)), " x ".join(map(str, load.patch)), str(load.num_tiles), str(at_a_time(load.patch, device)),
        str(load.folds), str(load.flips), device.precisions[0], result, *figures,
    )  # fmt: skip
    return what + ("",) * (len(HEAD) - len(what))


def at_a_time(patch: Shape, device: Device) -> int:
    """Tiles in one forward pass."""
    return 2 if device.tiny else max(1, BATCH_PIXELS // math.prod(patch))


def measure(load: Load, image: NDArray[np.uint8], device: Device) -> tuple[float, int]:
    """Median seconds of an image, from the stored pixels to masks in the host's memory, and the peak of allocated bytes."""
    device.reset()
    torch.manual_seed(0)
    nets = build_nets(load, device)
    window = Window(
        patch=load.patch, exclusive=False, mirror_axes=load.mirror_axes, batch=at_a_time(load.patch, device),
        precision=device.precisions[0], device=device.place,
    )  # fmt: skip
    parts = Parts()
    predict(nets, image, window, parts)
    times: list[float] = []
    while len(times) < (1 if device.tiny else LEAST_IMAGES) or (len(times) < IMAGES and math.fsum(times) < TIMED_S and not device.tiny):
        device.synchronize()
        begin = time.perf_counter()
        predict(nets, image, window, parts)
        times.append(time.perf_counter() - begin)
    return statistics.median(times), max(parts.peak_bytes, device.peaks()[0])


def build_nets(load: Load, device: Device) -> list[nn.Module]:
    """Nets of a plan for the patch, placed as prediction places them."""
    given = stage(load.patch, 1, classes=TINY_CLASSES if device.tiny else CLASSES)
    nets: list[nn.Module] = []
    for _ in range(load.folds):
        net = NETS["unet"](given.network)
        place(net, device.place, len(load.patch))
        nets.append(net.requires_grad_(False).eval())
    return nets


def predict(nets: Sequence[nn.Module], image: NDArray[np.uint8], window: Window, parts: Parts) -> NDArray[np.bool_]:
    """Masks of an image, band by band."""
    intensity = Intensity(mean=(127.5,), std=(74.0,), lower=(0.0,), upper=(255.0,))
    bands = [(band.probabilities > 0.5).cpu().numpy() for band in predict_bands(nets, image, window, intensity, parts=parts)]
    return np.concatenate(bands, axis=1)
