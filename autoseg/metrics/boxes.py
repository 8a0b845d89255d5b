"""Where masks lie: the boxes to which everything is cut before it is measured."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from autoseg.labels import CodeMap, Mask

#: A half-open range along every axis, (z,) y, x.
Box = tuple[slice, ...]


def mask_box(mask: Mask) -> Box | None:
    """The smallest box that holds a mask; None if it is empty.

    Examples
    --------
    >>> mask_box(np.array([[False, False, False], [False, True, True]]))
    (slice(1, 2, None), slice(1, 3, None))
    """
    box = []
    for axis in range(mask.ndim):
        others = tuple(k for k in range(mask.ndim) if k != axis)
        there = np.flatnonzero(mask.any(axis=others))
        if not len(there):
            return None
        box.append(slice(int(there[0]), int(there[-1]) + 1))
        # What is left is looked at along the other axes: small objects cost next to nothing there.
        mask = mask[(*(slice(None),) * axis, box[-1])]
    return tuple(box)


def class_boxes(labels: CodeMap) -> list[Box | None]:
    """`mask_box` of every class, from one pass over the codes."""
    of_code: list[Box | None] = [None, *ndimage.find_objects(labels.codes)]
    of_code += [None] * (len(labels.table) - len(of_code))
    boxes: list[Box | None] = [None] * labels.num_classes
    for code, members in enumerate(labels.table):
        for k in np.flatnonzero(members):
            boxes[k] = join_boxes(boxes[k], of_code[code])
    return boxes


def join_boxes(a: Box | None, b: Box | None) -> Box | None:
    """The smallest box around both; None around nothing."""
    if a is None or b is None:
        return a if b is None else b
    return tuple(slice(min(i.start, j.start), max(i.stop, j.stop)) for i, j in zip(a, b, strict=True))


def grown(box: Box, shape: tuple[int, ...]) -> Box:
    """A box with a rim of one pixel, within an image of `shape`."""
    return tuple(slice(max(0, ends.start - 1), min(size, ends.stop + 1)) for ends, size in zip(box, shape, strict=True))
