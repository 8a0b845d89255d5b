"""The Dice to expect of what a selection predicts, calibrated on the out-of-fold cases that chose it.

Weights, thresholds and post-processing are a few numbers chosen on all of these cases, so that the calibrated Dice is a trace too high; a
nested choice would leave each case a selection of its own to be calibrated for.

Shapes: K classes, N cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.ensemble import Bytes
from autoseg.errors import DataError, FileFormatError
from autoseg.infer.certainty import Certainty
from autoseg.infer.confidence import Calibration, Known, calibrate
from autoseg.io.probabilities import Stored
from autoseg.labels import LabelSpace
from autoseg.select.apply import Planes, decide
from autoseg.select.counting import JudgedCase, Setup, open_case, problems_of, whole_planes
from autoseg.select.selection import Selection


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighed:
    """A case as the selection predicts it: what it shows of itself, and its Dice, (K,); NaN where nothing is there nor predicted."""

    certainty: Certainty
    dice: NDArray[np.float64]


def weigh_case(setup: Setup, selection: Selection, labels: LabelSpace, judged: JudgedCase) -> Weighed | list[str]:
    """Decide a case by its members' out-of-fold probabilities; or what is wrong with its files."""
    try:
        opened = open_case(setup, judged)
        stored = [opened.stored[m] for m in selection.combination.used]
        members: Sequence[Planes] = [whole_planes(one) if labels.exclusive else _ByClass(one) for one in stored]
        found = decide(selection, labels, opened.geometry, members, weighs=True)
    except (DataError, FileFormatError) as error:
        return problems_of(error)
    labelled = ~opened.truth.ignored()
    counts = []
    for k, (_, mask) in enumerate(found.masks()):
        counts.append((np.count_nonzero(mask & opened.truth.mask(k)), np.count_nonzero(mask & labelled)))
    hit, said = np.array(counts, np.float64).T
    whole = said + opened.there
    dice = np.divide(2 * hit, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    assert found.sums is not None, "they were asked for"
    return Weighed(certainty=Certainty.of(found.sums, (mask for _, mask in found.masks())), dice=dice)


def calibrate_selection(weighed: Sequence[Weighed], folds: Sequence[str], classes: Sequence[str]) -> Calibration | None:
    """From all cases and the folds that held them out; None if they are too few."""
    numbers: NDArray[np.int64] = np.unique(folds, return_inverse=True)[1]
    certainty = Certainty.stack(case.certainty for case in weighed)
    return calibrate(Known(certainty=certainty, dice=np.stack([case.dice for case in weighed]), folds=numbers), classes)


@dataclass(frozen=True, eq=False)
class _ByClass:
    """A file of probabilities of which one class is unpacked at a time."""

    stored: Stored

    def __getitem__(self, k: int, /) -> Bytes:
        return self.stored.cut(k, tuple(slice(0, size) for size in self.stored.shape))
