"""One orientation for all volumes: array axes that run as nearly as they can from feet to head, front to back and right to left.

That is ITK's own frame (LPS: x to the left, y to the back, z to the head) in array order z, y, x. A file whose header says so already stays
as it is; any other one is turned by exchanging and reversing axes, never by resampling, and what is written goes back the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autoseg.geometry import Geometry

T = TypeVar("T")

#: The frame that directions are compared with is turned by this about (1, 1, 1): a volume tilted by exactly 45 degrees is then no tie that
#: the last digit of a header decides, one way for the image and another for its labels.
TIE_DEGREES = 0.5


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """How the axes of a file's array lie to the canonical ones.

    Parameters
    ----------
    axes : tuple of int
        axes[i] is the file's array axis that lies at canonical axis i.
    reversed : tuple of bool
        Whether canonical axis i runs against the file's.
    """

    axes: tuple[int, ...]
    reversed: tuple[bool, ...]

    @property
    def is_canonical(self) -> bool:
        """True if nothing moves."""
        return self.axes == tuple(range(len(self.axes))) and not any(self.reversed)

    @property
    def inverse(self) -> Orientation:
        """The way back to the file."""
        back = tuple(int(axis) for axis in np.argsort(self.axes))
        return Orientation(axes=back, reversed=tuple(self.reversed[i] for i in back))

    def turn(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array of the file, (..., *spatial), in canonical order; contiguous."""
        lead = array.ndim - len(self.axes)
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.axes))
        return np.ascontiguousarray(np.flip(turned, tuple(lead + i for i, is_reversed in enumerate(self.reversed) if is_reversed)))

    def turn_grid(self, geometry: Geometry) -> Geometry:
        """The grid of the turned array: every voxel keeps its place in space, to rounding."""
        n = geometry.num_axes
        columns = np.reshape(geometry.direction, (n, n))[:, ::-1]  # per array axis
        origin, direction = np.array(geometry.origin), np.empty((n, n))
        for i, (axis, is_reversed) in enumerate(zip(self.axes, self.reversed, strict=True)):
            direction[:, i] = -columns[:, axis] if is_reversed else columns[:, axis]
            if is_reversed:
                origin = origin + columns[:, axis] * (geometry.spacing[axis] * (geometry.shape[axis] - 1))
        return replace(
            geometry,
            shape=self.order(geometry.shape),
            spacing=self.order(geometry.spacing),
            origin=tuple(origin.tolist()),
            direction=tuple((direction[:, ::-1].ravel() + 0.0).tolist()),  # no -0.0
        )

    def order(self, values: Sequence[T]) -> tuple[T, ...]:
        """One value per array axis of the file, in canonical order."""
        return tuple(values[axis] for axis in self.axes)


def orientation_of(geometry: Geometry) -> Orientation:
    """How a file's grid lies: of all ways to match its axes to the canonical ones, the one that turns them least.

    2D images are left as they are: their files say nothing of the body's axes, or are one slice of any direction.
    """
    n = geometry.num_axes
    if n == 2:
        return Orientation(axes=(0, 1), reversed=(False, False))
    # Rows: canonical axes z, y, x; columns: the file's array axes.
    cosines = (_frame() @ np.reshape(geometry.direction, (n, n)))[::-1, ::-1]
    axes = max(permutations(range(n)), key=lambda order: sum(abs(cosines[i, axis]) for i, axis in enumerate(order)))
    return Orientation(axes=axes, reversed=tuple(bool(cosines[i, axis] < 0) for i, axis in enumerate(axes)))


def _frame() -> NDArray[np.float64]:
    """Rotation by `TIE_DEGREES` about (1, 1, 1), (3, 3)."""
    c, s = np.cos(np.radians(TIE_DEGREES)), np.sin(np.radians(TIE_DEGREES)) / 3**0.5
    same, ahead, behind = (1 + 2 * c) / 3, (1 - c) / 3 - s, (1 - c) / 3 + s
    return np.array([[same, ahead, behind], [behind, same, ahead], [ahead, behind, same]])
