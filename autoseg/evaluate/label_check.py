"""Which labels of the training cases do predictions contradict that were made without them?

A prediction that is sure of itself and yet unlike the label points to the label; one that is unsure points to itself. So classes are
ranked by how far their Dice lies below what the prediction's own certainty lets expect (`infer.confidence`) and below what predictions of
such certainty miss as a rule. Classes of a case that take each other's place make one finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.evaluate.contradictions import Evidence
from autoseg.infer.certainty import Certainty
from autoseg.infer.confidence import Known, calibrate, neighbourhoods

Table = NDArray[np.float64]

#: Weak classes that are named.
NAMED = 5
#: Findings weaker than this (in Dice) are what nets and annotators disagree about everywhere.
LEAST = 0.05
#: Median absolute deviations from the mean beyond which 5 % of a normal distribution lie on one side. A quantile itself would be widened
#: by the wrong labels that are looked for; a median is not.
DEVIATIONS = 1.645 / 0.6745
#: A prediction takes another class's place if it fits that label this much better than its own, and at least so well (Dice).
BETTER, FITTING = 0.2, 0.3
#: A label is said to lie off if moving it mends this share of what is missing.
MENDED = 0.5
#: A label is said to be a part of the prediction, or the other way round, if this share of it lies inside.
INSIDE = 0.85
#: A net that misses more than this in half of the cases cannot judge a class: a label of one half of an object has this Dice with a
#: perfect prediction (2 * 1/2 / (1 + 1/2)), so that of such a net's own mistakes and of wrong labels neither stands out.
JUDGED_FROM = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Labels of a case that its out-of-fold prediction contradicts.

    Parameters
    ----------
    case, fold : str
        The fold whose net predicted the case.
    classes : tuple of str
        Strongest contradiction first.
    strength : float
        How far the first class's Dice lies below what is usual: expected Dice, less the usual deviation, less Dice.
    dice, expected : float
        Of the first class; where neither labels nor prediction are there, Dice counts as 1.
    reason : str
        What it looks like, in words.
    """

    case: str
    fold: str
    classes: tuple[str, ...]
    strength: float
    dice: float
    expected: float
    reason: str


def find_contradictions(cases: Sequence[Evidence], classes: Sequence[str]) -> list[Finding]:
    """All findings of a data set, the strongest first."""
    found = []
    dice_all = np.stack([np.nan_to_num(np.diag(case.dice), nan=1.0) for case in cases])
    expected_all, deviation_all = _expected(cases, dice_all, classes)
    strength_all = expected_all - deviation_all - dice_all
    for evidence, expected, dice, strength in zip(cases, expected_all, dice_all, strength_all, strict=True):
        for members in _groups(evidence, strength):
            first = members[0]
            found.append(
                Finding(
                    case=evidence.case,
                    fold=evidence.fold,
                    classes=tuple(classes[k] for k in members),
                    strength=float(strength[first]),
                    dice=float(dice[first]),
                    expected=float(expected[first]),
                    reason="; ".join(_reasons(evidence, members, classes)),
                )
            )
    return sorted(found, key=lambda finding: (-finding.strength, finding.case))


def weak_classes(cases: Sequence[Evidence], classes: Sequence[str]) -> dict[str, float]:
    """Classes that the nets predict too badly to judge their labels: class -> median out-of-fold Dice below `JUDGED_FROM`, lowest first.

    Medians, as a few wrong labels do not change them. Cases with neither label nor prediction do not count; nor does a class without any.
    """
    dice = np.stack([np.diag(case.dice) for case in cases])
    medians = {name: float(np.nanmedian(column)) for name, column in zip(classes, dice.T, strict=True) if np.isfinite(column).any()}
    return {name: value for name, value in sorted(medians.items(), key=lambda item: item[1]) if value < JUDGED_FROM}


def weak_note(weak: Mapping[str, float], num_classes: int) -> str:
    """What `weak_classes` means for the ranking, for people."""
    named = ", ".join(f"{name} {value:.2f}" for name, value in list(weak.items())[:NAMED])
    more = f" and {len(weak) - NAMED} more" if len(weak) > NAMED else ""
    return (
        f"weak nets: the median out-of-fold Dice is below {JUDGED_FROM:.2f} in {len(weak)} of {num_classes} classes ({named}{more}). "
        "Of these the ranking shows the nets' own mistakes as much as wrong labels: train longer, then check again."
    )


