"""How the classes of a data set lie to each other: handedness and pose, measured on the centroids of the classes.

A flip along y turned by 180 degrees is a flip along x, so all odd numbers of flips are one question: does the mirrored arrangement
of a case, turned, shifted and scaled as it likes, lie as near to the other cases as unmirrored ones lie to each other?
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from autoseg.fingerprint.comparison import Arrangement, MirrorFit
from autoseg.fingerprint.facts import CaseFacts
from autoseg.fingerprint.likeness import sample_cases
from autoseg.fingerprint.procrustes import Fit, Points, fit_pairs, flipped, residuals

#: Cases compared pair by pair; more change no median by more than 1 / sqrt(100) of its spread.
MAX_CASES = 100

#: Single classes are compared with this many nearest cases each: one alone scatters too much.
PARTNERS = 5
#: A ratio of fewer distances than this says nothing.
MIN_VALUES = 3

#: Words for the two sides. Whole words (between spaces, punctuation or a change of case); the Korean ones also as prefixes.
SIDES = (("left", "right"), ("l", "r"), ("lt", "rt"), ("lft", "rgt"), ("sinister", "dexter"), ("sin", "dex"), ("links", "rechts"))
KOREAN_SIDES = (("왼쪽", "오른쪽"), ("왼", "오른"), ("좌측", "우측"), ("좌", "우"))


def measure_arrangement(cases: Sequence[CaseFacts], partners: NDArray[np.bool_], *, classes: Sequence[str]) -> Arrangement:
    """Measure handedness and pose on a sample of at most `MAX_CASES` cases.

    Parameters
    ----------
    cases : sequence of CaseFacts
    partners : array of bool, shape (N, N)
        Pairs that are independent of each other, see `likeness.unrelated`.
    classes : sequence of str
    """
    few = sample_cases(len(cases), MAX_CASES)
    sample, partners = [cases[i] for i in few], partners[np.ix_(few, few)]
    points = class_points(sample, len(classes))
    axes = points.shape[-1]
    present = (~np.isnan(points[..., 0])).sum(1)
    usable, pair = present > axes, present >= 2
    fits, nearest = _measure_fits(
        [c for c, u in zip(sample, usable, strict=True) if u], points[usable], partners[np.ix_(usable, usable)], classes
    )
    turns = _turns(points[pair], partners[np.ix_(pair, pair)])
    return Arrangement(
        cases=int(usable.sum()),
        flatness=_median([_flatness(p) for p in points[usable]]),
        spread=_median([_spread(case) for case in sample]),
        nearest=nearest,
        fits=fits,
        turn_median=_median(turns),
        turn_p95=float(np.percentile(turns, 95)) if len(turns) else 0.0,
        turn_cases=int(pair.sum()),
    )


def class_points(cases: Sequence[CaseFacts], num_classes: int) -> Points:
    """Centroids of the classes in units of the spacing, (N, K, n) with the axes (z,) y, x; NaN where a class is absent."""
    axes = len(cases[0].shape)
    return np.array([[case.centroid(k) or (np.nan,) * axes for k in range(num_classes)] for case in cases], np.float64)


def _measure_fits(
    cases: Sequence[CaseFacts], points: Points, partners: NDArray[np.bool_], classes: Sequence[str]
) -> tuple[tuple[MirrorFit, ...], float]:
    """Every candidate swap's fit, and the median distance to the nearest unmirrored partner."""
    if not partners.any():
        return (), 1.0
    upright = fit_pairs(points, points, needed=points.shape[-1] + 1)
    upright.distance[~partners] = np.nan
    if np.isnan(upright.distance).all():
        return (), 1.0
    counted = [[facts.area for case in cases if (facts := case.classes[k])] for k in range(len(classes))]
    areas = np.array([np.mean(values) if values else np.nan for values in counted])
    fits = (
        measure_mirror(points, swap, source=source, upright=upright, partners=partners)
        for swap, source in candidate_swaps(points, areas, classes=classes)
    )
    return tuple(fit for fit in fits if fit is not None), _median(_nearest(upright.distance))


