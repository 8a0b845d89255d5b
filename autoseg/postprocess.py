"""Masks after the decision: small holes and stray components, class by class, whatever the number of axes.

The order is fixed: holes are filled first, then components are dropped. Components touch along axes or diagonals; a hole is background that
does not reach the image's border along axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.labels import Mask
from autoseg.metrics.boxes import mask_box


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is done to the mask of a class.

    Parameters
    ----------
    fill_holes : bool
    largest : bool
        Keep the largest component alone; the first one of equals.
    min_size : float
        Drop smaller components: mm2 or mm3, or pixels where images have no physical size. 0 drops none.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    fill_holes: bool = False
    largest: bool = False
    min_size: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_size < math.inf:
            raise ValueError(f"min_size must be finite and at least 0, got {self.min_size}")

    def __bool__(self) -> bool:
        """True if anything is done."""
        return self.fill_holes or self.largest or self.min_size > 0


def clean_mask(mask: Mask, cleaning: Cleaning, pixel_size: float = 1.0, *, free: Mask | None = None) -> Mask:
    """A mask as a cleaning leaves it.

    Parameters
    ----------
    mask : array of bool, (z,) y, x
    cleaning : Cleaning
    pixel_size : float
        Area or volume of a pixel, in the unit of `min_size`.
    free : array of bool, optional
        Where holes may be filled; everywhere if not given.

    Examples
    --------
    >>> mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 0, 0]], bool)
    >>> clean_mask(mask, Cleaning(fill_holes=True, largest=True)).astype(int).tolist()
    [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    """
    box = mask_box(mask) if cleaning else None
    if box is None:
        return mask
    result = mask.copy()
    inside = result[box]
    if cleaning.fill_holes:
        # A hole lies within the box of its mask.
        holes = find_holes(inside)
        inside |= holes if free is None else holes & free[box]
    if cleaning.largest or cleaning.min_size > 0:
        components, sizes = find_components(inside)
        keep = np.zeros(len(sizes) + 1, np.bool_)
        keep[1:] = sizes * pixel_size >= cleaning.min_size
        if cleaning.largest:
            keep[1:] &= np.arange(len(sizes)) == sizes.argmax()
        inside &= keep[components]
    return result


def clean_map(indices: NDArray[Any], cleanings: Sequence[Cleaning], pixel_size: float = 1.0) -> NDArray[Any]:
    """A map of exclusive classes, cleaned.

    What a class loses becomes background; holes are filled with it where they hold background alone, the earlier class first.

    Parameters
    ----------
    indices : array of integers, (z,) y, x
        0 for the background, k + 1 for class k.
    cleanings : sequence of Cleaning
        One per class.
    """
    result = indices.copy()
    free = indices == 0
    for k, cleaning in enumerate(cleanings, start=1):
        if cleaning:
            before = indices == k
            after = clean_mask(before, cleaning, pixel_size, free=free)
            result[before & ~after] = 0
            result[after] = k
            free &= ~after
    return result


def find_components(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Components numbered from 1, 0 outside; the pixels of each."""
    components = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure=np.ones((3,) * mask.ndim), output=components)
    return components, np.bincount(components.ravel())[1:]


def find_holes(mask: Mask) -> Mask:
    """The background that the mask encloses."""
    return np.asarray(ndimage.binary_fill_holes(mask)) & ~mask
