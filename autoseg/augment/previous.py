"""The previous stage's channels of a sample, in a cascade: warped like the image, then changed in shape.

A net that is given nearly finished masks copies them, errors included. So shapes shrink, grow and merge, and components go missing
(`components`), as they do where the stage before errs (the idea and the probabilities: nnU-Net's cascade; its binary operators act here on
probabilities).
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoseg.augment.draws import Operation, SampleDraw
from autoseg.augment.pinned import to_device
from autoseg.augment.warp import read_linear, sampling_grid, source_positions

#: Classes that are in fp32 at a time beside the result: 29 of them at 2048 x 2048 would be half a gigabyte.
CLASSES_AT_ONCE = 8


def previous_channels(
    stored: Tensor, draw: SampleDraw, patch: tuple[int, ...], centre: tuple[float, ...], *, swap: tuple[int, ...], out: Tensor
) -> None:
    """Write the channels that a net sees of the previous stage.

    Parameters
    ----------
    stored : uint8 Tensor, (K, B)
        255 times the probabilities, of the source box.
    draw : SampleDraw
    patch : tuple of int
        P.
    centre : tuple of float
        Of the patch, inside the box.
    swap : tuple of int
        The class whose place each class takes when an odd number of axes is flipped; empty: none change.
    out : fp32 Tensor, (K, P)
        Filled with values in [0, 1].
    """
    swapped = bool(swap) and len(draw.flips) % 2 == 1
    for first in range(0, len(stored), CLASSES_AT_ONCE):
        part = slice(first, first + CLASSES_AT_ONCE)
        chosen = stored.index_select(0, to_device(torch.tensor(swap[part]), stored.device)) if swapped else stored[part]
        if not draw.is_warped:
            # Bytes are flipped, and divided into their places: three to eight times as fast as by way of an fp32 copy.
            torch.div(chosen.flip([axis + 1 for axis in draw.flips]) if draw.flips else chosen, 255, out=out[part])
            continue
        scaled = chosen.to(torch.float32) / 255
        for rows, positions in source_positions(draw, patch, centre, stored.device):
            out[part, rows] = read_linear(scaled, sampling_grid(positions, stored.shape[1:]))
    for k, operation, radius in draw.previous_morphology:
        out[k] = reshape(out[k], operation, radius, coarse=draw.coarse_axis)


def reshape(x: Tensor, operation: Operation, radius: int, *, coarse: int | None = None) -> Tensor:
    """Grey-scale morphology of one channel (P) with a square of 2 `radius` + 1 pixels; what lies beyond the border has no say.

    Slices across a `coarse` axis are changed each by itself: eight of them may be all that there are.
    """
    if operation == "dilation":
        return _dilate(x, radius, coarse)
    if operation == "erosion":
        return -_dilate(-x, radius, coarse)
    if operation == "opening":
        return _dilate(-_dilate(-x, radius, coarse), radius, coarse)
    return -_dilate(-_dilate(x, radius, coarse), radius, coarse)


def _dilate(x: Tensor, radius: int, coarse: int | None) -> Tensor:
    # A square's maximum is the maximum over rows of that over columns, and a window's that of two overlapping halves. At 1024 x 1024 on
    # two cores: 1 ms for 17 x 17 pixels; max_pool2d takes 88 ms, row and column apart.
    width = 2 * radius + 1
    for axis in (axis for axis in range(x.ndim) if axis != coarse):
        beyond = x.new_full([radius if a == axis else n for a, n in enumerate(x.shape)], -torch.inf)
        x = torch.cat([beyond, x, beyond], axis)
        span = 1
        while span < width:
            shift = min(span, width - span)
            length = x.shape[axis] - shift
            x = torch.maximum(x.narrow(axis, 0, length), x.narrow(axis, shift, length))
            span += shift
    return x