def measure_mirror(points: Points, swap: tuple[int, ...], *, source: str, upright: Fit, partners: NDArray[np.bool_]) -> MirrorFit | None:
    """How well the cases' mirror images, classes renamed by `swap`, fit the other cases. None if no two cases share enough classes.

    `upright` is the fit of the cases as they are; `partners` says which pairs are compared, mirrored or not.
    """
    axes = points.shape[-1]
    renamed = points[:, list(swap)]
    mirrored = [fit_pairs(flipped(renamed, axis), points, needed=axes + 1) for axis in range(axes)]
    distance = mirrored[0].distance  # the same for every axis: they differ by a rotation
    # A person's left hand is the mirror image of the right one: that says nothing of other people's.
    distance[~partners] = np.nan
    both = ~np.isnan(distance).all(1) & ~np.isnan(upright.distance).all(1)
    if not both.any():
        return None
    cases = np.flatnonzero(both)
    partner = np.nanargmin(distance[both], axis=1)
    turned = Fit(distance=distance, rotation=mirrored[0].rotation)
    here, there = _per_class(flipped(renamed, 0), points, turned), _per_class(points, points, upright)
    pairs = [[k, p] for k, p in enumerate(swap)]  # both of a pair tell the same, twice as surely
    worst = [_ratio(here[:, pair].ravel(), there[:, pair].ravel()) for pair in pairs]
    return MirrorFit(
        swap=swap,
        source=source,
        ratio=_ratio(_nearest(distance[both]), _nearest(upright.distance[both])),
        worst_ratio=float(max(worst)),
        worst_class=int(np.argmax(worst)),
        flip_degrees=tuple(_median(fit.degrees()[cases, partner]) for fit in mirrored),
    )


def _per_class(moving: Points, fixed: Points, fit: Fit) -> NDArray[np.float64]:
    """Distance of each class from its place in each of the `PARTNERS` nearest cases, (pairs, K)."""
    nearest = np.argsort(fit.distance, axis=1)[:, :PARTNERS]  # NaN last
    pairs = [(i, j) for i, row in enumerate(nearest) for j in row if not np.isnan(fit.distance[i, j])]
    return np.array([residuals(moving[i], fixed[j], rotation=fit.rotation[i, j]) for i, j in pairs])


def candidate_swaps(points: Points, areas: NDArray[np.float64], *, classes: Sequence[str]) -> list[tuple[tuple[int, ...], str]]:
    """The ways in which classes may change places in a mirror: not at all, as their names say, as the arrangement itself says."""
    identity = tuple(range(len(classes)))
    found = [(identity, "as it stands")]
    named = pairs_by_name(classes)
    if named != identity:
        found.append((named, "names"))
    placed = pairs_by_place(points, areas)
    if placed not in (identity, named):
        found.append((placed, "geometry"))
    return found


def pairs_by_name(classes: Sequence[str]) -> tuple[int, ...]:
    """The class that each class becomes if left and right are exchanged in its name; itself if there is no such class.

    Examples
    --------
    >>> pairs_by_name(["left lung", "Right lung", "heart", "rib_L", "rib_R"])
    (1, 0, 2, 4, 3)
    """
    keys = [_name_key(name) for name in classes]
    index = {key: k for k, key in enumerate(keys)}
    partner = [index.get(_exchanged(key), k) for k, key in enumerate(keys)]
    return tuple(p if partner[p] == k else k for k, p in enumerate(partner))


def _name_key(name: str) -> tuple[str, ...]:
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words: list[str] = []
    for word in re.findall(r"[^\W\d_]+|\d+", split.lower()):
        side = next((s for pair in KOREAN_SIDES for s in pair if word.startswith(s)), None)
        words += [side, word[len(side) :]] if side and word != side else [word]
    return tuple(words)


def _exchanged(key: tuple[str, ...]) -> tuple[str, ...]:
    other = {a: b for pair in SIDES + KOREAN_SIDES for a, b in (pair, pair[::-1])}
    return tuple(other.get(word, word) for word in key)


