"""LabelMe's JSON: an image's shapes with labels."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import DataError, FileFormatError
from autoseg.io.decoded import Decoded, unreadable
from autoseg.io.json_files import read_plain_json
from autoseg.io.pictures import read_picture_bytes
from autoseg.io.regions import Region, fill_outline
from autoseg.labels import Mask

Points = NDArray[np.float64]
Shape = Mapping[str, Any]

#: Corners of the polygon that stands for a circle: it is off by 0.03 % of the radius.
CIRCLE_CORNERS = 128


def is_labelme(content: object) -> bool:
    """True for the content of a LabelMe file: a list of shapes and the path of an image."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and isinstance(content.get("imagePath"), str)


def read_labelme(path: Path) -> tuple[str, list[Region]]:
    """The image's path as the file says it, and the regions, in the file's order.

    Raises
    ------
    DataError
        Naming the file and each shape that is no area: points and lines have no pixels.
    """
    try:
        content = read_plain_json(path)
    except FileFormatError as error:
        raise DataError([str(error)]) from None
    if not is_labelme(content):
        raise DataError([f'{path}: is no LabelMe file: it needs "shapes" and "imagePath"'])
    regions, problems = [], []
    for k, shape in enumerate(content["shapes"]):
        try:
            regions.append(_region(shape, k))
        except ValueError as error:
            problems.append(f"{path}: shape {k}: {error}")
    if problems:
        raise DataError(problems)
    return content["imagePath"], regions


def holds_picture(path: Path) -> bool:
    """True for a LabelMe file with its image inside (imageData)."""
    try:
        content = read_plain_json(path)
    except FileFormatError:
        return False
    return isinstance(content, dict) and is_labelme(content) and bool(content.get("imageData"))


def read_embedded(path: Path) -> Decoded:
    """The image inside a LabelMe file: the bytes of a picture in base64.

    Raises
    ------
    DataError
        Naming the file: no LabelMe file, without an image, or a damaged one.
    """
    try:
        content = read_plain_json(path)
    except FileFormatError as error:
        raise DataError([str(error)]) from None
    data = content.get("imageData") if isinstance(content, dict) and is_labelme(content) else None
    if not isinstance(data, str):
        raise unreadable(path, "is no image: it is JSON without LabelMe's imageData")
    try:
        picture = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise unreadable(path, f"its imageData is damaged ({error})", "save the file again, or put the image beside it") from None
    return read_picture_bytes(picture, path)


def _region(shape: Any, place: int) -> Region:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
        raise ValueError("needs a label")
    kind = shape.get("shape_type") or "polygon"
    if not isinstance(kind, str) or kind not in DRAWERS:
        raise ValueError(f"{shape['label']!r} is a {kind}, which has no area; known are {', '.join(DRAWERS)}")
    try:
        points = np.array(shape.get("points"), np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"{shape['label']!r}: points must be a list of [x, y]")
    return Region(label=shape["label"], where=f"shape {place}", draw=partial(_draw, DRAWERS[kind], shape, points))


def _draw(drawer: Callable[[Mask, Points, Shape], None], shape: Shape, points: Points, mask: Mask) -> None:
    drawer(mask, points, shape)


def _polygon(mask: Mask, points: Points, shape: Shape) -> None:
    fill_outline(mask, points)


def _rectangle(mask: Mask, points: Points, shape: Shape) -> None:
    """Two opposite corners, or all four."""
    if len(points) not in (2, 4):
        raise ValueError(f"a rectangle has 2 or 4 points, got {len(points)}")
    (x0, y0), (x1, y1) = points[0], points[-1 if len(points) == 2 else 2]
    fill_outline(mask, np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) if len(points) == 2 else points)


def _circle(mask: Mask, points: Points, shape: Shape) -> None:
    """The centre and a point of the edge."""
    if len(points) != 2:
        raise ValueError(f"a circle has 2 points, got {len(points)}")
    angles = np.arange(CIRCLE_CORNERS) * (2 * math.pi / CIRCLE_CORNERS)
    radius = float(np.linalg.norm(points[1] - points[0]))
    fill_outline(mask, points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _mask(mask: Mask, points: Points, shape: Shape) -> None:
    """A picture in base64, its first pixel at the first point."""
    from PIL import Image

    if not len(points):
        raise ValueError("a mask needs the point of its first pixel")
    left, top = (math.floor(value) for value in points[0])
    height, width = mask.shape
    try:
        # The whole of pillow's formats is not opened to strangers' bytes, and the size is asked before a pixel is decoded.
        with Image.open(io.BytesIO(base64.b64decode(shape.get("mask") or "", validate=True)), formats=["PNG"]) as picture:
            across, down = picture.size
            if left < 0 or top < 0 or top + down > height or left + across > width:
                raise ValueError(f"its mask of {across}x{down} at x {left}, y {top} does not fit the image of {width}x{height} pixels")
            inside = np.array(picture) != 0
    except (OSError, SyntaxError, TypeError, binascii.Error, Image.DecompressionBombError) as error:
        raise ValueError(f"its mask cannot be read ({error})") from None
    if inside.ndim != 2:
        raise ValueError("its mask is a picture in colour; masks have one channel")
    mask[top : top + down, left : left + across] |= inside


#: shape_type -> what draws it.
DRAWERS: dict[str, Callable[[Mask, Points, Shape], None]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _mask,
}
