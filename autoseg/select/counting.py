"""What one case says of many candidates at once, in numbers that are small enough to keep for all cases.

Everything here runs in a process of its own for one case (`io.parallel`) and holds of it: its truth as a code map, the members' compressed
probabilities, and the pixels of one class around its box; of exclusive classes all of them.

Stated rule: an empty prediction of a class that is not there is right, Dice 1 (elsewhere it is left out of means): a candidate that removes
what was invented must gain by it.

Shapes: M members, K classes, V candidates, 256 thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.case import Case, Dataset
from autoseg.ensemble import HALF, Bytes, Combination, combine_class, combine_exclusive
from autoseg.errors import DataError, FileFormatError
from autoseg.geometry import Geometry
from autoseg.io.cases import with_spacing
from autoseg.io.images import decode_file
from autoseg.io.probabilities import Stored, open_probabilities
from autoseg.io.truth import read_truth
from autoseg.labels import CodeMap, Mask
from autoseg.metrics.boxes import Box, grown, join_boxes
from autoseg.postprocess import find_components, find_holes

#: Sizes of components are told apart by these steps, a factor of 2^(1/4) each, and smallest sizes are chosen from them.
EDGES = 2.0 ** (np.arange(-120, 241) / 4)
#: Columns of `Pieces.rows`.
VARIANT, CLASS, FILLED, BIN, SAID, HIT = range(6)


@dataclass(frozen=True, kw_only=True)
class JudgedCase:
    """A case, the fold that holds it out, and the file of what each member says of it."""

    case: Case
    fold: str
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is the same for all cases.

    Parameters
    ----------
    dataset : Dataset
        Without its cases; says how truths are read.
    exclusive : bool
    """

    dataset: Dataset
    exclusive: bool


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to masks: a combination, cut at a threshold for each class (none for exclusive classes)."""

    combination: Combination
    thresholds: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """Dice of a case for each threshold, (V, K, 256) float32: that of the pixels whose byte is at least t; and its true pixels, (K,)."""

    dice: NDArray[np.float32]
    there: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pieces:
    """The connected components of a case's masks.

    Parameters
    ----------
    rows : array of int, (number, 6)
        Components of like size together: variant, class, 1 if holes were filled, number of the size in `EDGES`, labelled pixels, and those
        of them that are right.
    largest : array of int, (V, K, 2, 2)
        Of the largest component, without and with filled holes: labelled pixels, right ones.
    there : array of int, (K,)
        True pixels.
    unit : str
        Of the sizes: "pixel", "mm2", "mm3".
    """

    rows: NDArray[np.int64]
    largest: NDArray[np.int64]
    there: NDArray[np.int64]
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A case's truth and what its members said; `there`: true pixels of each class, (K,)."""

    truth: CodeMap
    geometry: Geometry
    stored: tuple[Stored, ...]
    there: NDArray[np.int64]


def count_dice(setup: Setup, combinations: Sequence[Combination], judged: JudgedCase) -> NDArray[np.float64] | list[str]:
    """Dice of a case at the usual threshold, (V, K); or what is wrong with its files."""
    try:
        opened = open_case(setup, judged)
    except (DataError, FileFormatError) as error:
        return problems_of(error)
    result = np.empty((len(combinations), len(opened.there)))
    if setup.exclusive:
        members = [whole_planes(stored) for stored in opened.stored]
        for v, combination in enumerate(combinations):
            hit, said = _count_map(combine_exclusive(members, combination), opened.truth)
            result[v] = to_dice(hit, said, opened.there)
        return result
    for k, view in enumerate(_class_views(opened)):

        @cache
        def dice_of(row: tuple[float, ...], kind: Any, view: _View = view) -> float:
            mask = view.combine(row, kind) >= HALF
            return float(to_dice(*view.count(mask), view.there))

        result[:, k] = [dice_of(combination.weights[k], combination.kind) for combination in combinations]
    return result


def dice_curves(setup: Setup, combinations: Sequence[Combination], judged: JudgedCase) -> Curves | list[str]:
    """Dice of a case of overlapping classes for all thresholds at once, from two histograms of each class; or what is wrong."""
    try:
        opened = open_case(setup, judged)
    except (DataError, FileFormatError) as error:
        return problems_of(error)
    result = np.empty((len(combinations), len(opened.there), 256), np.float32)
    for k, view in enumerate(_class_views(opened)):

        @cache
        def curve_of(row: tuple[float, ...], kind: Any, view: _View = view) -> NDArray[np.float64]:
            values = view.combine(row, kind)
            inside = np.bincount(values[view.truth], minlength=256)
            beside = np.bincount(values[~view.truth if view.labelled is None else view.labelled & ~view.truth], minlength=256)
            hit, extra = (np.cumsum(counts[::-1])[::-1] for counts in (inside, beside))
            return np.asarray(to_dice(hit, hit + extra, np.full(256, view.there)))

        for v, combination in enumerate(combinations):
            result[v, k] = curve_of(combination.weights[k], combination.kind)
    return Curves(dice=result, there=opened.there)


def list_components(setup: Setup, variants: Sequence[Variant], judged: JudgedCase) -> Pieces | list[str]:
    """The components of each variant's masks, as they are and with their holes filled."""
    try:
        opened = open_case(setup, judged)
    except (DataError, FileFormatError) as error:
        return problems_of(error)
    size = float(np.prod(opened.geometry.spacing))
    num = len(opened.there)
    rows: list[tuple[int, ...]] = []
    largest = np.zeros((len(variants), num, 2, 2), np.int64)
    for v, k, mask, free, view in _masks(setup, variants, opened):
        for filled in (0, 1):
            found = mask | (find_holes(mask) & free) if filled else mask
            pieces, best = _measure(found, view, size)
            rows += [(v, k, filled, *piece) for piece in pieces]
            largest[v, k, filled] = best
    unit = f"mm{opened.geometry.num_axes}" if opened.geometry.unit == "mm" else "pixel"
    return Pieces(rows=np.array(rows, np.int64).reshape(-1, 6), largest=largest, there=opened.there, unit=unit)


