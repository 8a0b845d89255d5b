"""A new case, decided as selection.json says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autoseg.ensemble import Bytes, Combination, combine_class, combine_exclusive, mix_exclusive
from autoseg.geometry import Geometry
from autoseg.infer.bits import BitMasks
from autoseg.infer.certainty import Sums, sums_of_bytes
from autoseg.infer.decide import Kept
from autoseg.infer.segmentation import Segmentation
from autoseg.labels import LabelSpace, class_values
from autoseg.postprocess import Cleaning, clean_map, clean_mask
from autoseg.select.selection import Selection


class Planes(Protocol):
    """A member's probabilities in bytes, (K, (z,) y, x): an array, or of overlapping classes anything that gives one class at a time."""

    def __getitem__(self, k: int, /) -> Bytes: ...


def decide(
    selection: Selection,
    labels: LabelSpace,
    geometry: Geometry,
    members: Sequence[Planes],
    *,
    probabilities: Kept = False,
    weighs: bool = False,
) -> Segmentation:
    """Masks of the members' probabilities: combined, cut at the thresholds, and cleaned, by the same functions that judged them.

    Parameters
    ----------
    selection : Selection
    labels : LabelSpace
    geometry : Geometry
        The original grid.
    members : sequence of arrays of uint8, (K, (z,) y, x)
        Of `selection.used`, in their order: 255 p, without the background.
    probabilities : bool or {"half", "both"}
        Give the combined ones too, as `infer.case.segment` does; in half precision they are no finer than bytes.
    weighs : bool
        Give the `sums` of the members' mean, too: over what is decided before post-processing, and of a hard vote, whose own bytes are all
        or nothing, as well.

    Notes
    -----
    Masks are made one class at a time; post-processing sees each whole.
    """
    combination = _reduced(selection)
    cleanings = [_on_grid(cleaning, selection.unit, geometry) for cleaning in selection.cleanings]
    size = float(np.prod(geometry.spacing))
    kept: list[Bytes] = []
    sums: list[Sums] = []
    array: NDArray[Any] | BitMasks
    if labels.exclusive:
        whole = [np.asarray(member) for member in members]
        decided = combine_exclusive(whole, combination)
        mixed = mix_exclusive(whole, combination.weights) if probabilities or weighs else []
        sums = [sums_of_bytes(plane, decided == k) for k, plane in enumerate(mixed, start=1)] if weighs else []
        array = class_values(labels)[clean_map(decided, cleanings, size)]
        kept = mixed if probabilities else []
    else:
        array = BitMasks.empty(labels.num_classes, geometry.shape)
        for k, (row, threshold, cleaning) in enumerate(zip(combination.weights, selection.thresholds, cleanings, strict=True)):
            planes = [member[k] for member in members]
            plane = combine_class(planes, row, combination.kind)
            mask = plane >= threshold
            if weighs:
                sums.append(sums_of_bytes(plane if combination.kind == "soft" else combine_class(planes, row, "soft"), mask))
            array.set(k, clean_mask(mask, cleaning, size))
            if probabilities:
                kept.append(plane)
    stored = np.stack(kept) if kept else None
    halves = None if stored is None or probabilities is True else (stored / np.float32(255)).astype(np.float16)
    return Segmentation(
        labels=labels, geometry=geometry, array=array, probabilities=None if probabilities == "half" else stored, halves=halves,
        sums=Sums.stack(sums) if weighs else None,
    )  # fmt: skip


def clean(selection: Selection, segmentation: Segmentation) -> Segmentation:
    """A member's own masks, cleaned in place: what is left to do where one member predicts with its thresholds."""
    labels, geometry = segmentation.labels, segmentation.geometry
    cleanings = [_on_grid(cleaning, selection.unit, geometry) for cleaning in selection.cleanings]
    size = float(np.prod(geometry.spacing))
    if labels.exclusive and any(cleanings):
        values = class_values(labels)
        heads = np.zeros(int(values.max()) + 1, np.uint16)
        heads[values] = np.arange(len(values))
        return replace(segmentation, array=values[clean_map(heads[segmentation.map()], cleanings, size)])
    if not labels.exclusive:
        assert isinstance(segmentation.array, BitMasks), "as predicted"
        for k, cleaning in enumerate(cleanings):
            if cleaning:
                segmentation.array.set(k, clean_mask(segmentation.array[k], cleaning, size))
    return segmentation


def _reduced(selection: Selection) -> Combination:
    """Weights of the members that are used alone."""
    used = selection.combination.used
    return replace(selection.combination, weights=tuple(tuple(row[m] for m in used) for row in selection.combination.weights))


def _on_grid(cleaning: Cleaning, unit: str, geometry: Geometry) -> Cleaning:
    """A smallest size in mm says nothing of an image without them, and one in pixels nothing of an image that has them."""
    is_known = (unit != "pixel") == (geometry.unit == "mm")
    return cleaning if is_known or not cleaning.min_size else replace(cleaning, min_size=0.0)
