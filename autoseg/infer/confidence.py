"""Expected Dice of a prediction whose truth nobody knows, with a 90 % interval: calibrated on out-of-fold cases, whose truth is known.

A linear score of what a prediction shows of itself (`infer.certainty`) goes through a monotone curve to the Dice, and each class adds
its own usual difference. How far cases lie off is taken from folds that had no part in the curve (cross-conformal: Vovk 2015; Barber,
Candes, Ramdas, Tibshirani 2021), among predictions of a like expected Dice. Classes with few cases lean on all classes together.

Shapes: K classes, N cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from autoseg.infer.certainty import Certainty
from autoseg.metrics.isotonic import fit_isotonic

Values = NDArray[np.float64]

#: The share of cases that should lie in the interval.
LEVEL = 0.9
#: A class's own mean counts as much as that of all classes once it has this many cases.
OWN_CASES = 10
#: Predictions of a like expected Dice that an interval is taken from: at least these many, or this share of all.
NEIGHBOURS, NEIGHBOUR_SHARE = 100, 0.1
#: A calibration needs at least so many predictions that are not empty, of all cases and classes.
FEWEST = 10
#: Places on the scale of expected Dice for which intervals are kept.
PLACES = 33


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Out-of-fold predictions whose Dice is known.

    Parameters
    ----------
    certainty : Certainty
        Arrays (N, K).
    dice : array of float64, (N, K)
        NaN where nothing is predicted and nothing is there.
    folds : array of int, (N,)
    """

    certainty: Certainty
    dice: Values
    folds: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.certainty.area.shape != self.dice.shape or self.folds.shape != self.dice.shape[:1]:
            raise ValueError(f"shapes differ: {self.certainty.area.shape}, Dice {self.dice.shape}, folds {self.folds.shape}")

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Known:
        """The cases (N,) that are chosen."""
        return Known(certainty=self.certainty[chosen], dice=self.dice[chosen], folds=self.folds[chosen])

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Where something was predicted, (N, K): its Dice is always defined."""
        return (self.certainty.area > 0) & np.isfinite(self.certainty.self_dice) & np.isfinite(self.dice)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """From what a prediction shows of itself to its expected Dice.

    Parameters
    ----------
    usual_largest, usual_shared : tuple of float
        Each class's mean, from which these are counted: nuclei always come in many pieces.
    weights : tuple of float
        Of self_dice, its square, largest and shared in the score.
    knots, values : tuple of float
        The monotone curve from score to Dice, of all classes.
    offsets : tuple of float
        What each class adds.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    usual_largest: tuple[float, ...]
    usual_shared: tuple[float, ...]
    weights: tuple[float, ...]
    knots: tuple[float, ...]
    values: tuple[float, ...]
    offsets: tuple[float, ...]

    def __call__(self, certainty: Certainty) -> Values:
        """Expected Dice, in the shape of the certainty's arrays."""
        score = _features(certainty, np.array(self.usual_largest), np.array(self.usual_shared)) @ np.array(self.weights)
        return np.asarray(np.clip(np.interp(score, self.knots, self.values) + np.array(self.offsets), 0, 1))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """From a prediction's certainty to its expected Dice and the interval; lists run over the classes or along a scale.

    Parameters
    ----------
    classes : tuple of str
    cases, folds : int
        How many it was made of.
    curve : Curve
    scales : tuple of float
        How far each class's cases lie off, 1: as those of all classes.
    places, low, high : tuple of float
        On the scale of expected Dice, how far below and above cases lie, to be multiplied by the class's scale.
    absent : tuple of float
        Per class, the chance that an empty prediction is right.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    classes: tuple[str, ...]
    cases: int
    folds: int
    curve: Curve
    scales: tuple[float, ...]
    places: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    absent: tuple[float, ...]

    def expect(self, certainty: Certainty) -> Expected:
        """The expected Dice of one case's classes, or of several cases'."""
        dice, scales = self.curve(certainty), np.array(self.scales)
        low, high = (np.clip(dice + scales * np.interp(dice, self.places, side), 0, 1) for side in (self.low, self.high))
        empty = certainty.area == 0
        absent = np.broadcast_to(np.array(self.absent), dice.shape)
        # Either nothing is there, which counts as 1, or something was missed, which is 0.
        dice = np.where(empty, absent, dice)
        low = np.where(empty, np.where(absent >= LEVEL, 1.0, 0.0), np.minimum(low, dice))
        high = np.where(empty, np.where(absent <= 1 - LEVEL, 0.0, 1.0), np.maximum(high, dice))
        return Expected(dice=dice, low=np.minimum(low, dice), high=np.maximum(high, dice))


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """Expected Dice and the ends of its interval, in [0, 1], arrays of shape (K,) or (N, K)."""

    dice: Values
    low: Values
    high: Values


def calibrate(known: Known, classes: Sequence[str]) -> Calibration | None:
    """Fit a calibration; None if there are fewer than two folds, or than ten predictions in all that are not empty.

    Notes
    -----
    With n neighbours the ends of the interval are the floor(0.05 (n + 1))-th smallest and largest difference: with 18 or fewer there is
    none at 90 %, and the interval reaches from 0 to 1.
    """
    usable = known.usable
    folds = np.unique(known.folds[usable.any(axis=1)])
    if int(usable.sum()) < FEWEST or len(folds) < 2:
        return None
    centres = np.full(known.dice.shape, np.nan)
    for fold in folds:
        left_out = known.folds == fold
        centres[left_out] = _fit_curve(known[~left_out])(known.certainty[left_out])
    off = np.where(usable, known.dice - centres, np.nan)
    scales = _scales(off)
    places, low, high = _spread(centres[usable], (off / scales)[usable])
    return Calibration(
        classes=tuple(classes), cases=len(known.dice), folds=len(folds), curve=_fit_curve(known), scales=_listed(scales),
        places=_listed(places), low=_listed(low), high=_listed(high), absent=_listed(_absent(known)),
    )  # fmt: skip


def _listed(values: Values) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _fit_curve(known: Known) -> Curve:
    """The score by ridge regression, the curve of all classes, and each class's own difference, smaller where it has few cases."""
    usable, certainty = known.usable, known.certainty
    count = usable.sum(axis=0)
    largest, shared = (np.where(usable, share, 0).sum(axis=0) / np.maximum(count, 1) for share in (certainty.largest, certainty.shared))
    features = _features(certainty, largest, shared)
    rows, dice = features[usable], known.dice[usable]
    centred = rows - rows.mean(axis=0)
    # The penalty is that of one case at the usual distance, per feature.
    ridge = np.diag(centred.var(axis=0) + 1e-9)
    weights = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (dice - dice.mean()))
    knots, values = fit_isotonic(rows @ weights, dice)
    off = np.where(usable, known.dice - np.interp(features @ weights, knots, values), 0.0)
    return Curve(
        usual_largest=_listed(largest), usual_shared=_listed(shared), weights=_listed(weights), knots=_listed(knots),
        values=_listed(values), offsets=_listed(off.sum(axis=0) / (count + OWN_CASES)),
    )  # fmt: skip


