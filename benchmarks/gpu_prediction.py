"""Predicting a whole image of 2048 x 2048 with 29 classes: tiles, folds and test-time augmentation."""

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
from autoseg.infer.tiling import tiles
from autoseg.infer.window import Window, predict_bands
from autoseg.nets import NETS
from autoseg.step import place
from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.stages import stage

HEAD = (
    "patch", "tiles", "tiles at a time", "folds", "flips", "precision", "ms an image", "times one fold without flips", "tiles/s", "peak GiB"
)  # fmt: skip
EDGE, PATCHES, CLASSES = 2048, (2048, 512), 29
TINY_EDGE, TINY_PATCHES, TINY_CLASSES = 12, (8,), 3
FOLDS = 5
#: Folds and mirror axes of each row, the one that others are compared with first.
LOADS: tuple[tuple[int, tuple[int, ...]], ...] = ((1, ()), (1, (0, 1)), (FOLDS, (0, 1)))
#: Pixels in one forward pass, as `infer.nets` has it for CUDA.
BATCH_PIXELS = 2**22
IMAGES, LEAST_IMAGES, TIMED_S = 5, 2, 4.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a row measures: a patch, how many folds, and over which axes is mirrored."""

    patch: int
    folds: int
    mirror_axes: tuple[int, ...]

    @property
    def flips(self) -> int:
        """Ways in which each tile is seen."""
        return 1 << len(self.mirror_axes)


def rows(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    """Three rows for each patch; the folds are drawn, not trained: weights change no time."""
    edge = TINY_EDGE if device.tiny else EDGE
    image = np.random.default_rng(0).integers(0, 256, (1, edge, edge), np.uint8)
    for patch in TINY_PATCHES if device.tiny else PATCHES:
        one_s: float | None = None
        for folds, axes in LOADS:
            load = Load(patch=patch, folds=folds, mirror_axes=axes)
            if not clock.allows_another():
                yield cells(load, edge, device, "skipped: no time left")
                continue
            try:
                image_s, allocated = measure(load, image, device)
            except torch.OutOfMemoryError:
                yield cells(load, edge, device, "out of memory")
                continue
            one_s = one_s or (image_s if load.folds * load.flips == 1 else None)
            factor = "" if one_s is None else f"{image_s / one_s:.2f}"
            speed = num_tiles(edge, patch) * load.folds * load.flips / image_s
            yield cells(load, edge, device, f"{1000 * image_s:.0f}", factor, f"{speed:.1f}", f"{allocated / GIB:.2f}")


def cells(load: Load, edge: int, device: Device, result: str, *figures: str) -> tuple[str, ...]:
    """A row of the table."""
    what = (
        f"{load.patch} x {load.patch}", str(num_tiles(edge, load.patch)), str(at_a_time(load.patch, device)), str(load.folds),
        str(load.flips), device.precisions[0], result, *figures,
    )  # fmt: skip
    return what + ("",) * (len(HEAD) - len(what))


def num_tiles(edge: int, patch: int) -> int:
    """Tiles of an image, half a patch apart."""
    return len(tiles((edge, edge), (patch, patch)))


def at_a_time(patch: int, device: Device) -> int:
    """Tiles in one forward pass."""
    return 2 if device.tiny else max(1, BATCH_PIXELS // patch**2)


def measure(load: Load, image: NDArray[np.uint8], device: Device) -> tuple[float, int]:
    """Median seconds of an image, from the stored pixels to masks in the host's memory, and the peak of allocated bytes."""
    device.reset()
    torch.manual_seed(0)
    nets = build_nets(load, device)
    window = Window(
        patch=(load.patch, load.patch), exclusive=False, mirror_axes=load.mirror_axes, batch=at_a_time(load.patch, device),
        precision=device.precisions[0], device=device.place,
    )  # fmt: skip
    predict(nets, image, window)
    times: list[float] = []
    while len(times) < (1 if device.tiny else LEAST_IMAGES) or (len(times) < IMAGES and math.fsum(times) < TIMED_S and not device.tiny):
        device.synchronize()
        begin = time.perf_counter()
        predict(nets, image, window)
        times.append(time.perf_counter() - begin)
    return statistics.median(times), device.peaks()[0]


def build_nets(load: Load, device: Device) -> list[nn.Module]:
    """Nets of a plan for the patch, placed as prediction places them."""
    given = stage((load.patch, load.patch), 1, classes=TINY_CLASSES if device.tiny else CLASSES)
    nets: list[nn.Module] = []
    for _ in range(load.folds):
        net = NETS["unet"](given.network)
        place(net, device.place, 2)
        nets.append(net.requires_grad_(False).eval())
    return nets


def predict(nets: Sequence[nn.Module], image: NDArray[np.uint8], window: Window) -> NDArray[np.bool_]:
    """Masks of an image, band by band."""
    intensity = Intensity(mean=(127.5,), std=(74.0,), lower=(0.0,), upper=(255.0,))
    bands = [(band.probabilities > 0.5).cpu().numpy() for band in predict_bands(nets, image, window, intensity)]
    return np.concatenate(bands, axis=1)
