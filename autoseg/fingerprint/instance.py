"""What a small patch shows of each class: its largest part, measured where it lies and whatever lies around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.case import LoadedCase
from autoseg.fingerprint.facts import CaseFacts
from autoseg.fingerprint.sketch import shrink

#: Cells per axis of the picture that windows are cut from, by number of axes: a sixteenth of the edge still spans 8 and 3 cells.
VIEW_SIZE = {2: 128, 3: 48}
#: A class is measured on about this many samples per axis of its bounding box: its area is then good to about a percent.
GRID = {2: 64, 3: 32}
#: The surround reaches this far, as a share of the edge of a square (cube) of the same area (volume).
SURROUND = 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One case, as needed to ask which classes look alike and how much of the image tells them apart.

    Parameters
    ----------
    picture : array of float32, shape (g,) * n
        The whole extent, each channel at mean 0 and deviation 1, mean over channels.
    shape : array, shape (K, 1 + n)
        Logarithm of the size (mm or pixels, to the power n) and of the principal half-lengths, longest first, of the largest part of
        each class; NaN where it is absent. No rotation or mirror changes them.
    look : array, shape (C, K, 3)
        Mean inside, logarithm of the deviation inside, and mean inside less that of the surround, in deviations of the image.
    place : array, shape (K, n)
        Centroid as a share of the image's edge.
    """

    picture: NDArray[np.float32]
    shape: NDArray[np.float64]
    look: NDArray[np.float64]
    place: NDArray[np.float64]


def view_of(loaded: LoadedCase, facts: CaseFacts) -> View:
    """Measure the largest part of each class of a labelled case; `facts` are its own."""
    if loaded.labels is None:
        raise ValueError(f"case {facts.name} has no labels; only labelled cases are measured")
    image, labels = loaded.image[: 1 if facts.is_grey else None], loaded.labels
    axes, num_classes = image.ndim - 1, len(facts.classes)
    scales = [(i.mean, i.std or 1.0) for i in facts.intensity[: len(image)]]
    shape, look = np.full((num_classes, 1 + axes), np.nan), np.full((len(image), num_classes, 3), np.nan)
    place = np.full((num_classes, axes), np.nan)
    boxes = ndimage.find_objects(labels.codes, max_label=len(labels.table) - 1)
    for k, one in enumerate(facts.classes):
        if one is None:
            continue
        inside = [boxes[code - 1] for code in np.flatnonzero(labels.table[:, k])]
        start = np.min([[s.start for s in box] for box in inside if box is not None], axis=0)
        mask = labels.table[:, k][labels.codes[tuple(slice(a, a + n) for a, n in zip(start, one.extent, strict=True))]]
        if one.components > 1:
            mask, start = largest_part(mask, start)
        shape[k], centroid = _shape(mask, np.asarray(facts.spacing))
        place[k] = (start + centroid + 0.5) / facts.shape
        look[:, k] = _look(image, scales, mask=mask, start=start)
    return View(picture=_picture(image, scales), shape=shape, look=look, place=place)


def _picture(image: NDArray[Any], scales: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    cells = VIEW_SIZE[image.ndim - 1]
    # Three samples a cell and axis: a fifth of the time that eight take, and what matters is many cells wide.
    channels = [(shrink(channel, cells, samples=3) - mean) / std for channel, (mean, std) in zip(image, scales, strict=True)]
    return np.asarray(np.mean(channels, axis=0, dtype=np.float32))


def largest_part(mask: NDArray[np.bool_], start: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The largest connected part, cropped to its own box, and where it starts: one cell of many, a bone without stray pixels."""
    parts, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim, np.bool_))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    number = int(sizes.argmax())
    box = ndimage.find_objects(parts, max_label=number)[number - 1]
    return parts[box] == number, start + [s.start for s in box]


def _strides(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """A step per axis that leaves about `GRID` samples; 1 where the mask is thinner than the steps."""
    steps = tuple(max(1, n // GRID[mask.ndim]) for n in mask.shape)
    return steps if mask[_every(steps)].any() else (1,) * mask.ndim


def _every(steps: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(None, None, step) for step in steps)


def _shape(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features of `View.shape`, and the centroid in pixels of the mask."""
    strides = np.array(_strides(mask))
    points = np.argwhere(mask[_every(strides.tolist())])
    steps = strides * spacing
    width = np.diag(np.square(steps) / 12)  # a pixel is no point
    scatter = np.atleast_2d(np.cov(points * steps, rowvar=False, bias=True)) + width
    lengths = np.sqrt(np.linalg.eigvalsh(scatter)[::-1])
    return np.log([len(points) * float(np.prod(steps)), *lengths]), points.mean(axis=0) * strides


def _look(
    image: NDArray[Any], scales: Sequence[tuple[float, float]], *, mask: NDArray[np.bool_], start: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Features of `View.look` of one class, shape (C, 3)."""
    reach = max(1, round(SURROUND * float(mask.sum()) ** (1 / mask.ndim)))
    stop = start + mask.shape
    low, high = np.maximum(start - reach, 0), np.minimum(stop + reach, image.shape[1:])
    inside = np.pad(mask, [(a, b) for a, b in zip(start - low, high - stop, strict=True)])
    strides = _strides(inside)
    inside = inside[_every(strides)]
    around = ndimage.maximum_filter(inside, [2 * max(1, reach // s) + 1 for s in strides]) & ~inside
    seen = image[(slice(None), *(slice(a, b, s) for a, b, s in zip(low, high, strides, strict=True)))]
    return np.stack([_values(channel[inside], channel[around], scale) for channel, scale in zip(seen, scales, strict=True)])


def _values(inside: NDArray[Any], around: NDArray[Any], scale: tuple[float, float]) -> tuple[float, float, float]:
    mean, std = scale
    middle = float(inside.mean(dtype=np.float64))
    contrast = middle - float(around.mean(dtype=np.float64)) if len(around) else 0.0
    return (middle - mean) / std, float(np.log(max(float(inside.std(dtype=np.float64)) / std, 0.01))), contrast / std
