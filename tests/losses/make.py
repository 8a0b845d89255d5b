"""Targets, logits and heads for tests of losses."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.losses import Heads, Targets, expand_codes
from tests import small

Array = NDArray[np.float64]


def heads(*, exclusive: bool, scales: Sequence[float] | None = None, weights: Sequence[float] | None = None) -> Heads:
    """Two classes, all factors 1 unless given."""
    factors = torch.ones(1 if exclusive else 2) if scales is None else torch.tensor(scales)
    return Heads(exclusive=exclusive, scales=factors, weights=None if weights is None else torch.tensor(weights))


def logits_of(patch: tuple[int, ...], *, exclusive: bool, seed: int = 1) -> Tensor:
    """Two samples, normally distributed."""
    return torch.randn((2, 2 + exclusive, *patch), generator=torch.Generator().manual_seed(seed))


def targets_of(patch: tuple[int, ...], *, exclusive: bool, ignore: bool = False) -> Targets:
    """Two samples with pixels of random classes."""
    given = small.batch(2, patch, ignore=ignore, sets=3 if exclusive else 6)
    # Exclusive classes: one class a code.
    table = torch.eye(3, dtype=torch.bool)[:, 1:].expand(2, 3, 2).clone() if exclusive else given.table
    if ignore:
        table[:, -1] = False
    return expand_codes(given.codes, table, given.ignore, exclusive=exclusive)


def pixels(x: Tensor) -> Array:
    """(N, C, ...) -> (pixels of the batch, C)."""
    return x.detach().double().movedim(1, -1).flatten(0, -2).numpy()


def labelled(targets: Targets) -> Array:
    """The labelled share of each pixel, (pixels of the batch, 1)."""
    num = len(targets.channels) * math.prod(targets.channels.shape[2:])
    return np.ones((num, 1)) if targets.weight is None else pixels(targets.weight)
