"""Connected components on any device, with a fixed number of passes: nothing waits for the device, and a trace can follow."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def label_components(numbers: Tensor) -> Tensor:
    """Give the connected components of a map of class numbers distinct labels.

    Parameters
    ----------
    numbers : int Tensor, (N, ...)
        Class of each pixel, 0 none.

    Returns
    -------
    int64 Tensor, (N, ...)
        0 where `numbers` is; else 1 and the flat index of the component's first pixel in its sample. Pixels that share a face and have
        the same number belong together.

    Notes
    -----
    FastSV (Zhang, Azad and Buluc 2020, arXiv 1910.05971): pixels hook their parents onto the smallest grandparent among their neighbours,
    and trees are flattened. It ends after a number of passes that grows with the logarithm of the longest path; log2(pixels) are
    made, which leaves spirals and percolation clusters a margin (tests/losses/test_components.py).
    """
    pixels = math.prod(numbers.shape[1:])
    index = torch.arange(numbers.numel(), device=numbers.device).reshape(numbers.shape)
    parents = _run_starts(numbers, index)
    joined = [_joined_to_next(numbers, axis) for axis in range(1, numbers.ndim)]
    for _ in range(max(4, math.ceil(math.log2(max(2, pixels))))):
        grand = _follow(parents)
        lowest = _lowest_around(grand, joined)
        hooked = parents.flatten().scatter_reduce(0, parents.flatten(), lowest.flatten(), "amin").reshape(parents.shape)
        parents = torch.minimum(hooked, lowest)
    for _ in range(2):
        parents = _follow(parents)
    first = torch.arange(len(numbers), device=numbers.device).reshape(-1, *[1] * (numbers.ndim - 1)) * pixels
    return torch.where(numbers > 0, parents - first + 1, 0)


def _follow(parents: Tensor) -> Tensor:
    """The parents of the parents."""
    flat = parents.flatten()
    return flat.gather(0, flat).reshape(parents.shape)


def _run_starts(numbers: Tensor, index: Tensor) -> Tensor:
    """The index of the first pixel of each run of equal numbers along the last axis: where the search begins."""
    begins = torch.ones_like(numbers, dtype=torch.bool)
    begins[..., 1:] = numbers[..., 1:] != numbers[..., :-1]
    return torch.where(begins, index, -1).cummax(-1).values


def _joined_to_next(numbers: Tensor, axis: int) -> Tensor:
    """True where a pixel and the next one along an axis belong together; one pixel shorter."""
    length = numbers.shape[axis] - 1
    here = numbers.narrow(axis, 0, length)
    return (here == numbers.narrow(axis, 1, length)) & (here > 0)


def _lowest_around(values: Tensor, joined: list[Tensor]) -> Tensor:
    """The smallest value of each pixel and of those it is joined to."""
    lowest = values.clone()
    for axis, linked in enumerate(joined, start=1):
        length = linked.shape[axis]
        here, there = (lowest.narrow(axis, start, length) for start in (0, 1))
        for out, source in ((here, values.narrow(axis, 1, length)), (there, values.narrow(axis, 0, length))):
            out.copy_(torch.where(linked, torch.minimum(out, source), out))
    return lowest
