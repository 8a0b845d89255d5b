"""Monotone regression: the non-decreasing curve nearest to scattered values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def fit_isotonic(x: Values, y: Values) -> tuple[Values, Values]:
    """The non-decreasing function of least squares through points, as the knots of a piecewise linear curve.

    Pool adjacent violators (Barlow, Bartholomew, Bremner, Brunk 1972): neighbours that fall are replaced by their mean until none falls.
    Each block of equal values becomes one knot, at the mean of its x, which makes a curve without steps.

    Parameters
    ----------
    x, y : arrays of float64, (N,), N >= 1

    Returns
    -------
    knots, values : arrays of float64, (M,)
        Ascending; `np.interp(x, knots, values)` evaluates the curve, constant beyond its ends.

    Raises
    ------
    ValueError
        If there are no points, or x and y differ in length.

    Examples
    --------
    >>> knots, values = fit_isotonic(np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 1.0]))
    >>> knots.tolist(), values.tolist()
    ([0.0, 1.5], [0.0, 2.0])
    """
    if x.shape != y.shape or x.ndim != 1 or not x.size:
        raise ValueError(f"x and y must be lists of the same length, at least 1, got shapes {x.shape} and {y.shape}")
    places, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=y) / counts
    # Blocks as (sum of weights, sum of y, sum of x), the last of which may still be merged.
    blocks: list[tuple[float, float, float]] = []
    for place, mean, count in zip(places, means, counts, strict=True):
        weight, total, where = float(count), float(count * mean), float(count * place)
        while blocks and blocks[-1][1] / blocks[-1][0] >= total / weight:
            earlier = blocks.pop()
            weight, total, where = weight + earlier[0], total + earlier[1], where + earlier[2]
        blocks.append((weight, total, where))
    table = np.array(blocks)
    return table[:, 2] / table[:, 0], table[:, 1] / table[:, 0]
