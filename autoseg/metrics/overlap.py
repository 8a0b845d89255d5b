"""Dice, IoU, precision and recall of masks, from counted pixels.

Stated rules. Unlabelled pixels count nowhere. Where truth and prediction are both empty there is nothing to measure: Dice and IoU are
NaN, and means leave them out (nnU-Net's rule). Where one of the two is empty they are 0. Precision is NaN where nothing was
predicted, recall where nothing was there.

Shapes: K classes, S codes of the truth's table, P codes of the prediction's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.labels import CodeMap, Mask

Counted = NDArray[np.int64]
Score = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Pixels per class, int64, shape (K,) each: hit (in both), extra (predicted alone), missed (in the truth alone)."""

    hit: Counted
    extra: Counted
    missed: Counted

    def __add__(self, other: Counts) -> Counts:
        return Counts(hit=self.hit + other.hit, extra=self.extra + other.extra, missed=self.missed + other.missed)


def count_masks(prediction: Iterable[Mask], truth: CodeMap) -> Counts:
    """Count the pixels of predicted masks.

    Parameters
    ----------
    prediction : iterable of arrays of bool, each of the truth's shape
        One per class, in order; read one at a time.
    truth : CodeMap

    Raises
    ------
    ValueError
        If a mask has another shape, or there are more or fewer masks than classes.
    """
    sets = len(truth.table)
    area = np.bincount(truth.codes.ravel(), minlength=sets).astype(np.int64) @ truth.table
    hit, extra = np.zeros_like(area), np.zeros_like(area)
    num = 0
    for num, mask in enumerate(prediction, start=1):
        if mask.shape != truth.codes.shape or num > len(area):
            raise ValueError(f"mask {num - 1} of shape {mask.shape} does not fit {len(area)} classes of shape {truth.codes.shape}")
        under = np.bincount(truth.codes[mask], minlength=sets)
        member = truth.table[:, num - 1]
        hit[num - 1] = under[member].sum()
        extra[num - 1] = under[~member & ~truth.ignore].sum()
    if num != len(area):
        raise ValueError(f"{num} masks for {len(area)} classes")
    return Counts(hit=hit, extra=extra, missed=area - hit)


def count_codes(prediction: CodeMap, truth: CodeMap) -> Counts:
    """Count the pixels of a predicted code map: one pass whatever the number of classes.

    The ignore mask is the truth's. Raises ValueError if shapes or classes differ.
    """
    if prediction.codes.shape != truth.codes.shape or prediction.num_classes != truth.num_classes:
        raise ValueError(
            f"a prediction of shape {prediction.codes.shape} and {prediction.num_classes} classes does not fit "
            f"a truth of shape {truth.codes.shape} and {truth.num_classes} classes"
        )
    sets, predicted_sets = len(truth.table), len(prediction.table)
    pairs = prediction.codes.astype(np.int64) * sets + truth.codes
    joint = np.bincount(pairs.ravel(), minlength=predicted_sets * sets).reshape(predicted_sets, sets)
    joint[:, truth.ignore] = 0
    there, said = truth.table.astype(np.int64), prediction.table.astype(np.int64)
    hit = ((said.T @ joint) * there.T).sum(axis=1)
    return Counts(hit=hit, extra=joint.sum(axis=1) @ said - hit, missed=joint.sum(axis=0) @ there - hit)


def dice(counts: Counts) -> Score:
    """2 |A and B| / (|A| + |B|), float64 in [0, 1] or NaN, shape (K,)."""
    return _ratio(2 * counts.hit, 2 * counts.hit + counts.extra + counts.missed)


def iou(counts: Counts) -> Score:
    """|A and B| / |A or B|, float64 in [0, 1] or NaN, shape (K,)."""
    return _ratio(counts.hit, counts.hit + counts.extra + counts.missed)


def precision(counts: Counts) -> Score:
    """Share of the predicted pixels that are right, float64 in [0, 1] or NaN, shape (K,)."""
    return _ratio(counts.hit, counts.hit + counts.extra)


def recall(counts: Counts) -> Score:
    """Share of the true pixels that were found, float64 in [0, 1] or NaN, shape (K,)."""
    return _ratio(counts.hit, counts.hit + counts.missed)


#: Found by name; the keys of summary.json.
OVERLAP_METRICS: dict[str, Callable[[Counts], Score]] = {"dice": dice, "iou": iou, "precision": precision, "recall": recall}


def _ratio(part: Counted, whole: Counted) -> Score:
    result = np.full(len(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
