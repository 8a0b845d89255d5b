"""Annotated regions of other tools' files: a class and a way to draw it, united class by class.

In COCO's and LabelMe's files a point's coordinates count from the image's corner: pixel i reaches from i to i + 1, its centre lies at
i + 0.5. (HandBone's count from the first pixel's centre, see `io.polygons`.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import DataError
from autoseg.io.polygons import fill_polygon
from autoseg.labels import CodeMap, Mask, encode_masks


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """One annotation.

    Parameters
    ----------
    label : str
        Its class.
    where : str
        Which one of its file, for messages: "annotation 7".
    draw : callable(mask)
        Sets its pixels in a mask, bool, (y, x); ValueError says what is wrong with it.
    """

    label: str
    where: str
    draw: Callable[[Mask], None]


def fill_outline(mask: Mask, points: NDArray[np.float64]) -> None:
    """Set the pixels whose centres a polygon encloses; (N, 2), x and y from the image's corner.

    Raises
    ------
    ValueError
        If it has fewer than 3 points or no area, is not finite, or lies outside the image.
    """
    if len(points) > 2 and np.isfinite(points).all() and np.linalg.matrix_rank(points - points[0]) < 2:
        raise ValueError("the polygon has no area: its points lie on a line")
    if len(points) and ((points.max(axis=0) <= 0).any() or (points.min(axis=0) >= mask.shape[::-1]).any()):
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        height, width = mask.shape
        raise ValueError(f"x {left:g} to {right:g}, y {top:g} to {bottom:g} lies outside the image of {width}x{height} pixels")
    fill_polygon(mask, points - 0.5)


def draw_regions(regions: Sequence[Region], classes: Sequence[str], ignore: str, shape: tuple[int, ...], source: str) -> CodeMap:
    """All regions of an image as one code map.

    Parameters
    ----------
    regions : sequence of Region
    classes : sequence of str
    ignore : str
        The label of unlabelled pixels.
    shape : tuple of int
        y, x.
    source : str
        The file, for messages.

    Raises
    ------
    DataError
        Naming each region that cannot be drawn, or whose class is not declared.
    """
    by_class: dict[str, list[Region]] = {}
    for region in regions:
        by_class.setdefault(region.label, []).append(region)
    problems = [
        f"{source}: {region.where}: the class {region.label!r} is not declared; declared are {', '.join(classes)}"
        for label in sorted(set(by_class) - {*classes, ignore})
        for region in by_class[label][:1]
    ]

    def united(label: str) -> Mask:
        mask = np.zeros(shape, np.bool_)
        for region in by_class.get(label, ()):
            try:
                region.draw(mask)
            except ValueError as error:
                problems.append(f"{source}: {region.where} ({label!r}): {error}")
        return mask

    ignored = united(ignore) if ignore in by_class and ignore not in classes else None
    codes = encode_masks((united(name) for name in classes), shape, ignored)
    if problems:
        raise DataError(problems)
    return codes
