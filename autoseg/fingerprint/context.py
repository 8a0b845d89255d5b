"""How much of the image one must see to tell each class from those that look like it.

Two questions. Which classes look alike: size, principal lengths and local intensity of one class against another, by linear
discriminants that never saw the case or its relatives. And what tells those apart: windows of growing size about the class are cut from
the low-resolution picture, and each is named after the window of an unrelated case that it is most like.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autoseg.fingerprint.comparison import ClassContext, Context
from autoseg.fingerprint.facts import CaseFacts
from autoseg.fingerprint.instance import View
from autoseg.fingerprint.likeness import sample_cases
from autoseg.fingerprint.separation import told_apart
from autoseg.fingerprint.windows import cut_windows, name_windows

#: Fewer cases than this with an unrelated one tell nothing: one of them is 12 % already.
MIN_CASES = 8
#: Classes look alike if shape and local intensity name them rightly less often than this: the rest is Dice lost without context.
TOLD_APART = 0.95
#: Edges of the windows, as shares of the image's.
WINDOWS = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0)
#: A window is large enough if it yields this much of what the best one has above chance ...
ENOUGH = 0.95
#: ... if that lies this far on the way from chance to certainty ...
WORTH = 0.2
#: ... and there, all windows of the class and its look-alikes are named this many standard errors better than by chance: 1 % over the 8
#: windows (Bonferroni). A class's own windows are too few to say so: the luckiest of 12 classes of noise in 10 cases gains 0.45.
SIGNIFICANT = 3.0
#: Correlations this near are equal: several times the rounding of single precision.
TIE = 1e-5
#: At most so many windows of one size are compared with each other; more take fewer cases.
MAX_WINDOWS = 4000


def measure_context(cases: Sequence[CaseFacts], views: Sequence[View], partners: NDArray[np.bool_], *, channels: int) -> Context | None:
    """Measure the look-alikes of each class, and the share of the image's edge that tells them apart.

    Parameters
    ----------
    cases : sequence of CaseFacts
        All of them; extents are medians over these.
    views : sequence of View
        Of the cases that are compared.
    partners : array of bool, shape (len(views),) * 2
        Pairs that are independent of each other, see `likeness.unrelated`.
    channels : int
        C, what a net gets; a grey picture among coloured ones is repeated.

    Returns
    -------
    Context or None
        None if fewer than `MIN_CASES` cases have a partner.
    """
    if partners.any(axis=1).sum() < MIN_CASES:
        return None
    features = np.stack([_features(view, channels) for view in views])
    with np.errstate(invalid="ignore"):
        alike = told_apart(features, partners, floor=_floor(features.shape[2], channels), least=MIN_CASES) < TOLD_APART
    some = np.flatnonzero(alike.any(axis=1))
    accuracy, needed = _needs(views, partners, alike, some)
    classes = tuple(
        ClassContext(extent=_extent(cases, k), look_alikes=tuple(int(b) for b in np.flatnonzero(alike[k])), needed=needed.get(k))
        for k in range(len(alike))
    )
    mean = tuple(round(float(a), 4) for a in accuracy.mean(axis=0)) if len(some) else ()
    return Context(classes=classes, windows=WINDOWS, accuracy=mean, cases=len(views))


def _features(view: View, channels: int) -> NDArray[np.float64]:
    """(K, 1 + n + 3 C)."""
    looks = [view.look[min(c, len(view.look) - 1)] for c in range(channels)]
    return np.concatenate([view.shape, *looks], axis=1)


def _floor(columns: int, channels: int) -> NDArray[np.float64]:
    """Deviations that count as none: 5 % of a size or length, 5 % of the image's deviation, 10 % of the deviation inside."""
    return np.array([0.05] * (columns - 3 * channels) + [0.05, 0.1, 0.05] * channels)


def _extent(cases: Sequence[CaseFacts], k: int) -> tuple[float, ...] | None:
    shares = [np.divide(facts.extent, case.shape) for case in cases if (facts := case.classes[k]) is not None]
    return tuple(round(float(share), 4) for share in np.median(shares, axis=0)) if shares else None


