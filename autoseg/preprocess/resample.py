"""Resampling on regular grids, axis by axis. The first and last pixel keep their outer edges: the field of view stays the same.

Every axis is one sparse matrix product: a kernel of a few taps per output pixel. Where the output is coarser, the kernel widens with
the step, so that nothing is skipped (aliasing).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from autoseg.labels import Box, CodeMap, encode_parts

Kernel = Literal["cubic", "linear"]

#: nnU-Net's rule: a spacing this many times the others' makes an axis coarse; cubic interpolation across it would invent ringing.
ANISOTROPY = 3.0

#: Values that are multiplied at a time: of lines that are transposed first, and of others.
PIECE, PLANE = 2**14, 2**18


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
    out = array
    for axis in sorted(range(out.ndim), key=lambda a: shape[a] / array.shape[a]):
        if out.shape[axis] != shape[axis]:
            out = along(out, axis, interpolation_matrix(out.shape[axis], shape[axis], kernel=kernels[axis]))
    return np.ascontiguousarray(out, np.float32)


def along(array: NDArray[Any], axis: int, matrix: sparse.csr_array[np.float32]) -> NDArray[np.float32]:
    """The product of a matrix (new, old) with every line of an array along one axis, in pieces that stay in the processor's cache.

    Only a piece at a time is made float32 and, along the last axis, transposed. Rows of the matrix are summed up one by one: some of them
    give some of the result, to the last bit.
    """
    new, old = matrix.shape
    lead, tail = math.prod(array.shape[:axis]), math.prod(array.shape[axis + 1 :])
    out = np.empty((*array.shape[:axis], new, *array.shape[axis + 1 :]), np.float32)
    if tail == 1:
        lines, target = array.reshape(lead, old).T, out.reshape(lead, new).T
        _multiply(matrix, lines, target, max(1, PIECE // max(1, old)))
    else:
        for plane, place in zip(array.reshape(lead, old, tail), out.reshape(lead, new, tail), strict=True):
            _multiply(matrix, plane, place, max(1, PLANE // max(1, old)))
    return out


def _multiply(matrix: sparse.csr_array[np.float32], lines: NDArray[Any], target: NDArray[np.float32], step: int) -> None:
    """target = matrix @ lines, (new, n) and (old, n), `step` columns at a time."""
    for start in range(0, lines.shape[1], step):
        part = slice(start, start + step)
        target[:, part] = matrix @ np.ascontiguousarray(lines[:, part], np.float32)


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
        box, inside = _resample_inside(labels.ignored(), whole, before=labels.codes.shape, shape=shape)
        ignored = np.zeros(shape, np.bool_)
        ignored[box] = inside
    return encode_parts(_memberships(labels, shape), shape, ignored)


def _memberships(labels: CodeMap, shape: tuple[int, ...]) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    boxes = ndimage.find_objects(labels.codes, max_label=len(labels.table) - 1)
    nowhere = (slice(0, 0),) * len(shape)
    for k in range(labels.num_classes):
        codes = [int(code) for code in np.flatnonzero(labels.table[:, k]) if boxes[code - 1] is not None]
        if not codes:
            yield nowhere, np.zeros((0,) * len(shape), np.bool_)
            continue
        members = [boxes[code - 1] for code in codes]
        box = tuple(slice(min(b[a].start for b in members), max(b[a].stop for b in members)) for a in range(len(shape)))
        inside = labels.codes[box] == codes[0] if len(codes) == 1 else labels.table[:, k][labels.codes[box]]
        yield _resample_inside(inside, box, before=labels.codes.shape, shape=shape)


def _resample_inside(
    mask: NDArray[np.bool_], box: Box, *, before: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[Box, NDArray[np.bool_]]:
    """A mask that is empty outside `box`, and the box that it fills then: only parts of matrices are multiplied, with the same result."""
    out: NDArray[Any] = mask
    place = []
    for axis, window in enumerate(box):
        matrix = interpolation_matrix(before[axis], shape[axis], kernel="linear")[:, window]
        rows = np.flatnonzero(np.diff(matrix.indptr))
        place.append(slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0))
        if before[axis] != shape[axis]:
            out = along(out, axis, matrix[place[-1]])
    # A little above one half: a pixel exactly between two classes goes to neither, never to both.
    return tuple(place), out > 0.5 + 1e-6


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
