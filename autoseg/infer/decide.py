"""Where probabilities become masks: the one place, for bands of finished rows and for whole images on another grid.

Shapes: H heads (K classes, and the background before them if they are exclusive).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.infer.bits import BitMasks
from autoseg.infer.blend import Band
from autoseg.io.probabilities import quantize
from autoseg.labels import LabelSpace
from autoseg.preprocess.prepared import PreparedMeta
from autoseg.preprocess.restore import restore_argmax, restore_channel, restore_exact

Bytes = NDArray[np.uint8]
Halves = NDArray[np.float16]
#: Which probabilities are kept beside the masks: none, bytes (True), half precision, or both.
Kept = bool | Literal["half", "both"]
Thresholds = Sequence[float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Decided:
    """Masks on the original grid.

    Parameters
    ----------
    array : BitMasks (K, (z,) y, x) of overlapping classes, or array of unsigned integers ((z,) y, x), the values of exclusive ones
    probabilities : array of uint8, (K, (z,) y, x), or None
        255 p, without the background.
    halves : array of float16, (K, (z,) y, x), or None
        p, without the background.
    """

    array: BitMasks | NDArray[Any]
    probabilities: Bytes | None
    halves: Halves | None = None


def are_inside(probabilities: Tensor, thresholds: Thresholds = ()) -> Tensor:
    """Where the probabilities (K, ...) of overlapping classes lie above their thresholds, 0.5 if none are given; bool."""
    if not thresholds:
        return probabilities > 0.5
    limits = torch.tensor(list(thresholds), dtype=torch.float32, device=probabilities.device)
    return probabilities > limits.view(-1, *[1] * (probabilities.ndim - 1))


def most_probable(probabilities: Tensor) -> Tensor:
    """The head of the largest probability of (H, ...), the earlier of equals; int64."""
    # Heads lie innermost on a CPU: along them it is a third of the time.
    return probabilities.movedim(0, -1).argmax(dim=-1)


def decide_bands(
    bands: Iterable[Band], labels: LabelSpace, meta: PreparedMeta, *, probabilities: Kept = False, thresholds: Thresholds = ()
) -> Decided:
    """Decide rows as they finish; no float image ever exists. For cases of which nothing is resampled.

    Parameters
    ----------
    bands : iterable of Band
        All rows of the case, on the prepared grid.
    labels : LabelSpace
    meta : PreparedMeta
    probabilities : bool or {"half", "both"}
        Keep them too: True as bytes.
    thresholds : sequence of float
        Of overlapping classes, one each; empty: 0.5. Exclusive ones: the most probable wins, the earlier of equals.
    """
    first = int(labels.exclusive)
    stored, halves = _room(labels, meta.shape, probabilities)
    values = class_values(labels)
    indices = np.empty(meta.shape, values.dtype) if labels.exclusive else None
    masks = None if labels.exclusive else BitMasks.empty(labels.num_classes, meta.shape)
    for band in bands:
        if indices is not None:
            indices[band.rows] = values[most_probable(band.probabilities).cpu().numpy()]
        if masks is not None:
            masks.put(band.rows, are_inside(band.probabilities, thresholds).cpu().numpy())
        if halves is not None:
            halves[:, band.rows] = band.probabilities[first:].cpu().numpy()
        if stored is not None:
            stored[:, band.rows] = (band.probabilities[first:] * 255).round().to(torch.uint8).cpu().numpy()
    back = None if stored is None else _restored(stored, meta)
    halves = None if halves is None else _restored(halves, meta)
    if masks is not None:
        return Decided(array=BitMasks(_restored(masks.planes, meta), masks.num), probabilities=back, halves=halves)
    assert indices is not None
    return Decided(array=_restored(indices[None], meta)[0], probabilities=back, halves=halves)


def decide_resampled(
    whole: NDArray[np.float32], labels: LabelSpace, meta: PreparedMeta, *, probabilities: Kept = False, thresholds: Thresholds = ()
) -> Decided:
    """The same from probabilities (H, *prepared) on another grid than the original's, class by class."""
    shape = meta.geometry.shape
    stored, halves = _room(labels, shape, probabilities)
    masks = None if labels.exclusive else BitMasks.empty(labels.num_classes, shape)
    for k, plane in enumerate(whole[int(labels.exclusive) :] if masks is not None or probabilities else ()):
        there = restore_channel(plane, meta)
        if masks is not None:
            masks.set(k, there > (thresholds[k] if thresholds else 0.5))
        if stored is not None:
            stored[k] = quantize(there)
        if halves is not None:
            halves[k] = there
    array = class_values(labels)[restore_argmax(whole, meta)] if masks is None else masks
    return Decided(array=array, probabilities=stored, halves=halves)


def _room(labels: LabelSpace, shape: tuple[int, ...], kept: Kept) -> tuple[Bytes | None, Halves | None]:
    whole = (labels.num_classes, *shape)
    return np.empty(whole, np.uint8) if kept in (True, "both") else None, np.empty(whole, np.float16) if kept in ("half", "both") else None


def class_values(labels: LabelSpace) -> NDArray[Any]:
    """The value in a map of each head of exclusive classes, in the smallest unsigned dtype that holds them all."""
    values = (0, *labels.values)
    return np.array(values, np.result_type(*(np.min_scalar_type(value) for value in values)))


def _restored(planes: NDArray[Any], meta: PreparedMeta) -> NDArray[Any]:
    if meta.geometry.shape == meta.shape and meta.axes == tuple(range(len(meta.shape))):
        return planes
    return np.stack([restore_exact(plane, meta) for plane in planes])
