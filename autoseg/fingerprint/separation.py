"""How well features tell two classes apart in cases that were not learnt from: Fisher's linear discriminant, pair by pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A case is judged by at least so many unrelated cases of each of the two classes.
MIN_LEARNT = 4


def told_apart(
    features: NDArray[np.float64], partners: NDArray[np.bool_], *, floor: NDArray[np.float64], least: int
) -> NDArray[np.float64]:
    """Balanced accuracy of a linear discriminant between every two classes, each case judged by its unrelated cases alone.

    Parameters
    ----------
    features : array, shape (N, K, D)
        NaN where a case lacks the class.
    partners : array of bool, shape (N, N)
        Pairs of unrelated cases.
    floor : array, shape (D,)
        Deviations added to those found within classes: smaller differences tell nothing.
    least : int
        Pairs of which either class is judged in fewer cases are NaN.

    Returns
    -------
    array, shape (K, K)
        0.5: they cannot be told apart; 1: always. Symmetric, NaN on the diagonal.

    Notes
    -----
    The scatter within the two classes is shrunk towards its diagonal by D / (D + degrees of freedom): few cases know variances
    better than covariances.
    """
    there = ~np.isnan(features[..., 0])
    values = np.where(there[..., None], features, 0.0)
    learnt = partners.astype(np.float64)
    # Of the cases that each case is judged by: how many, their sum, and their sum of squares. (N, K), (N, K, D), (N, K, D, D)
    count = learnt @ there
    mean = np.einsum("ij,jkd->ikd", learnt, values) / np.maximum(count, 1)[..., None]
    scatter = np.einsum("ij,jkde->ikde", learnt, values[..., :, None] * values[..., None, :])
    scatter -= count[..., None, None] * mean[..., :, None] * mean[..., None, :]
    found = np.full((features.shape[1],) * 2, np.nan)
    for a in range(len(found) - 1):
        others = np.arange(a + 1, len(found))
        both = (count[:, [a]] >= MIN_LEARNT) & (count[:, others] >= MIN_LEARNT)
        degrees = np.maximum(count[:, [a]] + count[:, others] - 2, 1)
        within = (scatter[:, [a]] + scatter[:, others]) / degrees[..., None, None]
        direction = _discriminant(within, mean[:, others] - mean[:, [a]], degrees=degrees, floor=floor)
        middle = ((mean[:, [a]] + mean[:, others]) / 2 * direction).sum(-1)
        right_a = (values[:, [a]] * direction).sum(-1) < middle
        right_b = (values[:, others] * direction).sum(-1) > middle
        rates = [_rate(right, both & present, least) for right, present in ((right_a, there[:, [a]]), (right_b, there[:, others]))]
        found[a, others] = found[others, a] = (rates[0] + rates[1]) / 2
    return found


def _discriminant(
    within: NDArray[np.float64], difference: NDArray[np.float64], *, degrees: NDArray[np.float64], floor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Directions (N, M, D) that separate best; `within` is (N, M, D, D)."""
    dims = len(floor)
    kept = (degrees / (degrees + dims))[..., None, None]
    diagonal = within * np.eye(dims)
    regular = kept * within + (1 - kept) * diagonal + np.diag(floor**2)
    return np.asarray(np.linalg.solve(regular, difference[..., None])[..., 0])


def _rate(right: NDArray[np.bool_], judged: NDArray[np.bool_], least: int) -> NDArray[np.float64]:
    """Share of the judged cases that are right, (M,); NaN for fewer than `least`."""
    total = judged.sum(axis=0)
    return np.where(total >= least, (right & judged).sum(axis=0) / np.maximum(total, 1), np.nan)
