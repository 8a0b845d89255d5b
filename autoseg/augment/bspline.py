"""Uniform cubic B-splines: the weights that a patch's pixels give to control points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spline_matrix(size: int, intervals: int) -> NDArray[np.float64]:
    """Weights of the control points for each pixel of an axis.

    Parameters
    ----------
    size : int
        Pixels; pixel i lies at (i + 1/2) / size of the axis.
    intervals : int
        The axis is cut into this many; a pixel of interval k is moved by control points k to k + 3.

    Returns
    -------
    array (size, intervals + 3)
        Not negative, each row's sum is 1: a shift never exceeds the largest of the control points'.
    """
    place = (np.arange(size) + 0.5) / size * intervals
    interval = np.minimum(place.astype(np.int64), intervals - 1)
    t = place - interval
    weights = np.zeros((size, intervals + 3))
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for k, piece in enumerate(pieces):
        weights[np.arange(size), interval + k] = piece / 6
    return weights
