"""Scores of many cases in a few numbers: mean, median, spread, and how sure the mean is.

Shapes: N cases, K classes, U units that are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

#: Of the bootstrap: how often it draws, from what seed, and what its interval covers.
DRAWS, SEED, COVERAGE = 2000, 0, 0.95


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """One score over cases; None where there are too few of them.

    Parameters
    ----------
    n : int
        Cases in which the score is defined; the others count nowhere.
    mean, median, std, q25, q75 : float or None
        std divides by n - 1; quartiles are interpolated linearly.
    low, high : float or None
        The 95 % interval of the mean: percentiles of 2,000 bootstrap draws with a fixed seed. What is drawn are groups (persons) with all
        their cases where groups are known, else cases. None for fewer than two of them.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    n: int
    mean: float | None = None
    median: float | None = None
    std: float | None = None
    q25: float | None = None
    q75: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """What the bootstrap drew.

    Parameters
    ----------
    units : array of int, (N,)
        The unit of each case, numbered from 0.
    weights : array of float, (draws, N)
        How often each case was drawn; cases of a unit are drawn together.
    """

    units: NDArray[np.int64]
    weights: Scores


def draw(units: Sequence[Hashable], draws: int = DRAWS, seed: int = SEED) -> Draws:
    """Draw as many units as there are, with replacement, `draws` times; `units` names that of each of at least one case."""
    numbers = {unit: k for k, unit in enumerate(dict.fromkeys(units))}
    of_case = np.array([numbers[unit] for unit in units])
    drawn = np.random.default_rng(seed).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=draws)
    return Draws(units=of_case, weights=drawn[:, of_case].astype(np.float64))


def describe_classes(values: Scores, draws: Draws) -> tuple[list[Statistics], Statistics]:
    """A score's statistics per class, and over all classes.

    Parameters
    ----------
    values : array, (N, K)
        NaN where undefined.
    draws : Draws

    Returns
    -------
    list of Statistics
        Per class.
    Statistics
        Mean and interval: of the mean over the classes' means, in which a class that is defined nowhere counts nowhere. Median, spread and
        n: of the cases' own means over the classes that they define.
    """
    drawn = _drawn_means(values, draws.weights)
    means = _mean(values, axis=0)
    classes = [_describe(values[:, k], means[k], drawn[:, k], draws.units) for k in range(values.shape[1])]
    return classes, _describe(_mean(values, axis=1), _mean(means, axis=0), _mean(drawn, axis=1), draws.units)


def _describe(cases: Scores, mean: Any, drawn: Scores, units: NDArray[np.int64]) -> Statistics:
    known = ~np.isnan(cases)
    defined = cases[known]
    if not len(defined):
        return Statistics(n=0)
    q25, median, q75 = np.percentile(defined, [25, 50, 75])
    low, high = interval(drawn) if len(np.unique(units[known])) > 1 else (None, None)
    std = float(defined.std(ddof=1)) if len(defined) > 1 else None
    quartiles = {"q25": float(q25), "median": float(median), "q75": float(q75)}
    return Statistics(n=len(defined), mean=float(mean), std=std, low=low, high=high, **quartiles)


def interval(drawn: Scores) -> tuple[float, float]:
    """The percentiles between which `COVERAGE` of the draws lie; draws without a defined case (NaN) are left out."""
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.percentile(drawn[~np.isnan(drawn)], [tail, 100 - tail])
    return float(low), float(high)


def _drawn_means(values: Scores, weights: Scores) -> Scores:
    """The mean of each class in each draw, (draws, K); NaN where a draw has no case that defines it."""
    known = ~np.isnan(values)
    sums, counts = weights @ np.where(known, values, 0.0), weights @ known.astype(np.float64)
    means: Scores = np.divide(sums, counts, out=np.full(sums.shape, math.nan), where=counts > 0)
    return means


def _mean(values: Scores, axis: int) -> Any:
    """np.nanmean, which warns of nothing but NaN."""
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0.0).sum(axis=axis), known.sum(axis=axis)
    means: Scores = np.divide(sums, counts, out=np.full(np.shape(sums), math.nan), where=counts > 0)
    return means
