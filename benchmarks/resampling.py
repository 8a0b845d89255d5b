"""Resampling of images and labels beside skimage's per-class loop, which is how nnU-Net resamples: seconds and what comes out.

    taskset -c 2 python -m benchmarks.resampling                  # 100 x 512 x 512; 2, 10 and 30 classes
    taskset -c 2 python -m benchmarks.resampling --grids isotropic --classes 30 --rounds 1
    taskset -c 2 python -m benchmarks.resampling --others         # SimpleITK and torch

The loop is that of nnU-Net 2.8 and batchgenerators: labels by `skimage.transform.resize` of order 1 of each class and of the background, in
float64, a voxel being of the class that it is half of or more; images of order 3. Where an axis is over three times as coarse as the
others it resizes slice by slice, and takes the nearest slice. Both sides run in turn in one process, on one thread; seconds are of
processor time, medians, and the median of the ratios of pairs. Labels are balls, none of which overlaps another. `equal` is the share of
voxels that get the same label, `near borders` of those within two voxels of a border; `rms` the difference of the images in standard
deviations. skimage smooths nothing where the grid gets coarser, and its cubic is a B-spline: images are near, not equal.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize
from torch.nn import functional

from autoseg.labels import CodeMap, encode_map
from autoseg.preprocess.resample import ANISOTROPY, kernels_for, linear, resample, resample_image, resample_labels

Floats = NDArray[np.float64]
Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


class Grid(NamedTuple):
    """From which spacing to which one."""

    before: tuple[float, float, float]
    after: tuple[float, float, float]

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Of the resampled volume."""
        return tuple(round(n * b / a) for n, b, a in zip(shape, self.before, self.after, strict=True))


GRIDS = {
    "isotropic, finer": Grid((1.0, 1.0, 1.0), (0.9, 0.9, 0.9)),
    "isotropic, coarser": Grid((1.0, 1.0, 1.0), (1.25, 1.25, 1.25)),
    "coarse z, finer": Grid((5.0, 1.0, 1.0), (4.5, 0.9, 0.9)),
    "coarse z, coarser": Grid((5.0, 1.0, 1.0), (5.0, 1.25, 1.25)),
}


def draw_labels(shape: tuple[int, ...], classes: int) -> NDArray[np.uint8]:
    """Balls (flat ones in a flat volume), a third of all voxels or less; where two meet the later one is on top."""
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.uint8)
    radius = [0.5 * n * (0.35 / classes) ** (1 / 3) for n in shape]
    for k in range(1, classes + 1):
        centre = [rng.uniform(r, n - r) for r, n in zip(radius, shape, strict=True)]
        box = tuple(slice(int(c - r), int(c + r) + 2) for c, r in zip(centre, radius, strict=True))
        axes = np.ogrid[box]
        distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radius, strict=True))
        labels[box][np.asarray(distance < 1)[tuple(slice(0, n) for n in labels[box].shape)]] = k
    return labels


def draw_image(shape: tuple[int, ...]) -> NDArray[np.int16]:
    """A smooth texture with noise, as a CT stores it."""
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 3)
    return np.asarray(np.rint(smooth / smooth.std() * 300 + rng.normal(0, 10, shape)), np.int16)


def is_separate(spacing: Sequence[float]) -> bool:
    """True if nnU-Net resamples slice by slice."""
    return max(spacing) / min(spacing) > ANISOTROPY


def resize_as_nnunet(array: Floats, shape: tuple[int, ...], *, order: int, separate: bool) -> Floats:
    """`skimage.transform.resize` of a volume, or of its slices and then to the nearest slice."""
    options: dict[str, Any] = {"order": order, "mode": "edge", "clip": True, "anti_aliasing": False}
    if not separate:
        return np.asarray(resize(array, shape, **options))
    planes: Floats = np.stack([resize(plane, shape[1:], **options) for plane in array])
    if len(planes) == shape[0]:
        return planes
    centres = (np.arange(shape[0]) + 0.5) * len(planes) / shape[0] - 0.5
    coordinates = np.array(np.meshgrid(centres, *(np.arange(float(n)) for n in shape[1:]), indexing="ij"))
    return np.asarray(ndimage.map_coordinates(planes, coordinates, order=0, mode="nearest"))


def skimage_labels(labels: NDArray[np.uint8], shape: tuple[int, ...], *, separate: bool) -> NDArray[np.uint8]:
    """nnU-Net's loop over the values that there are."""
    out = np.zeros(shape, np.uint8)
    for value in np.unique(labels):
        out[resize_as_nnunet((labels == value).astype(float), shape, order=1, separate=separate) >= 0.5] = value
    return out


def values_of(labels: CodeMap) -> NDArray[np.uint8]:
    """A code map of exclusive classes as the map of their numbers from 1."""
    return np.asarray((labels.table * np.arange(1, labels.num_classes + 1)).sum(axis=1).astype(np.uint8)[labels.codes])


class Times(NamedTuple):
    """Median processor seconds of both sides, and the median of the ratios."""

    ours: float
    theirs: float
    ratio: float

    def cells(self) -> tuple[str, str, str]:
        """Of the table."""
        return f"{self.ours:.2f}", f"{self.theirs:.2f}", f"{self.ratio:.1f}"