def _expected(cases: Sequence[Evidence], dice: Table, classes: Sequence[str]) -> tuple[Table, Table]:
    """Expected Dice and how far below it 5 % of such predictions lie, (N, K); of few cases what the probabilities expect, and 0."""
    known = Known(
        certainty=Certainty.stack(case.certainty for case in cases),
        dice=np.stack([np.diag(case.dice) for case in cases]),
        folds=np.unique([case.fold for case in cases], return_inverse=True)[1],
    )
    calibration = calibrate(known, classes)
    if calibration is None:
        return np.nan_to_num(known.certainty.self_dice), np.zeros(dice.shape)
    expected = calibration.expect(known.certainty).dice
    near = list(neighbourhoods(expected.ravel(), np.abs(expected - dice).ravel()))
    medians = [float(np.median(values)) for _, values in near]
    return expected, np.asarray(DEVIATIONS * np.interp(expected, [place for place, _ in near], medians))


def _groups(evidence: Evidence, strength: NDArray[np.float64]) -> list[list[int]]:
    """The contradicted classes of a case, the strongest first in each group.

    All that take another one's place are one group: who mixes up two fingers mixes up all their bones.
    """
    contradicted = [int(k) for k in np.argsort(-strength, kind="stable") if strength[k] >= LEAST]
    taken = {k: other for k in contradicted if (other := _place_taken(evidence, k)) is not None}
    mixed = {*taken, *taken.values()}
    groups = [[k] for k in contradicted if k not in mixed]
    return [*groups, sorted(mixed, key=lambda k: -strength[k])] if mixed else groups


def _place_taken(evidence: Evidence, k: int) -> int | None:
    """The other class whose label fits the prediction of class k better than its own does; None if there is none.

    Not one whose label its own prediction covers, or fits as well: that label is right, and the two classes lie on each other, or the net
    takes them for one another. Of two bones under one name a prediction covers one, though it may fit as well as the other's does: so
    where class k has no label, covering alone counts.
    """
    fits = np.nan_to_num(evidence.dice[k])
    best = int(fits.argmax())
    if best == k or fits[best] < max(FITTING, fits[k] + BETTER):
        return None
    is_covered = evidence.overlap[best, best] >= INSIDE * evidence.labelled[best]
    fits_as_well = evidence.labelled[k] > 0 and np.nan_to_num(evidence.dice[best, best]) >= fits[best]
    return None if is_covered or fits_as_well else best


def _reasons(evidence: Evidence, members: Sequence[int], classes: Sequence[str]) -> list[str]:
    """What a finding looks like, in phrases."""
    taken = {k: _place_taken(evidence, k) for k in members}
    swapped = [(k, other) for k, other in taken.items() if other is not None and k < other and taken.get(other) == k]
    reasons = []
    if swapped:
        reasons.append(", ".join(f"{classes[k]} and {classes[other]}" for k, other in swapped) + " look swapped")
    for k, other in taken.items():
        if other is not None and taken.get(other) != k:
            own = "" if evidence.labelled[k] else f", and no label is {classes[k]}"
            reasons.append(f"what is predicted as {classes[k]} is labelled {classes[other]}{own}")
        elif other is None and k not in taken.values():  # one whose place was taken is named with the one that took it
            reasons.append(_reason_alone(evidence, k, classes[k]))
    return reasons


def _reason_alone(evidence: Evidence, k: int, name: str) -> str:
    """Of a class that no other one is mixed up with."""
    area, labelled, hit = int(evidence.certainty.area[k]), int(evidence.labelled[k]), int(evidence.overlap[k, k])
    if not labelled:
        return f"prediction has {name} at {_position(evidence.middle[k])} ({area} pixels), label is empty"
    if not area:
        return f"label has {name} at {_position(evidence.labelled_middle[k])} ({labelled} pixels), prediction is empty"
    dice, moved = evidence.dice[k, k], evidence.moved_dice[k]
    offset = evidence.labelled_middle[k] - evidence.middle[k]
    if moved - dice >= MENDED * (1 - dice):
        return f"label of {name} lies {float(np.linalg.norm(offset)):.1f} pixels off the prediction"
    if hit >= INSIDE * labelled:
        return f"label of {name} covers {hit / area:.0%} of the prediction"
    if hit >= INSIDE * area:
        return f"label of {name} reaches beyond the prediction, which covers {hit / labelled:.0%} of it"
    return f"label and prediction of {name} differ (Dice {dice:.2f})"


def _position(middle: NDArray[np.float64]) -> str:
    """x 31, y 60"""
    return ", ".join(f"{axis} {value:.0f}" for axis, value in zip("xyz", middle[::-1], strict=False))
