"""Connected components that go missing from the previous stage's channels, as they do where that stage errs.

nnU-Net's removal of random components in a cascade. It is done on the crop as it was read, in the threads that read ahead: components are
work for a processor, and a device would have to wait for their number. Cost: benchmarks/README.md, "The cascade".

Shapes: K channels, B the axes of the source box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.augment.draws import Removal

#: A channel's components are those of the pixels that it says more likely than not, in bytes of 255 p; diagonal neighbours are connected.
LIKELY = 128
#: A component that covers this share of the patch or more stays (nnU-Net).
LARGEST = 0.15
#: What goes with a component: the unlikely pixels within so many of it, which would else outline what is gone. A low resolution's border is
#: a ramp of two or three of its pixels.
SKIRT = 8

Bytes = NDArray[np.uint8]
Box = tuple[slice, ...]


def remove_components_(stored: Bytes, removals: Sequence[Removal], *, patch_size: int) -> None:
    """Take components out of channels, in place.

    Parameters
    ----------
    stored : array of uint8, (K, B)
        255 times the probabilities.
    removals : sequence of Removal
        One after the other. A channel without a component that may be taken stays as it is.
    patch_size : int
        Pixels of the patch.
    """
    for removal in removals:
        channel = stored[removal.channel]
        near = _box_around(channel >= LIKELY)
        if near is not None:
            refilled = None if removal.refill is None else stored[removal.refill][near]
            _remove(channel[near], removal.pick, LARGEST * patch_size, refilled)


def _remove(channel: Bytes, pick: float, limit: float, refilled: Bytes | None) -> None:
    """Take one component with fewer than `limit` pixels out of a channel that has `SKIRT` pixels around them, or ends there."""
    likely = channel >= LIKELY
    labels, _ = ndimage.label(likely, np.ones((3,) * channel.ndim))
    sizes = np.bincount(labels[likely])
    small = np.flatnonzero((sizes > 0) & (sizes < limit))
    if not len(small):
        return
    chosen = labels == small[int(pick * len(small))]
    near = _box_around(chosen)
    assert near is not None, "a component has pixels"
    chosen, values = chosen[near], channel[near]
    around = ndimage.maximum_filter(chosen.astype(np.uint8), 2 * SKIRT + 1, mode="constant") > 0
    gone = chosen | (around & (values < LIKELY))
    if refilled is not None:
        place = refilled[near]
        place[gone] = np.maximum(place[gone], values[gone])
    values[gone] = 0


def _box_around(mask: NDArray[np.bool_]) -> Box | None:
    """The box of a mask and `SKIRT` pixels on each side, cut at the array's border; None if the mask is empty."""
    box = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not len(found):
            return None
        box.append(slice(max(0, int(found[0]) - SKIRT), int(found[-1]) + SKIRT + 1))
    return tuple(box)
