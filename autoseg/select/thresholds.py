"""The second choice: from which probability on a pixel belongs to a class.

Of overlapping classes alone. Where classes exclude each other a threshold cannot be chosen class by class, since each moves the border to
its neighbours too; the most probable class stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.ensemble import HALF, Combination
from autoseg.select.counting import Curves
from autoseg.select.nested import Choice, Duel, Rows, Sample, Scores, choose, score
from autoseg.select.selection import Trial

#: Bytes below it are not stored (io.probabilities.NOISE).
LOWEST = 2
#: Of mean Dice: thresholds this close to the best one are as good, and the one nearest to one half is taken.
AS_GOOD = 1e-5

Thresholds = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """What was chosen.

    Parameters
    ----------
    slots : tuple of tuple of int
        Each slot's threshold of each class; 128 where it is not switched on.
    scores : array, (N, K)
        Nested Dice.
    trials : tuple of Trial
    """

    slots: tuple[Thresholds, ...]
    scores: Scores
    trials: tuple[Trial, ...]


def choose_thresholds(
    sample: Sample, classes: Sequence[str], slots: Sequence[Combination], distinct: Sequence[Combination], found: Sequence[Curves]
) -> Cut:
    """Choose each class's threshold, switched on class by class.

    Parameters
    ----------
    sample : Sample
    classes : sequence of K str
    slots : sequence of Combination
        Each slot's.
    distinct : sequence of V Combination
        Each of them once.
    found : sequence of N Curves
    """
    curves, there = np.stack([each.dice for each in found]), np.stack([each.there > 0 for each in found])
    place = [distinct.index(combination) for combination in slots]
    k_range = np.arange(len(classes))

    def fit(slot: int, rows: Rows) -> Choice:
        own = curves[rows, place[slot]].astype(np.float64)
        return np.array([best_threshold(own[:, k], there[rows, k]) for k in k_range])

    def look_up(thresholds: Sequence[Choice]) -> Scores:
        return score(sample, len(classes), lambda slot, rows: curves[rows, place[slot]][:, k_range, thresholds[slot]].astype(np.float64))

    fitted = choose(sample, fit)
    usual = [np.full(len(classes), HALF)] * len(fitted)
    before, after = look_up(usual), look_up(fitted)
    trials = tuple(
        Duel(
            step="threshold", candidate="threshold", against="0.5", class_name=name, choice=f"{fitted[-1][k] / 255:.3f}",
            before=before[:, k], after=after[:, k], there=there[:, k],
        ).decide(sample)
        for k, name in enumerate(classes)
    )  # fmt: skip
    is_on = np.array([trial.is_on for trial in trials])
    return Cut(
        slots=tuple(tuple(int(t) for t in np.where(is_on, chosen, HALF)) for chosen in fitted),
        scores=np.where(is_on, after, before),
        trials=trials,
    )


def best_threshold(curves: Scores, there: Rows) -> int:
    """The threshold of highest mean Dice; of those that are as good the one nearest to one half.

    Parameters
    ----------
    curves : array, (n, 256)
        Dice of some cases for each threshold.
    there : array of bool, (n,)
        The cases that the class is in: on these the threshold must not be worse than one half, or a rare class would best never be
        predicted.

    Examples
    --------
    >>> best_threshold(np.minimum(np.arange(256), 200)[None] / 255.0, np.array([True]))
    200
    """
    mean = curves.mean(axis=0)
    if there.any():
        where_there = curves[there].mean(axis=0)
        mean = np.where(where_there >= where_there[HALF] - AS_GOOD, mean, -1.0)
    good = LOWEST + np.flatnonzero(mean[LOWEST:] >= mean[LOWEST:].max() - AS_GOOD)
    return int(good[np.abs(good - HALF).argmin()])