def timed(rounds: int, ours: Callable[[], Ours], theirs: Callable[[], Theirs]) -> tuple[Times, Ours, Theirs]:
    """Both in turn, and what they made."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        mine = ours()
        middle = time.process_time()
        other = theirs()
        times.append((middle - start, time.process_time() - middle))
    first, second = (statistics.median(pair[i] for pair in times) for i in (0, 1))
    return Times(first, second, statistics.median(b / a for a, b in times)), mine, other


def labels_row(shape: tuple[int, ...], classes: int, grid: Grid, rounds: int) -> tuple[str, ...]:
    """Time, and the share of equal voxels."""
    values = draw_labels(shape, classes)
    given = encode_map(values, {0: (), **{k: (k - 1,) for k in range(1, classes + 1)}}, classes)
    target, separate = grid.shape(shape), is_separate(grid.before)
    times, codes, other = timed(rounds, lambda: resample_labels(given, target), lambda: skimage_labels(values, target, separate=separate))
    mine = values_of(codes)
    border = ndimage.maximum_filter(other, 5) != ndimage.minimum_filter(other, 5)
    return (*times.cells(), f"{(mine == other).mean():.6f}", f"{(mine == other)[border].mean():.5f}")


def image_row(shape: tuple[int, ...], grid: Grid, rounds: int) -> tuple[str, ...]:
    """Time, and the difference."""
    image, target, separate = draw_image(shape), grid.shape(shape), is_separate(grid.before)
    times, mine, other = timed(
        rounds,
        lambda: resample_image(image[None], target, spacing=grid.before)[0],
        lambda: resize_as_nnunet(image.astype(float), target, order=3, separate=separate),
    )
    return (*times.cells(), f"rms {np.sqrt(np.mean((mine - other) ** 2)) / image.std():.4f}", "")


def by_simpleitk(array: NDArray[Any], shape: tuple[int, ...], interpolator: int) -> NDArray[np.float32]:
    """SimpleITK's resampling filter on the grid that keeps the outer edges of the first and the last voxel."""
    image = sitk.GetImageFromArray(array.astype(np.float32))
    steps = [old / new for old, new in zip(array.shape[::-1], shape[::-1], strict=True)]
    origin = [(step - 1) / 2 for step in steps]
    options = sitk.Transform(3, sitk.sitkIdentity), interpolator, origin, steps
    done = sitk.Resample(image, shape[::-1], *options, (1, 0, 0, 0, 1, 0, 0, 0, 1), 0.0, sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(done))


def by_torch(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """torch's interpolate, which knows three axes only linearly."""
    image = torch.from_numpy(array.astype(np.float32))[None, None]
    return np.asarray(functional.interpolate(image, size=shape, mode="trilinear", align_corners=False)[0, 0].numpy())


def others_rows(shape: tuple[int, ...], grid: Grid, rounds: int) -> Iterator[tuple[str, ...]]:
    """What could stand in our place: of an image, and of one class's mask of the whole volume; processor seconds, and ours."""
    image, target = draw_image(shape), grid.shape(shape)
    mask = draw_labels(shape, 2) == 1
    kernels = {"cubic": kernels_for((1.0,) * 3), "linear": linear(3)}
    for name, array, kernel, other in (
        ("image, B-spline of SimpleITK", image, "cubic", lambda: by_simpleitk(image, target, sitk.sitkBSpline)),
        ("image, linear of torch", image, "linear", lambda: by_torch(image, target)),
        ("a mask, linear of SimpleITK", mask, "linear", lambda: by_simpleitk(mask, target, sitk.sitkLinear)),
        ("a mask, linear of torch", mask, "linear", lambda: by_torch(mask, target)),
    ):
        times, _, _ = timed(rounds, partial(resample, array, target, kernels=kernels[kernel]), other)
        yield name, *times.cells()


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(100, 512, 512))
    parser.add_argument("--classes", type=int, nargs="*", default=(2, 10, 30))
    parser.add_argument("--grids", nargs="+", default=tuple(GRIDS), help=f"beginnings of {', '.join(GRIDS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-image", action="store_true")
    parser.add_argument("--others", action="store_true", help="SimpleITK and torch instead of skimage")
    given = parser.parse_args()
    shape = tuple(given.shape)
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print(" x ".join(map(str, shape)))
    if given.others:
        print("| grid | what | ours, processor s | theirs | times |\n|---|---|---|---|---|")
        for name, grid in GRIDS.items():
            for cells in others_rows(shape, grid, given.rounds):
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        return
    print("| grid | to | what | processor s | skimage's | times its speed | equal | near borders |\n|---|---|---|---|---|---|---|---|")
    for name, grid in GRIDS.items():
        if not any(name.startswith(start) for start in given.grids):
            continue
        place = f"| {name} | {' x '.join(map(str, grid.shape(shape)))} |"
        if not given.no_image:
            print(place + " image | " + " | ".join(image_row(shape, grid, given.rounds)) + " |", flush=True)
        for classes in given.classes:
            print(place + f" {classes} classes | " + " | ".join(labels_row(shape, classes, grid, given.rounds)) + " |", flush=True)


if __name__ == "__main__":
    main()
