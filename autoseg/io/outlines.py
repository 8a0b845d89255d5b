"""Masks as outlines along the edges of their pixels, so that filling them gives the mask back exactly.

x 0 1 2 3
y 0 . . .    The corners of this component are (1, 1) (3, 1) (3, 2) (2, 2) (2, 3) (1, 3): round it with its pixels on the right hand.
  1 . # #    Holes go the other way. Pixels that touch only by a corner are two components.
  2 . # .
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.labels import Mask

Corners = NDArray[np.int64]

# Directions: right, down, left, up. The pixel on the right hand of an edge that starts at a corner x, y, and the way to the next corner.
_STEP = ((0, 1), (1, 0), (0, -1), (-1, 0))
_INSIDE = ((0, 0), (0, -1), (-1, -1), (-1, 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """One component of a mask.

    Parameters
    ----------
    outer : array of int, (N, 2)
        Its corners, x and y, counted from the image's corner: pixel i reaches from i to i + 1.
    holes : tuple of such arrays
    """

    outer: Corners
    holes: tuple[Corners, ...] = ()

    def as_one(self) -> Corners:
        """Outer line and holes as one polygon: bridges of no width lead to each hole and back, along edges of pixels.

        Even-odd filling, which crosses a bridge twice, gives the component.
        """
        points = [self.outer]
        start = self.outer[0]
        for hole in self.holes:
            bend = np.array([[hole[0][0], start[1]]])
            points += [start[None], bend, hole, hole[:1], bend]
        return np.concatenate(points)


def trace_outlines(mask: Mask) -> list[Outline]:
    """The components of a mask, bool, (y, x), from top to bottom; none of an empty one."""
    from scipy import ndimage

    if not mask.any():
        return []
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    inner = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    components, num = ndimage.label(inner)
    outer: dict[int, Corners] = {}
    holes: dict[int, list[Corners]] = {component: [] for component in range(1, num + 1)}
    for corners, pixel in _loops(inner):
        component = int(components[pixel])
        moved = corners + np.array([left - 1, top - 1])
        if _doubled_area(corners) > 0:
            outer[component] = moved
        else:
            holes[component].append(moved)
    return [Outline(outer=outer[component], holes=tuple(holes[component])) for component in range(1, num + 1)]


def _loops(inner: Mask) -> list[tuple[Corners, tuple[int, int]]]:
    """Closed lines of edges as their corners, each with a pixel on its right hand. `inner` has a border of False."""
    width = inner.shape[1] + 1
    left_out = (~np.roll(inner, 1, 0), ~np.roll(inner, -1, 1), ~np.roll(inner, -1, 0), ~np.roll(inner, 1, 1))
    edges: set[int] = set()
    for direction, beyond in enumerate(left_out):
        y, x = np.nonzero(inner & beyond)
        dy, dx = _INSIDE[direction]
        edges.update((((y - dy) * width + (x - dx)) * 4 + direction).tolist())
    found = []
    for first in sorted(edges):
        if first in edges:
            found.append((_follow(first, edges, width), _pixel(first, width)))
    return found


def _follow(first: int, edges: set[int], width: int) -> Corners:
    """Walk from an edge until it closes, turning right where that is possible; the edges that were walked are taken away."""
    corners = []
    vertex, direction = divmod(first, 4)
    before = -1
    while (edge := vertex * 4 + direction) in edges:
        edges.remove(edge)
        if direction != before:
            corners.append(vertex)
        before = direction
        dy, dx = _STEP[direction]
        vertex += dy * width + dx
        direction = next((turned for turn in (1, 0, 3) if vertex * 4 + (turned := (direction + turn) % 4) in edges), direction)
    if before == first % 4:  # it began within a straight run
        corners = corners[1:]
    y, x = np.divmod(np.array(corners), width)
    return np.stack([x, y], axis=1)


def _pixel(edge: int, width: int) -> tuple[int, int]:
    vertex, direction = divmod(edge, 4)
    dy, dx = _INSIDE[direction]
    return vertex // width + dy, vertex % width + dx


def _doubled_area(corners: Corners) -> int:
    following = np.roll(corners, -1, axis=0)
    return int((corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]).sum())
