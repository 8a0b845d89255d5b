"""U-Net's weights for the pixels between objects that nearly touch (Ronneberger et al. 2015, arXiv 1505.04597, equation 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoseg.losses.components import label_components
from autoseg.losses.heads import Heads
from autoseg.losses.targets import Targets

#: Largest weight added, and how fast it falls, in pixels: the paper's.
BORDER_WEIGHT, BORDER_SIGMA = 10.0, 5.0
#: Objects farther away than this many pixels are not looked for; beyond it the added weight is below 0.12.
REACH = 15


@torch.no_grad()
def border_weights(targets: Targets, heads: Heads) -> Tensor:
    """1 + 10 exp(-(d1 + d2)^2 / (2 * 5^2)) for each pixel; d1 and d2 are its distances to the nearest object and to the nearest other one.

    Parameters
    ----------
    targets : Targets
        At full resolution.
    heads : Heads

    Returns
    -------
    fp32 Tensor, (N, 1, ...) if classes are exclusive, else (N, K, ...)
        In [1, 11].

    Notes
    -----
    An object is a connected component (faces touch) of one class. Where classes exclude each other, all objects of all classes are looked
    at together, and the gap between two bones counts as that between two cells; where they overlap, every class has a map of its own,
    from its own objects. Distances are Euclidean, between pixels, exact up to `REACH`, 0 inside an object: on both sides of a border
    without a gap the weight is high too. The paper's w_c, which balances classes, is `Heads.weights`. A class of one object a case has
    no other object, and its weights are 1.
    """
    if heads.exclusive:
        return _weights(targets.channels.argmax(1)).unsqueeze(1)
    weights = torch.empty_like(targets.channels)
    for k in range(weights.shape[1]):
        weights[:, k] = _weights((targets.channels[:, k] > 0.5).int())
    return weights


def _weights(numbers: Tensor) -> Tensor:
    first, second = two_nearest(label_components(numbers), REACH)
    total = first.sqrt() + second.sqrt()
    return 1 + BORDER_WEIGHT * torch.exp(-total.square() / (2 * BORDER_SIGMA**2))


def two_nearest(labels: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Squared distances of each pixel to the nearest object and to the nearest one with another label.

    Parameters
    ----------
    labels : int64 Tensor, (N, ...)
        0: no object; else 1 to the number of pixels of a sample.
    reach : int
        In pixels.

    Returns
    -------
    first, second : fp32 Tensor, (N, ...)
        Infinite where there is none within reach.

    Notes
    -----
    Axis by axis, as the exact distance transform is (Felzenszwalb and Huttenlocher 2012), with two candidates instead of one: an
    object that is not among the nearest two of a line is not among the nearest two of any pixel that looks at the line. Distance and
    label share an integer, so that a minimum compares distances and carries the label along.
    """
    bits = max(1, math.ceil(math.log2(math.prod(labels.shape[1:]))))
    beyond = (reach**2 + 1) << bits
    # The largest sum that can appear; 32 bits hold 2048 x 2048 pixels, at half the memory.
    dtype = torch.int32 if beyond + (reach**2 << bits) < 2**31 else torch.int64
    first = torch.where(labels > 0, labels - 1, beyond).to(dtype)
    second = torch.full_like(first, beyond)
    for axis in range(1, labels.ndim):
        first, second = _spread(first, second, axis, reach, bits)
    return _squared(first, beyond, bits), _squared(second, beyond, bits)


def _squared(keys: Tensor, beyond: int, bits: int) -> Tensor:
    return torch.where(keys < beyond, (keys >> bits).float(), math.inf)


def _spread(first: Tensor, second: Tensor, axis: int, reach: int, bits: int) -> tuple[Tensor, Tensor]:
    """The two nearest along one more axis."""
    near, next_ = first.clone(), second.clone()
    for offset in range(1, min(reach, first.shape[axis] - 1) + 1):
        length = first.shape[axis] - offset
        for here, there in ((0, offset), (offset, 0)):
            target = near.narrow(axis, here, length), next_.narrow(axis, here, length)
            for source in (first, second):
                _insert(*target, source.narrow(axis, there, length) + (offset**2 << bits), (1 << bits) - 1)
    return near, next_


def _insert(first: Tensor, second: Tensor, candidate: Tensor, label: int) -> None:
    """Put a candidate among the two smallest of different labels, in place; `label` masks the label's bits."""
    differs = (first & label) != (candidate & label)
    loser = torch.maximum(first, candidate)
    torch.minimum(first, candidate, out=first)
    second.copy_(torch.where(differs, torch.minimum(second, loser), second))
