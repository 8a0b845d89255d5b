"""Where an array lies in space. Array axes are ordered (z,) y, x everywhere in autoseg."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["mm", "pixel"]

#: Spacings within this share of the target are left alone: a voxel in a hundred.
SAME_SPACING = 0.01


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The grid of an image.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (z,) y, x: two axes for a 2D image, three for a volume. There is no third axis of length 1 for 2D.
    spacing : tuple of float
        Distance between voxel centres along the same axes, in `unit`.
    origin : tuple of float
        Physical position of the first voxel. Physical coordinates are ITK's, x, y(, z): they are no array axes. Of a volume that was turned
        when it was read (`io.orientation`) they are the turned grid's; an output takes the input file's own, to the last bit.
    direction : tuple of float
        Direction cosines, row-major, ITK's order.
    unit : {"mm", "pixel"}
        "pixel" when the file holds no spacing (png, jpg): distances are then in pixels.

    Raises
    ------
    ValueError
        If lengths disagree, or a size or spacing is not positive and finite.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    unit: Unit = "mm"

    def __post_init__(self) -> None:
        n = len(self.shape)
        if n not in (2, 3):
            raise ValueError(f"shape must have 2 or 3 axes, got {self.shape}")
        if len(self.spacing) != n or len(self.origin) != n or len(self.direction) != n * n:
            raise ValueError(f"spacing, origin and direction must fit {n} axes, got {self.spacing}, {self.origin}, {self.direction}")
        if any(size < 1 for size in self.shape):
            raise ValueError(f"shape must be positive, got {self.shape}")
        if any(not math.isfinite(s) or s <= 0 for s in self.spacing):
            raise ValueError(f"spacing must be positive and finite, got {self.spacing}")

    @property
    def num_axes(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.shape)

    @classmethod
    def pixels(cls, shape: tuple[int, ...]) -> Geometry:
        """The grid of an image without physical size: unit spacing, no rotation."""
        n = len(shape)
        identity = tuple(float(i == j) for i in range(n) for j in range(n))
        return cls(shape=shape, spacing=(1.0,) * n, origin=(0.0,) * n, direction=identity, unit="pixel")


def overlays(a: Geometry, b: Geometry, *, tolerance: float = 1e-3) -> bool:
    """True if two grids cover the same voxels: equal shape, and spacing, origin and direction within `tolerance` of a voxel.

    Files that passed through different tools differ in the last digits of a float32 header; a thousandth of a voxel shifts nothing.
    """
    if a.shape != b.shape:
        return False
    if a.unit != b.unit:
        # One file of a pair without a header (a png mask beside a DICOM image) cannot contradict the other.
        return True
    step = min(a.spacing)
    close_spacing = all(abs(s - t) <= tolerance * s for s, t in zip(a.spacing, b.spacing, strict=True))
    close_origin = all(abs(s - t) <= tolerance * step for s, t in zip(a.origin, b.origin, strict=True))
    close_direction = all(abs(s - t) <= tolerance for s, t in zip(a.direction, b.direction, strict=True))
    return close_spacing and close_origin and close_direction


def mirror_indices(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """Indices that continue an axis beyond its ends by mirroring, as often as needed, the edge pixel counted once.

    Parameters
    ----------
    start, stop : int
        Half-open range; may begin below 0 and end beyond `length`.
    length : int
        Size of the axis, at least 1.

    Returns
    -------
    array of int64, shape (stop - start,)
        All within [0, length).

    Notes
    -----
    The border of the U-Net paper (arXiv 1505.04597). The one rule for borders: training patches, prediction tiles and images that
    are smaller than a patch all read through it.

    Examples
    --------
    >>> mirror_indices(-2, 6, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    >>> mirror_indices(-1, 3, 1).tolist()
    [0, 0, 0, 0]
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    if length == 1:
        return np.zeros(stop - start, np.int64)
    period = 2 * (length - 1)
    folded = np.arange(start, stop) % period
    return np.where(folded < length, folded, period - folded)
