"""Nested folds: each choice is made on all folds but one and scored on that one; and when a gain counts as one.

Shapes: N cases, K classes, F folds. Slot f stands for the choice made without fold f, slot F for the one made on all cases.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.metrics.paired import Paired, compare_pairs
from autoseg.select.selection import Step, Trial

Scores = NDArray[np.float64]
Rows = NDArray[np.bool_]
Choice = NDArray[np.int64]

#: Of Dice: below this nobody sees a gain, and what is switched on costs time and has to be explained.
MIN_GAIN = 5e-4
#: Of the two-sided Wilcoxon test.
SIGNIFICANT = 0.05
RULE = (
    f"nested folds: chosen on all folds but one, scored on that one. On if the mean Dice gains at least {MIN_GAIN:g}, its 95 % bootstrap "
    f"interval (drawn over groups, else cases) lies above 0, p of Wilcoxon's signed-rank test is at most {SIGNIFICANT:g}, and of a single "
    "class nothing is lost in the cases where it is there. Predicting nothing where nothing is counts as 1."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Who is held out with whom.

    Parameters
    ----------
    folds : array of int, (N,)
        Numbered from 0.
    units : tuple, N long
        What is drawn together: groups, else cases.
    """

    folds: NDArray[np.int64]
    units: tuple[Hashable, ...]

    @property
    def num_folds(self) -> int:
        """F."""
        return int(self.folds.max()) + 1

    def slots(self) -> Iterator[tuple[int, Rows, Rows]]:
        """Each slot, the cases that its choice is made on, and those that it is scored on: of the last slot none."""
        for f in range(self.num_folds):
            yield f, self.folds != f, self.folds == f
        yield self.num_folds, np.ones(len(self.folds), np.bool_), np.zeros(len(self.folds), np.bool_)


def choose(sample: Sample, fit: Callable[[int, Rows], Choice]) -> list[Choice]:
    """What each slot chooses: `fit(slot, rows)` sees these cases alone."""
    return [fit(slot, made_on) for slot, made_on, _ in sample.slots()]


def score(sample: Sample, num_classes: int, look_up: Callable[[int, Rows], Scores]) -> Scores:
    """The cases' scores, (N, K), each by the slot that did not see it: `look_up(slot, rows)` gives those of some cases, (n, K)."""
    result = np.empty((len(sample.folds), num_classes))
    for slot, _, scored_on in sample.slots():
        if scored_on.any():
            result[scored_on] = look_up(slot, scored_on)
    return result


def judge(before: Scores, after: Scores, units: Sequence[Hashable], there: Rows | None = None) -> tuple[Paired, str]:
    """The gain over cases, and why it does not count; empty if it does.

    Parameters
    ----------
    before, after : arrays, (N,)
        Of cases, each scored by a choice that it had no part in.
    units : sequence
    there : array of bool, (N,), optional
        Of a class, the cases that it is in: a gain elsewhere must not be paid for there, or a rare class would best never be predicted.
    """
    gain = compare_pairs(before, after, units)
    assert gain.difference is not None, "there is at least one case, and all scores are defined"
    assert gain.p is not None, "it is known with the difference"
    if gain.difference <= 0:
        return gain, "no gain"
    if there is not None and there.any() and (after - before)[there].mean() < 0:
        return gain, "loses where the class is there"
    if gain.difference < MIN_GAIN:
        return gain, f"gains less than {MIN_GAIN:g}"
    if gain.low is None or gain.low <= 0 or gain.p > SIGNIFICANT:
        return gain, "the gain may be chance"
    return gain, ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Duel:
    """A candidate against what is on before it, both by nested scores, (N,); `there` as in `judge`."""

    step: Step
    candidate: str
    against: str
    choice: str
    before: Scores
    after: Scores
    class_name: str = ""
    there: Rows | None = None

    def decide(self, sample: Sample) -> Trial:
        """Judge it."""
        gain, why_not = judge(self.before, self.after, sample.units, self.there)
        return Trial(
            step=self.step, candidate=self.candidate, against=self.against, class_name=self.class_name, choice=self.choice, gain=gain,
            is_on=not why_not, why_not=why_not,
        )  # fmt: skip
