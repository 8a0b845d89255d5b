"""What a training case's labels and the prediction of a net that did not train on it have to do with each other.

Shapes: K classes. Rows of tables are predicted classes, columns are labelled ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.infer.certainty import Certainty, certainty_of_bytes, decided_masks
from autoseg.labels import CodeMap, Mask

Position = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """A case's labels beside its out-of-fold prediction.

    Parameters
    ----------
    case, fold : str
        The fold whose net predicted it.
    certainty : Certainty
        Of the prediction, over labelled pixels.
    overlap : array of int64, (K, K)
        overlap[k, j]: pixels predicted as k and labelled as j.
    labelled : array of int64, (K,)
        Pixels labelled.
    middle, labelled_middle : arrays of float64, (K, axes)
        Mean position of the predicted and of the labelled pixels, (z,) y, x; NaN where there are none.
    moved_dice : array of float64, (K,)
        Dice of the prediction and the labels moved from their middle to the prediction's; NaN where one of them is empty.
    """

    case: str
    fold: str
    certainty: Certainty
    overlap: NDArray[np.int64]
    labelled: NDArray[np.int64]
    middle: NDArray[np.float64]
    labelled_middle: NDArray[np.float64]
    moved_dice: NDArray[np.float64]

    @property
    def dice(self) -> NDArray[np.float64]:
        """(K, K): Dice of each predicted class with each labelled one; NaN where both are empty."""
        total = self.certainty.area[:, None] + self.labelled[None, :]
        return np.asarray(np.divide(2 * self.overlap, total, out=np.full(total.shape, np.nan), where=total > 0))


def weigh(case: str, stored: NDArray[np.uint8], truth: CodeMap, *, exclusive: bool, fold: str = "") -> Evidence:
    """Compare stored probabilities, (K, *spatial) bytes, with labels on the same grid.

    Raises
    ------
    ValueError
        If shapes or numbers of classes differ.
    """
    if stored.shape != (truth.num_classes, *truth.codes.shape):
        raise ValueError(f"probabilities of shape {stored.shape} do not fit {truth.num_classes} classes of shape {truth.codes.shape}")
    if truth.ignore.any():
        stored = np.where(truth.ignored(), np.uint8(0), stored)
    masks = decided_masks(stored, exclusive=exclusive)
    sets = len(truth.table)
    labelled = np.bincount(truth.codes.ravel(), minlength=sets) @ truth.table.astype(np.int64)
    overlap = np.stack([np.bincount(truth.codes[mask], minlength=sets) @ truth.table.astype(np.int64) for mask in masks])
    pairs = [(mask, truth.mask(k)) for k, mask in enumerate(masks)]
    middle, labelled_middle = (np.stack([_middle(pair[side]) for pair in pairs]) for side in (0, 1))
    offsets = np.rint(middle - labelled_middle)
    return Evidence(
        case=case,
        fold=fold,
        certainty=certainty_of_bytes(stored, exclusive=exclusive),
        overlap=overlap,
        labelled=labelled,
        middle=middle,
        labelled_middle=labelled_middle,
        moved_dice=np.array([_moved_dice(*pair, offset) for pair, offset in zip(pairs, offsets, strict=True)]),
    )


def _middle(mask: Mask) -> Position:
    """Mean position of a mask's pixels, (axes,); NaN if it is empty."""
    middle = np.full(mask.ndim, np.nan)
    for axis in range(mask.ndim):
        counts = mask.sum(axis=tuple(other for other in range(mask.ndim) if other != axis))
        if total := counts.sum():
            middle[axis] = (counts * np.arange(len(counts))).sum() / total
    return middle


def _moved_dice(predicted: Mask, labelled: Mask, offset: Position) -> float:
    """Dice once the labels are moved by whole pixels, (axes,); what leaves the image counts as missed. NaN without an offset."""
    if not np.isfinite(offset).all():
        return np.nan
    here, there = [], []
    for length, distance in zip(predicted.shape, offset.astype(int), strict=True):
        here.append(slice(max(distance, 0), length + min(distance, 0)))
        there.append(slice(max(-distance, 0), length + min(-distance, 0)))
    hit = np.count_nonzero(predicted[tuple(here)] & labelled[tuple(there)])
    return 2 * hit / (np.count_nonzero(predicted) + np.count_nonzero(labelled))
