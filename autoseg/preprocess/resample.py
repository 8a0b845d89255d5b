"""Resampling on regular grids, axis by axis. The first and last pixel keep their outer edges: the field of view stays the same.

Every axis is one sparse matrix product: a kernel of a few taps per output pixel. Where the output is coarser, the kernel widens with
the step, so that nothing is skipped (aliasing).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from autoseg.labels import CodeMap, encode_masks

Kernel = Literal["cubic", "linear"]

#: nnU-Net's rule: a spacing this many times the others' makes an axis coarse; cubic interpolation across it would invent ringing.
ANISOTROPY = 3.0


def resample_image(image: NDArray[Any], shape: tuple[int, ...], *, spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """An image (C, (z,) y, x) on a grid of `shape`: cubic along fine axes, linear along a coarse one."""
    return np.stack([resample(channel, shape, kernels=kernels_for(spacing)) for channel in image])


def kernels_for(spacing: tuple[float, ...]) -> tuple[Kernel, ...]:
    """The kernel of each axis: cubic; linear where the spacing is over `ANISOTROPY` times the finest."""
    coarse = ANISOTROPY * min(spacing)
    return tuple("linear" if step > coarse else "cubic" for step in spacing)


def linear(num_axes: int) -> tuple[Kernel, ...]:
    """The linear kernel along every axis."""
    one: tuple[Kernel, ...] = ("linear",)
    return one * num_axes


def resample(array: NDArray[Any], shape: tuple[int, ...], *, kernels: tuple[Kernel, ...]) -> NDArray[np.float32]:
    """One channel, (z,) y, x, on a grid of `shape`.

    Axes that shrink most go first, so that the rest works on fewer pixels.
    """
    out = np.asarray(array, np.float32)
    for axis in sorted(range(out.ndim), key=lambda a: shape[a] / array.shape[a]):
        if out.shape[axis] != shape[axis]:
            matrix = interpolation_matrix(out.shape[axis], shape[axis], kernel=kernels[axis])
            front = np.moveaxis(out, axis, 0)
            flat = matrix @ np.ascontiguousarray(front).reshape(len(front), -1)
            out = np.moveaxis(flat.reshape(shape[axis], *front.shape[1:]), 0, axis)
    return np.ascontiguousarray(out, np.float32)


def resample_labels(labels: CodeMap, shape: tuple[int, ...]) -> CodeMap:
    """A code map on a grid of `shape`: each class's membership is interpolated linearly and cut at one half, then encoded again.

    Averaging over the area of a coarser pixel instead measured no better: discs of 6 pixels in radius, halved and doubled again, keep
    a Dice of 0.92 either way. Interpolating codes would invent sets of classes; one class at a time bounds the memory.
    """
    if labels.codes.shape == shape:
        return labels
    ignored = None
    if labels.ignore.any():
        whole = tuple(slice(0, n) for n in labels.codes.shape)
        ignored = _resample_inside(labels.ignored(), whole, before=labels.codes.shape, shape=shape)
    return encode_masks(_memberships(labels, shape), shape, ignored)


def _memberships(labels: CodeMap, shape: tuple[int, ...]) -> Iterator[NDArray[np.bool_]]:
    boxes = ndimage.find_objects(labels.codes, max_label=len(labels.table) - 1)
    for k in range(labels.num_classes):
        members = [box for code in np.flatnonzero(labels.table[:, k]) if (box := boxes[code - 1]) is not None]
        if not members:
            yield np.zeros(shape, np.bool_)
            continue
        box = tuple(slice(min(b[a].start for b in members), max(b[a].stop for b in members)) for a in range(len(shape)))
        yield _resample_inside(labels.table[:, k][labels.codes[box]], box, before=labels.codes.shape, shape=shape)


def _resample_inside(
    mask: NDArray[np.bool_], box: tuple[slice, ...], *, before: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """A mask that is empty outside `box`: only the part of each matrix that meets the box is multiplied, with the same result."""
    out = mask.astype(np.float32)
    place = []
    for axis, window in enumerate(box):
        matrix = interpolation_matrix(before[axis], shape[axis], kernel="linear")[:, window]
        rows = np.flatnonzero(np.diff(matrix.indptr))
        place.append(slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0))
        front = np.moveaxis(out, axis, 0)
        flat = matrix[place[-1]] @ np.ascontiguousarray(front).reshape(len(front), -1)
        out = np.moveaxis(flat.reshape(-1, *front.shape[1:]), 0, axis)
    full = np.zeros(shape, np.bool_)
    # A little above one half: a pixel exactly between two classes goes to neither, never to both.
    full[tuple(place)] = out > 0.5 + 1e-6
    return full


@lru_cache(maxsize=64)
def interpolation_matrix(length: int, new_length: int, *, kernel: Kernel) -> sparse.csr_array[np.float32]:
    """The weights (new_length, length) that carry an axis of `length` pixels to `new_length`; rows sum to 1, borders repeat.

    "cubic" is Keys' kernel with a = -0.5 (third order accuracy), "linear" the triangle.
    """
    step = length / new_length
    width = max(1.0, step)
    centre = (np.arange(new_length) + 0.5) * step - 0.5
    reach = (2 if kernel == "cubic" else 1) * width
    taps = np.arange(int(np.floor(-reach)), int(np.ceil(reach)) + 1)
    index = np.floor(centre).astype(np.int64)[:, None] + taps
    distance = np.abs(index - centre[:, None]) / width
    weight = _cubic(distance) if kernel == "cubic" else np.maximum(1 - distance, 0)
    weight = weight / weight.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(new_length), len(taps))
    columns = np.clip(index, 0, length - 1).ravel()
    keep = weight.ravel() != 0
    entries = (weight.ravel()[keep].astype(np.float32), (rows[keep], columns[keep]))
    return sparse.csr_array(sparse.coo_array(entries, shape=(new_length, length)))


def _cubic(t: NDArray[np.float64]) -> NDArray[np.float64]:
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))