def _needs(
    views: Sequence[View], partners: NDArray[np.bool_], alike: NDArray[np.bool_], some: NDArray[np.int64]
) -> tuple[NDArray[np.float64], dict[int, float | None]]:
    """Accuracy (classes in `some`, windows), and the share of the edge that each of them needs."""
    accuracy: NDArray[np.float64] = np.zeros((len(some), len(WINDOWS)))
    needed: dict[int, float | None] = {}
    if not len(some):
        return accuracy, needed
    few = sample_cases(len(views), max(MIN_CASES, MAX_WINDOWS // len(some)))
    pictures = np.stack([views[i].picture for i in few])
    places = np.stack([views[i].place[some] for i in few])
    present, unrelated = ~np.isnan(places[..., 0]), partners[np.ix_(few, few)]
    likeness = [name_windows(cut, present, unrelated) for cut in cut_windows(pictures, places, shares=WINDOWS)]
    for row, k in enumerate(some):
        family = [row, *np.flatnonzero(alike[k][some])]
        tables = [_confusion(found[:, family][:, :, family]) for found in likeness]
        # Windows about the class named so, of all windows about it and all named so: 2 hits / (2 hits + misses + mistakes).
        accuracy[row] = [2 * table[0, 0] / (1 + table[:, 0].sum()) for table in tables]
        right = np.array([np.trace(table) / len(family) for table in tables])
        needed[int(k)] = needed_share(accuracy[row], right, chance=1 / len(family), windows=max(1, int(present[:, row].sum())))
    return accuracy, needed


def _confusion(likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often a window about each class (row) is named after each class (column); a row of zeros for a class without windows.

    `likeness` (N, S, S): of the window about each class to the most similar window about each class; NaN where there is none.
    """
    table = np.zeros(likeness.shape[1:])
    for s in range(len(table)):
        rows = likeness[:, s][~np.isnan(likeness[:, s, s])]
        best = np.nan_to_num(rows, nan=-np.inf)
        # Ties share the vote: windows that show nothing are all alike.
        votes = best >= best.max(axis=1, keepdims=True) - TIE
        table[s] = (votes / votes.sum(axis=1, keepdims=True)).sum(axis=0) / max(len(rows), 1)
    return table


def needed_share(accuracy: NDArray[np.float64], right: NDArray[np.float64], *, chance: float, windows: int) -> float | None:
    """The smallest share of the edge that is as good as the best, straight lines between `WINDOWS`.

    Parameters
    ----------
    accuracy : array, shape (len(WINDOWS),)
        How well the class is told from its look-alikes.
    right : array, shape (len(WINDOWS),)
        Share of all windows, those of its look-alikes included, that are named rightly.
    chance : float
        One over the number of classes among which a window is named.
    windows : int
        Of each size about the class.

    Returns
    -------
    float or None
        None if the best is not clearly above chance (`WORTH`, `SIGNIFICANT`).

    Notes
    -----
    As good: `ENOUGH` of the best one's accuracy above chance, or within one standard error of it (Breiman, Friedman, Olshen, Stone:
    Classification and Regression Trees, 1984, the rule for the smallest tree).
    """
    best = float(accuracy.max())
    error = np.sqrt(chance * (1 - chance) * chance / windows)
    if best - chance < WORTH * (1 - chance) or right[accuracy.argmax()] - chance < SIGNIFICANT * error:
        return None
    limit = best - max((1 - ENOUGH) * (best - chance), float(np.sqrt(best * (1 - best) / windows)))
    first = int(np.argmax(accuracy >= limit))
    if first == 0:
        return WINDOWS[0]
    part = (limit - accuracy[first - 1]) / (accuracy[first] - accuracy[first - 1])
    return round(float(WINDOWS[first - 1] + part * (WINDOWS[first] - WINDOWS[first - 1])), 4)