def _features(certainty: Certainty, usual_largest: Values, usual_shared: Values) -> Values:
    """(..., K, 4): self_dice, its square, and how far largest and shared lie from the class's mean."""
    own = np.nan_to_num(certainty.self_dice)
    return np.stack([own, own * own, certainty.largest - usual_largest, certainty.shared - usual_shared], axis=-1)


def _scales(off: Values) -> Values:
    """Mean distance of each class's cases, (K,), over that of all; drawn towards 1 where it has few."""
    everything = max(float(np.nanmean(np.abs(off))), 1e-6)
    count = np.isfinite(off).sum(axis=0)
    return np.asarray((np.nansum(np.abs(off), axis=0) / everything + OWN_CASES) / (count + OWN_CASES))


def _spread(centres: Values, off: Values) -> tuple[Values, Values, Values]:
    """Places on the scale of expected Dice, and the ends of the middle 90 % of the differences there."""
    places, low, high = [], [], []
    for place, near in neighbourhoods(centres, off):
        rank = int((1 - LEVEL) / 2 * (len(near) + 1))
        near = np.sort(near)
        places.append(place)
        low.append(near[rank - 1] if rank else -np.inf)
        high.append(near[-rank] if rank else np.inf)
    return np.array(places), np.clip(low, -1, 1), np.clip(high, -1, 1)


def neighbourhoods(places: Values, values: Values) -> Iterator[tuple[float, Values]]:
    """Up to 33 places on a scale, ascending, each with the values of the points (N,) nearest to it in rank: 100, or a tenth of them."""
    order = np.argsort(places, kind="stable")
    places, values = places[order], values[order]
    wanted = min(len(values), max(NEIGHBOURS, round(NEIGHBOUR_SHARE * len(values))))
    for middle in np.unique(np.linspace(0, len(values) - 1, PLACES).round().astype(np.int64)):
        first = int(np.clip(middle - wanted // 2, 0, len(values) - wanted))
        yield float(places[middle]), values[first : first + wanted]


def _absent(known: Known) -> Values:
    """The chance that an empty prediction is right, (K,): of those there were, with one more as likely as the class is absent."""
    empty = known.certainty.area == 0
    right = empty & np.isnan(known.dice)
    # Of something predicted, Dice 0 may also be a miss elsewhere: absence is only certain where nothing was predicted.
    share = right.sum(axis=0) / max(len(known.dice), 1)
    return np.asarray((right.sum(axis=0) + share) / (empty.sum(axis=0) + 1))