def pairs_by_place(points: Points, areas: NDArray[np.float64]) -> tuple[int, ...]:
    """Pairs of classes of similar size that exchange places when the mean arrangement is mirrored.

    Symmetric mates are found on the arrangement itself: for each mirror line (plane) through its middle every class is assigned the
    class nearest to its mirror image (Hungarian method); the best line wins. Classes assigned to each other are a pair.
    """
    identity = tuple(range(points.shape[1]))
    complete = points[~np.isnan(points[..., 0]).any(1)]
    if len(complete) < 2:
        return identity
    middle = complete[0] - complete[0].mean(0)
    fit = fit_pairs(complete, middle[None], needed=points.shape[-1])
    turned = np.einsum("iab,ikb->ika", fit.rotation[:, 0], complete - complete.mean(1, keepdims=True))
    middle = np.mean(turned / np.sqrt((turned**2).mean((1, 2), keepdims=True)), axis=0)
    size = np.log(np.maximum(areas, 1))
    unlike = (np.abs(size[:, None] - size[None]) > np.log(2)) * 1e3
    best, best_cost = identity, np.inf
    for normal in _directions(points.shape[-1]):
        image = middle - 2 * np.outer(middle @ normal, normal)
        cost = ((image[:, None] - middle[None]) ** 2).sum(-1) + unlike
        rows, columns = linear_sum_assignment(cost)
        if (total := float(cost[rows, columns].sum())) < best_cost:
            best, best_cost = tuple(int(c) for c in columns), total
    return tuple(p if best[p] == k else k for k, p in enumerate(best))


def _directions(axes: int) -> NDArray[np.float64]:
    """Unit vectors over half the circle or sphere, at most 5 (2D) or about 12 degrees (3D) apart."""
    if axes == 2:
        angles = np.radians(np.arange(0, 180, 5))
        return np.stack([np.sin(angles), np.cos(angles)], axis=1)
    index = np.arange(200) + 0.5
    height, turn = index / 200, np.pi * (1 + 5**0.5) * index  # Fibonacci's spiral over one half of the sphere
    radius = np.sqrt(1 - height**2)
    return np.stack([height, radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _turns(points: Points, partners: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Degrees between the poses of every two cases of the same handedness."""
    axes = points.shape[-1]
    if len(points) < 2:
        return np.zeros(0)
    needed = 2 if axes == 2 else 3
    upper = np.nonzero(np.triu(partners, 1))
    fit = fit_pairs(points, points, needed=needed)
    mirrored = fit_pairs(flipped(points, 0), points, needed=needed)
    same = fit.distance[upper] <= mirrored.distance[upper] + 1e-9
    if same.any():
        return np.asarray(fit.degrees()[upper][same])
    # Two points in space: a direction, no pose
    lines = points[:, 1] - points[:, 0]
    lengths = np.linalg.norm(lines, axis=1)
    with np.errstate(invalid="ignore"):
        cosine = np.clip((lines @ lines.T) / np.maximum(np.outer(lengths, lengths), 1e-12), -1, 1)[upper]
    return np.asarray(np.degrees(np.arccos(cosine[~np.isnan(cosine)])))


def _flatness(points: NDArray[np.float64]) -> float:
    there = points[~np.isnan(points[:, 0])]
    values = np.linalg.svd(there - there.mean(0), compute_uv=False)
    return float(values[-1] / values[0]) if values[0] > 0 else 0.0


def _spread(case: CaseFacts) -> float:
    there = [k for k, facts in enumerate(case.classes) if facts]
    if len(there) < 2:
        return 0.0
    places = np.array([case.centroid(k) for k in there])
    halves = [np.linalg.norm(np.multiply(facts.extent, case.spacing)) / 2 for facts in case.classes if facts]
    return float(np.sqrt(((places - places.mean(0)) ** 2).sum(1).mean()) / np.mean(halves))


def _nearest(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = ~np.isnan(distance).all(1)
    return np.asarray(np.nanmin(distance[rows], axis=1))


def _median(values: Sequence[float] | NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _ratio(mirrored: NDArray[np.float64], upright: NDArray[np.float64]) -> float:
    """Ratio of medians; two that are both nothing are equal. The floor keeps copies of one case from dividing by zero."""
    there, own = mirrored[~np.isnan(mirrored)], upright[~np.isnan(upright)]
    if min(len(there), len(own)) < MIN_VALUES:
        return 1.0
    floor = 1e-6
    return float((np.median(there) + floor) / (np.median(own) + floor))
