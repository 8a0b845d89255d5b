"""How each case lies: its turn against the mean pose, which of two mirror images it is, and how unusual its arrangement is.

Everything is measured on the centroids of the classes: the cases are laid on one mean arrangement, mirrored where that fits clearly better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.fingerprint.arrangement import MAX_CASES, class_points, pairs_by_name
from autoseg.fingerprint.comparison import CasePose
from autoseg.fingerprint.facts import CaseFacts
from autoseg.fingerprint.likeness import sample_cases
from autoseg.fingerprint.procrustes import Fit, Points, fit_pairs, flipped

#: Cases below which there is no mean to differ from.
MIN_CASES = 4
#: An arrangement that keeps this distance (Procrustes, 0 equal to 1 unrelated) from the mean one shares no pose with it: half of its
#: variance is unexplained.
MAX_DISTANCE = 0.7
#: A case is one of the two mirror images if the other one fits this much worse, and no better than this distance, which is that of a mirror
#: image as flat as `planners.pose.MIN_FLATNESS`. Measured on 200 hands of the phantom: 5.9 at least.
CLEAR_RATIO, CLEAR_DISTANCE = 1.5, 0.2
#: Classes whose places say where one class should lie, and the share of the cases that says how far a class scatters. Measured on 200
#: hands of the phantom, 16 with a bent wrist: 14 are among the 16 most unusual, as many with 10 or 14 neighbours; 9 with 4, 13 with 8. On
#: 200 others, 20 with a bent wrist, 17 are among the 20 most unusual.
NEIGHBOURS, KEPT = 12, 0.9
#: Fewer cases say nothing of how far a class scatters.
MIN_UNUSUAL = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Laid:
    """Cases laid on a mean arrangement.

    Parameters
    ----------
    points : array, shape (N, K, n)
        As they are, or mirrored where that fits better.
    is_mirrored : array of bool, shape (N,)
    distance, rotation : arrays, shapes (N,) and (N, n, n)
        Of the better fit; distance NaN if too few classes are shared.
    is_clear : array of bool, shape (N,)
        The other mirror image fits clearly worse.
    """

    points: Points
    is_mirrored: NDArray[np.bool_]
    distance: NDArray[np.float64]
    rotation: NDArray[np.float64]
    is_clear: NDArray[np.bool_]


def measure_poses(cases: Sequence[CaseFacts], *, classes: Sequence[str]) -> tuple[CasePose, ...]:
    """The pose of every case; fields are None where it cannot be measured: too few classes, or no arrangement that the cases share."""
    points = class_points(cases, len(classes))
    swap = pairs_by_name(classes)
    mean = mean_arrangement(points[sample_cases(len(cases), MAX_CASES)], swap)
    if mean is None:
        return tuple(CasePose(case=case.name, turn=None, side=None, unusual=None) for case in cases)
    laid = lay(points, mean, swap)
    turns, unusual = _turns(laid), _unusual(laid, mean)
    return tuple(
        CasePose(case=case.name, turn=_rounded(turn), side=side, unusual=_rounded(far))
        for case, turn, side, far in zip(cases, turns, _sides(laid), unusual, strict=True)
    )


def mean_arrangement(points: Points, swap: tuple[int, ...]) -> Points | None:
    """The mean place of each class, (K, n), size 1 about 0, in the pose of the case that is nearest to all; None if fewer than
    `MIN_CASES` cases lie on it."""
    if len(points) < MIN_CASES:
        return None
    upright, mirrored = _fit(points, points), _fit(flipped(points, 0), points)
    near = np.fmin(upright.distance, mirrored.distance)
    np.fill_diagonal(near, np.nan)
    compared = (~np.isnan(near)).sum(1)
    if compared.max() + 1 < MIN_CASES:
        return None
    near[compared < compared.max() / 2] = np.nan
    mean: Points = points[int(np.nanargmin(_row_medians(near)))]
    for _ in range(2):  # laid on one case, then on their mean
        laid = lay(points, mean, swap)
        used = laid.distance <= MAX_DISTANCE
        if used.sum() < MIN_CASES:
            return None
        mean = _average(np.einsum("iab,ikb->ika", laid.rotation[used], laid.points[used]), mean)
    return mean


def lay(points: Points, mean: Points, swap: tuple[int, ...]) -> Laid:
    """Fit cases (N, K, n) to a mean arrangement (K, n), as they are or mirrored, whichever is nearer.

    A case that shares too few classes with the mean is tried mirrored with its classes renamed by `swap`: bones of a left hand that are
    called "left ..." where the mean's are called "right ...".
    """
    shapes = (points, flipped(points, 0), flipped(points[:, list(swap)], 0))
    fits = [_fit(shape, mean[None]) for shape in shapes]
    distances = np.stack([fit.distance[:, 0] for fit in fits])
    distances[2, ~np.isnan(distances[:2]).all(0)] = np.nan
    is_lone = np.isnan(distances).all(0)
    order = np.sort(distances, axis=0)  # NaN last
    best = np.argmin(np.where(np.isnan(distances), np.inf, distances), axis=0)
    is_clear = (order[1] >= CLEAR_RATIO * order[0]) & (order[1] >= CLEAR_DISTANCE) | (best == 2)
    has_side = (~np.isnan(points[..., 0])).sum(1) > points.shape[-1]
    is_clear &= has_side & ~is_lone
    best[~is_clear] = 0  # in doubt as it is
    rows = np.arange(len(points))
    return Laid(
        points=np.stack(shapes)[best, rows],
        is_mirrored=best > 0,
        distance=distances[best, rows],
        rotation=np.stack([fit.rotation[:, 0] for fit in fits])[best, rows],
        is_clear=is_clear,
    )


def _fit(moving: Points, fixed: Points) -> Fit:
    """Over two shared classes at least in the plane, three in space: fewer have no pose."""
    return fit_pairs(moving, fixed, needed=moving.shape[-1])


def _average(points: Points, earlier: Points) -> Points:
    """Mean of arrangements in one pose, each about the middle and over the size of the classes that `earlier` has, too."""
    shared = ~np.isnan(points[..., :1]) & ~np.isnan(earlier[None, :, :1])
    kept = np.where(shared, points, np.nan)
    centred = points - np.nanmean(kept, axis=1, keepdims=True)
    size = np.sqrt(np.nanmean(np.where(shared, centred, np.nan) ** 2, axis=(1, 2), keepdims=True))
    scaled = centred / size
    there = ~np.isnan(scaled[..., 0])
    mean = np.where(there.any(0)[:, None], np.nansum(scaled, axis=0) / np.maximum(there.sum(0), 1)[:, None], np.nan)
    return np.asarray(mean)


def _turns(laid: Laid) -> NDArray[np.float64]:
    """Degrees from the mean pose of the cases that are mirrored alike, (N,): signed in the plane, see `CasePose.turn`; NaN if unknown."""
    known = laid.distance <= MAX_DISTANCE
    turns = np.full(len(known), np.nan)
    for mirrored in (False, True):
        members = known & (laid.is_mirrored == mirrored)
        if not members.any():
            continue
        rotation = laid.rotation[members]
        relative = rotation @ _nearest_rotation(rotation.sum(0)).T
        n = rotation.shape[-1]
        if n == 2:  # the fit turns a case back, and a mirror image turns the other way
            turns[members] = np.degrees(np.arctan2(relative[:, 1, 0], relative[:, 0, 0])) * (1 if mirrored else -1)
        else:
            turns[members] = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    return turns


def _nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    u, _, vt = np.linalg.svd(matrix)
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    return np.asarray(u @ vt)


def _sides(laid: Laid) -> list[int | None]:
    """0 for the more frequent mirror image (of equals: the first case's), 1 for the other, None where it is not clear."""
    clear = laid.is_clear & (laid.distance <= MAX_DISTANCE)
    mirrored = laid.is_mirrored[clear]
    if not len(mirrored):
        return [None] * len(clear)
    balance = 2 * int(mirrored.sum()) - len(mirrored)
    first = bool(mirrored[0]) if balance == 0 else balance > 0
    return [int(side != first) if known else None for side, known in zip(laid.is_mirrored.tolist(), clear.tolist(), strict=True)]


def _unusual(laid: Laid, mean: Points) -> NDArray[np.float64]:
    """Of each case the class that is farthest out of its place, as a multiple of that class's median, (N,); NaN if unknown."""
    known = laid.distance <= MAX_DISTANCE
    unusual = np.full(len(known), np.nan)
    for k in range(len(mean)):
        miss = _miss(laid, mean, k)
        members = known & ~np.isnan(miss[:, 0])
        if members.sum() >= MIN_UNUSUAL:
            away = _mahalanobis(miss[members])
            floor = 1e-6  # copies of one case miss by nothing, and are usual
            unusual[members] = np.fmax(unusual[members], (away + floor) / (np.median(away) + floor))
    return unusual


def _miss(laid: Laid, mean: Points, k: int) -> Points:
    """From where the `NEIGHBOURS` classes next to class `k` say it lies to where it does lie, (N, n), in sizes of the mean arrangement."""
    away = np.linalg.norm(mean - mean[k], axis=1)
    away[k] = np.nan
    near = np.argsort(away)[: min(NEIGHBOURS, int((~np.isnan(away)).sum()))]
    moving, fixed = laid.points[:, near], mean[near]
    fit = _fit(moving, fixed[None])
    shared = ~np.isnan(moving[..., :1])
    count = np.maximum(shared.sum(1), 1)
    here, there = np.where(shared, moving, 0).sum(1) / count, (shared * fixed).sum(1) / count
    turned = np.einsum("iab,ikb->ika", fit.rotation[:, 0], np.where(shared, moving - here[:, None], 0))
    scale = (turned * (fixed - there[:, None])).sum((1, 2)) / np.maximum((turned**2).sum((1, 2)), 1e-30)
    reached = scale[:, None] * np.einsum("iab,ib->ia", fit.rotation[:, 0], laid.points[:, k] - here) + there
    return np.where(np.isnan(fit.distance), np.nan, reached - mean[k])


def _mahalanobis(vectors: Points) -> NDArray[np.float64]:
    """Distance of each vector (N, n) from the middle of the `KEPT` nearest, in their own spread along each direction, (N,).

    Long bones that leave the picture scatter along their axis and not across it; a bend moves them across.
    """
    near = np.ones(len(vectors), np.bool_)
    distance = np.zeros(len(vectors))
    for _ in range(5):
        centred = vectors - vectors[near].mean(0)
        spread = np.cov(centred[near].T) + 1e-12 * np.eye(vectors.shape[1])
        distance = np.sqrt(np.einsum("ia,ab,ib->i", centred, np.linalg.inv(spread), centred))
        near = distance <= np.quantile(distance, KEPT)
    return distance


def _row_medians(table: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(table).all(1)
    medians = np.full(len(table), np.nan)
    medians[known] = np.nanmedian(table[known], axis=1)
    return medians


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 2)
