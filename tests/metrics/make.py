"""Masks whose scores are known."""

import numpy as np

from autoseg.labels import Mask


def box(shape: tuple[int, ...], *ends: tuple[int, int]) -> Mask:
    """True from start to stop along each axis."""
    mask = np.zeros(shape, np.bool_)
    mask[tuple(slice(*pair) for pair in ends)] = True
    return mask
