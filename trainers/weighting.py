"""Weighted draws without a state: which case comes next, and which class is centred on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def weights_of(names: Sequence[str], given: Mapping[str, float]) -> NDArray[np.float64]:
    """The weight of each name; 1 where none is given."""
    return np.array([given.get(name, 1.0) for name in names])


def pass_order(weights: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
    """The order of one pass over n cases: n indices, each as often as its weight says.

    Parameters
    ----------
    weights : array (n,)
        Positive, relative to each other.
    rng : Generator
        Of this pass alone.

    Notes
    -----
    Systematic sampling: a case with the share s of all weights comes floor(n s) or ceil(n s) times, n s times on average. With equal
    weights each comes once, and the order is `rng.permutation(n)`.
    """
    order = rng.permutation(len(weights))
    if np.all(weights == weights[0]):
        return order
    ends = np.cumsum(weights) / weights.sum() * len(weights)
    chosen = np.searchsorted(ends, np.arange(len(weights)) + rng.random(), side="right")
    return chosen.clip(max=len(weights) - 1)[order]


def draw_class(rng: np.random.Generator, weights: NDArray[np.float64]) -> int:
    """An index, as often as its weight says; equal weights draw as `rng.integers` does."""
    if np.all(weights == weights[0]):
        return int(rng.integers(len(weights)))
    return int(rng.choice(len(weights), p=weights / weights.sum()))
