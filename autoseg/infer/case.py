"""One prepared case through the nets and back: masks or an integer map on the original grid.

Where nothing is resampled, rows are cut to masks as they finish and no float image ever exists; else probabilities go back class by
class. Shapes: H heads (K classes, and the background before them if they are exclusive).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.augment import Intensity
from autoseg.geometry import Geometry
from autoseg.infer.window import Band, Window, predict_bands, predict_image
from autoseg.io.probabilities import quantize
from autoseg.labels import LabelSpace, Mask
from autoseg.plan import Plan
from autoseg.preprocess.prepared import PreparedMeta
from autoseg.preprocess.restore import restore_argmax, restore_channel, restore_masks

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """All that turns prepared cases into segmentations.

    Parameters
    ----------
    labels : LabelSpace
    nets : tuple of modules
        The folds, in eval mode on the window's device.
    window : Window
        From `infer.nets.plan_window`.
    previous : Previous or None
        The stage before in a cascade; `segment` itself is given its result, `infer.cascade` makes it.
    """

    labels: LabelSpace
    nets: tuple[nn.Module, ...]
    window: Window
    previous: Previous | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Previous:
    """The stage before in a cascade: its model, and the plan and the stage by which its cases are prepared."""

    plan: Plan
    stage: str
    model: Model


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """A predicted case on its original grid.

    Parameters
    ----------
    labels : LabelSpace
    geometry : Geometry
    array : array
        Overlapping classes: bool, (K, (z,) y, x). Exclusive ones: the value of each pixel's class and 0 for the background, the
        smallest unsigned integers, ((z,) y, x).
    probabilities : array of uint8, (K, (z,) y, x), or None
        255 p, without the background.

    Notes
    -----
    Volumes are in the canonical orientation, as they were read; `export.write_segmentation` turns them back to their file's own.
    """

    labels: LabelSpace
    geometry: Geometry
    array: NDArray[Any]
    probabilities: Bytes | None = None

    def masks(self) -> Iterator[tuple[str, Mask]]:
        """Each class's name and mask, one at a time."""
        for k, name in enumerate(self.labels.classes):
            yield name, self.array == self.labels.values[k] if self.labels.exclusive else self.array[k]


def segment(
    model: Model, image: NDArray[Any], meta: PreparedMeta, *, previous: Bytes | None = None, probabilities: bool = False
) -> Segmentation:
    """Predict a prepared case.

    Parameters
    ----------
    model : Model
    image : array, (C, *spatial)
        As prepared: not normalised, slices first.
    meta : PreparedMeta
        The case's way there, with the normalisation of its channels.
    previous : array of uint8, (K, *spatial), optional
        The previous stage's channels, from `preprocess.previous`.
    probabilities : bool
        Give them too, as bytes.

    Returns
    -------
    Segmentation
        Overlapping classes: where the probability is above 0.5. Exclusive ones: the most probable, the earlier of equals.
    """
    intensity = Intensity.of(meta)
    if meta.resampled_shape == meta.box_shape:
        bands = predict_bands(model.nets, image, model.window, intensity, previous=previous)
        decided, stored = _decide_bands(bands, model.labels, meta, probabilities)
    else:
        whole = predict_image(model.nets, image, model.window, intensity, previous=previous)
        decided, stored = _decide_resampled(whole, model.labels, meta, probabilities)
    if model.labels.exclusive:
        decided = np.array((0, *model.labels.values), _map_dtype(model.labels))[decided]
    return Segmentation(labels=model.labels, geometry=meta.geometry, array=decided, probabilities=stored)


def _decide_bands(bands: Iterator[Band], labels: LabelSpace, meta: PreparedMeta, keep: bool) -> tuple[NDArray[Any], Bytes | None]:
    """Masks (or class indices) and bytes on the original grid, decided row by row."""
    shape = meta.shape
    stored = np.empty((labels.num_classes, *shape), np.uint8) if keep else None
    indices = np.empty(shape, np.uint16) if labels.exclusive else None
    masks = None if labels.exclusive else np.empty((labels.num_classes, *shape), np.bool_)
    for band in bands:
        values = band.probabilities
        if indices is not None:
            indices[band.rows] = values.argmax(dim=0).to(torch.int16).cpu().numpy()
        if masks is not None:
            masks[:, band.rows] = (values > 0.5).cpu().numpy()
        if stored is not None:
            stored[:, band.rows] = _to_bytes(values[int(labels.exclusive) :])
    decided = masks if masks is not None else indices
    assert decided is not None
    if meta.geometry.shape == shape and meta.axes == tuple(range(len(shape))):
        return decided, stored
    back = None if stored is None else np.stack([_put_back(plane, meta) for plane in stored])
    return (np.stack(list(restore_masks(masks, meta))) if masks is not None else _put_back(decided, meta)), back


def _to_bytes(probabilities: Tensor) -> Bytes:
    return np.asarray((probabilities * 255).round().to(torch.uint8).cpu().numpy())


def _put_back(plane: NDArray[Any], meta: PreparedMeta) -> NDArray[Any]:
    # Nothing is resampled here: the way through float32 is exact for whole numbers of 16 bit.
    return restore_channel(plane, meta).astype(plane.dtype)


def _decide_resampled(
    probabilities: NDArray[np.float32], labels: LabelSpace, meta: PreparedMeta, keep: bool
) -> tuple[NDArray[Any], Bytes | None]:
    """The same from probabilities on another grid than the original's, class by class."""
    classes = probabilities[int(labels.exclusive) :]
    shape = (labels.num_classes, *meta.geometry.shape)
    stored = np.empty(shape, np.uint8) if keep else None
    masks = None if labels.exclusive else np.empty(shape, np.bool_)
    if masks is not None or stored is not None:
        for k, plane in enumerate(classes):
            there = restore_channel(plane, meta)
            if masks is not None:
                masks[k] = there > 0.5
            if stored is not None:
                stored[k] = quantize(there)
    return (restore_argmax(probabilities, meta) if masks is None else masks), stored


def _map_dtype(labels: LabelSpace) -> np.dtype[Any]:
    return np.result_type(*(np.min_scalar_type(value) for value in (0, *labels.values)))
