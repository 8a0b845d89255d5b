"""Detection of objects: connected components of two masks, matched one to one.

Stated rules. Components touch along axes or diagonals. A predicted and a true component match if their IoU reaches the threshold; each
takes part in one match at most, and as many are matched as possible (at thresholds above 0.5 there is no choice). F1 is
2 TP / (predicted + true objects): NaN where there are no objects at all, 0 where only one of the two has any.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from autoseg.labels import Mask


def object_f1(prediction: Mask, truth: Mask, *, iou: float) -> float:
    """F1 of detected objects, in [0, 1] or NaN.

    Parameters
    ----------
    prediction, truth : arrays of bool, shape (z,) y, x
    iou : float
        In (0, 1]: what a pair must reach to match.

    Examples
    --------
    One of two true objects is found, and nothing else: 2 / (1 + 2).

    >>> round(object_f1(np.array([True, False, False]), np.array([True, False, True]), iou=0.5), 3)
    0.667
    """
    said, num_said = _components(prediction)
    there, num_there = _components(truth)
    if not num_said or not num_there:
        return math.nan if num_said == num_there else 0.0
    joint = _intersections(said, there, prediction & truth, (num_said, num_there))
    # Of the objects' pixels alone: in a box with strays they are few.
    size_said, size_there = np.bincount(said[prediction])[1:], np.bincount(there[truth])[1:]
    union = size_said[joint.row] + size_there[joint.col] - joint.data
    fits = joint.data >= iou * union
    pairs = sparse.csr_array((np.ones(int(fits.sum())), (joint.row[fits], joint.col[fits])), shape=joint.shape)
    matches = int((maximum_bipartite_matching(pairs, perm_type="column") >= 0).sum())
    return 2 * matches / (num_said + num_there)


def _components(mask: Mask) -> tuple[NDArray[np.int32], int]:
    labels = np.zeros(mask.shape, np.int32)
    num: Any = ndimage.label(mask, structure=np.ones((3,) * mask.ndim), output=labels)
    return labels, int(num)


def _intersections(said: NDArray[np.int32], there: NDArray[np.int32], both: Mask, shape: tuple[int, int]) -> Any:
    """Common pixels of each pair of components that has any, a sparse array in coordinate form."""
    pairs = (said[both].astype(np.int64) - 1) * shape[1] + (there[both] - 1)
    found, sizes = np.unique(pairs, return_counts=True)
    return sparse.coo_array((sizes, (found // shape[1], found % shape[1])), shape=shape)
