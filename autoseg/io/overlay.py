"""A prediction as a picture to look at: the image in grey, classes as contours and transparent fill, a legend beside it.

A class's number stands in it and in the legend, so that no class is told by its colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from autoseg.io.palette import palette
from autoseg.labels import Mask

FILL = 0.3
#: Percentiles of the image that become black and white.
ENDS = (0.5, 99.5)

Bytes = NDArray[np.uint8]


def draw_overlay(image: NDArray[Any], masks: Iterable[tuple[str, Mask]], classes: Sequence[str]) -> Bytes:
    """Paint masks over an image.

    Parameters
    ----------
    image : array of real numbers, (C, y, x)
        Three channels of bytes are colours; of others the first one is shown.
    masks : iterable of (class, array of bool (y, x))
        Of all classes in order; consumed one at a time.
    classes : sequence of str

    Returns
    -------
    array of uint8, (y, x + legend, 3)
    """
    canvas = _as_colours(image)
    height, width = canvas.shape[:2]
    thickness = max(1, round(max(height, width) / 700))
    places = []
    for k, (colour, (_, mask)) in enumerate(zip(palette(len(classes)), masks, strict=True)):
        box = next(iter(ndimage.find_objects(mask.astype(np.uint8))), None)
        if box is None:
            continue
        # The contour lies within the mask, and the image's border is part of it.
        inside = mask[box]
        contour = inside & ~ndimage.binary_erosion(inside, iterations=thickness)
        part = canvas[box]
        part[inside] = np.rint((1 - FILL) * part[inside] + FILL * np.array(colour)).astype(np.uint8)
        part[contour] = colour
        y, x = (int(c + s.start) for c, s in zip(_middle(inside), box, strict=True))
        places.append((k, (x, y)))
    with Image.fromarray(canvas) as picture:
        return _with_legend(picture, places, classes)


def _as_colours(image: NDArray[Any]) -> Bytes:
    if len(image) == 3 and image.dtype == np.uint8:
        return np.array(np.moveaxis(image, 0, -1), order="C")
    grey = image[0].astype(np.float32)
    low, high = np.percentile(grey, ENDS)
    if high <= low:
        low, high = float(grey.min()), float(grey.max())
    scaled = np.rint(np.clip((grey - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=-1)


def _middle(inside: Mask) -> tuple[int, int]:
    """The pixel of a mask that is nearest to its centre: a centre itself may lie outside."""
    y, x = np.nonzero(inside)
    nearest = int(np.hypot(y - y.mean(), x - x.mean()).argmin())
    return int(y[nearest]), int(x[nearest])


def _with_legend(picture: Image.Image, places: Sequence[tuple[int, tuple[int, int]]], classes: Sequence[str]) -> Bytes:
    colours = palette(len(classes))
    size = max(10, round(picture.height / max(len(classes) + 1, 40)))
    font = ImageFont.load_default(size)
    line = round(size * 1.3)
    names = [f"{k} {name}" for k, name in enumerate(classes, 1)]
    width = 3 * size + int(max(font.getlength(name) for name in names))
    with Image.new("RGB", (picture.width + width, max(picture.height, line * len(names) + size)), "black") as sheet:
        sheet.paste(picture, (0, 0))
        draw = ImageDraw.Draw(sheet)
        small = ImageFont.load_default(max(8, size * 0.7))
        for k, place in places:
            draw.text(place, str(k + 1), fill="white", font=small, anchor="mm", stroke_width=max(1, size // 10), stroke_fill="black")
        for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
            top = size // 2 + k * line
            left = picture.width + size // 2
            draw.rectangle((left, top, left + size, top + size), fill=colour)
            draw.text((left + round(1.5 * size), top + size // 2), name, fill="white", font=font, anchor="lm")
        return np.array(sheet)