def to_dice(hit: Any, said: Any, there: Any) -> Any:
    """2 hit / (said + there), 1 where both are 0."""
    whole = np.asarray(said + there, np.float64)
    return np.divide(2 * np.asarray(hit, np.float64), whole, out=np.ones_like(whole), where=whole > 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """A class's pixels in the box around what any member says of it."""

    planes: tuple[Bytes, ...]
    truth: Mask
    labelled: Mask | None
    there: int

    def combine(self, row: tuple[float, ...], kind: Any) -> Bytes:
        return combine_class(self.planes, row, kind)

    def count(self, mask: Mask) -> tuple[int, int]:
        """Right pixels and labelled ones."""
        hit = int(np.count_nonzero(mask & self.truth))
        return hit, int(np.count_nonzero(mask if self.labelled is None else mask & self.labelled))


def open_case(setup: Setup, judged: JudgedCase) -> Opened:
    """Read a case's files; DataError or FileFormatError if one is damaged or does not fit."""
    image = decode_file(judged.case.images[0])
    geometry = with_spacing(image.geometry, setup.dataset.spacing, image.orientation)
    del image
    truth = read_truth(setup.dataset, judged.case, geometry)
    stored = tuple(open_probabilities(file) for file in judged.files)
    for each in stored:
        if each.shape != geometry.shape or len(each.boxes) != truth.num_classes:
            found = f"{len(each.boxes)} classes of {each.shape}"
            raise DataError([f"{each.path} holds {found}, but the truth has {truth.num_classes} of {geometry.shape}; train it again"])
    there = np.bincount(truth.codes.ravel(), minlength=len(truth.table)).astype(np.int64) @ truth.table
    return Opened(truth=truth, geometry=geometry, stored=stored, there=there)


def problems_of(error: DataError | FileFormatError) -> list[str]:
    """What `open_case` found wrong, for `Judges.run`."""
    return list(error.problems) if isinstance(error, DataError) else [str(error)]


def _class_views(opened: Opened) -> Any:
    for k in range(len(opened.there)):
        yield _view(opened, k, _said_box(opened, k))


def _said_box(opened: Opened, k: int) -> Box:
    """Around what any member says of a class; an empty corner if none says anything."""
    box: Box | None = None
    for stored in opened.stored:
        own = stored.boxes[k]
        box = join_boxes(box, own if all(ends.start < ends.stop for ends in own) else None)
    return box if box is not None else (slice(0, 0),) * opened.geometry.num_axes


def _view(opened: Opened, k: int, box: Box) -> _View:
    codes = opened.truth.codes[box]
    labelled = ~opened.truth.ignore[codes] if opened.truth.ignore.any() else None
    planes = tuple(stored.cut(k, box) for stored in opened.stored)
    return _View(planes=planes, truth=opened.truth.table[:, k][codes], labelled=labelled, there=int(opened.there[k]))


def whole_planes(stored: Stored) -> Bytes:
    """All classes of a file, (K, (z,) y, x)."""
    box = tuple(slice(0, size) for size in stored.shape)
    return np.stack([stored.cut(k, box) for k in range(len(stored.boxes))])


def _count_map(decided: NDArray[Any], truth: CodeMap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Right pixels and labelled ones of each class of a map."""
    sets, num = len(truth.table), truth.num_classes
    pairs = decided.astype(np.int64) * sets + truth.codes
    joint = np.bincount(pairs.ravel(), minlength=(num + 1) * sets).reshape(num + 1, sets)[1:]
    joint[:, truth.ignore] = 0
    return (joint * truth.table.T).sum(axis=1), joint.sum(axis=1)


def _masks(setup: Setup, variants: Sequence[Variant], opened: Opened) -> Any:
    """Variant, class, mask, where holes may be filled, and the view that counts it."""
    if setup.exclusive:
        members = [whole_planes(stored) for stored in opened.stored]
        maps = [combine_exclusive(members, variant.combination) for variant in variants]
        del members
        for k in range(len(opened.there)):
            box = grown(_said_box(opened, k), opened.geometry.shape)
            view = _view(opened, k, box)
            for v, decided in enumerate(maps):
                yield v, k, decided[box] == k + 1, decided[box] == 0, view
        return
    for k, view in enumerate(_class_views(opened)):
        everywhere = np.ones_like(view.truth)
        for v, variant in enumerate(variants):
            mask = view.combine(variant.combination.weights[k], variant.combination.kind) >= variant.thresholds[k]
            yield v, k, mask, everywhere, view


def _measure(mask: Mask, view: _View, pixel_size: float) -> tuple[list[tuple[int, int, int]], tuple[int, int]]:
    """Components of like size together, (number of the size, labelled pixels, right ones); and the largest one's two numbers."""
    components, sizes = find_components(mask)
    if not len(sizes):
        return [], (0, 0)
    counted = mask if view.labelled is None else mask & view.labelled
    said = np.bincount(components[counted], minlength=len(sizes) + 1)[1:]
    hit = np.bincount(components[counted & view.truth], minlength=len(sizes) + 1)[1:]
    bins = np.searchsorted(EDGES, sizes * pixel_size, side="right") - 1
    found, place = np.unique(bins, return_inverse=True)
    sums = [np.bincount(place, weights=values).astype(np.int64) for values in (said, hit)]
    first = int(sizes.argmax())
    return list(zip(found.tolist(), sums[0].tolist(), sums[1].tolist(), strict=True)), (int(said[first]), int(hit[first]))
