"""Two sets of scores of the same cases: is one better, by how much, and how sure is that?"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from autoseg.metrics.statistics import draw, interval

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Paired differences, b minus a.

    Parameters
    ----------
    n : int
        Cases in which both scores are defined.
    units : int
        Groups that they form: cases of one person are averaged first, as the test takes its pairs for independent.
    mean_a, mean_b, difference, median : float or None
        Over cases; the difference's mean and median.
    low, high : float or None
        95 % bootstrap interval of the mean difference, drawn over units; None for fewer than two.
    p : float or None
        Two-sided Wilcoxon signed-rank test over units; zero differences are left out (Wilcoxon's rule), and if all are zero p
        is 1. None for no pair.
    effect : float or None
        Matched-pairs rank-biserial correlation (Kerby, 2014): 1 if every unit is better in b, -1 if in a; 0 if all differences are 0.
    better, worse : int
        Units in which b is above, below a.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    n: int
    units: int
    mean_a: float | None = None
    mean_b: float | None = None
    difference: float | None = None
    median: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    effect: float | None = None
    better: int = 0
    worse: int = 0


def compare_pairs(a: Values, b: Values, units: Sequence[Hashable]) -> Paired:
    """Compare two scores of the same cases.

    Parameters
    ----------
    a, b : arrays of float, shape (N,)
        NaN where undefined; such pairs are left out.
    units : sequence
        What each case belongs to.
    """
    defined = ~(np.isnan(a) | np.isnan(b))
    a, b, units = a[defined], b[defined], [unit for unit, keep in zip(units, defined, strict=True) if keep]
    if not len(a):
        return Paired(n=0, units=0)
    differences = b - a
    # Equal predictions are equal: what is left of floating point is no difference.
    differences[np.abs(differences) < 1e-12] = 0
    each = _per_unit(differences, units)
    weights = draw(units).weights
    low, high = interval(weights @ differences / weights.sum(axis=1)) if len(each) > 1 else (None, None)
    p, effect = _signed_ranks(each)
    return Paired(
        n=len(a),
        units=len(each),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=float(differences.mean()),
        median=float(np.median(differences)),
        low=low,
        high=high,
        p=p,
        effect=effect,
        better=int((each > 0).sum()),
        worse=int((each < 0).sum()),
    )


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number (Holm, 1979); None stays None and does not count.

    >>> holm([0.01, None, 0.03, 0.02])
    [0.03, None, 0.04, 0.04]
    """
    known = sorted((p, k) for k, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, k) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[k] = highest
    return corrected


def _per_unit(differences: Values, units: Sequence[Hashable]) -> Values:
    found: dict[Hashable, list[float]] = {}
    for unit, difference in zip(units, differences, strict=True):
        found.setdefault(unit, []).append(float(difference))
    return np.array([sum(values) / len(values) for values in found.values()])


def _signed_ranks(each: Values) -> tuple[float, float]:
    """p and the rank-biserial correlation."""
    moved = each[each != 0]
    if not len(moved):
        return 1.0, 0.0
    ranks = stats.rankdata(np.abs(moved))
    effect = float((ranks * np.sign(moved)).sum() / ranks.sum())
    test: Any = stats.wilcoxon(moved)
    return (1.0 if math.isnan(test.pvalue) else float(test.pvalue)), effect
