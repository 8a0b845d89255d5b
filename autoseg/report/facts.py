"""The data set in numbers and words: what the fingerprint and the folds say."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from autoseg.fingerprint import Fingerprint
from autoseg.report.charts import BoxPlot, box_plot
from autoseg.report.found import Found

#: A case's mean intensity this many robust deviations (1.4826 MAD) from the others' median is odd.
ODD = 6.0
#: A class lies this many times as far from where its neighbours say as is usual.
UNUSUAL = 5.0
#: A class in fewer cases is rare; folds cannot all train on it and be judged on it.
RARE = 5
SHOWN = 8

Rows = list[tuple[str, ...]]


def facts(found: Found) -> list[tuple[str, str]]:
    """Term and value."""
    rows: list[tuple[str, str]] = []
    if found.dataset is not None:
        rows.append(("layout", found.dataset.layout))
        rows.append(("test images", str(len(found.dataset.test))))
    measured = found.fingerprint
    if measured is None:
        return rows
    cases = measured.cases
    groups = {case.group for case in cases if case.group is not None}
    rows.append(("labelled cases", f"{len(cases)}{f' in {len(groups)} groups' if groups else ', without groups'}"))
    rows.append(("classes", f"{len(measured.classes)}{', pixels may be marked as unlabelled' if measured.has_ignore else ''}"))
    rows.append(("channels", ", ".join(measured.channels) or str(measured.num_channels)))
    rows.append(("sizes", _most(Counter(" × ".join(map(str, case.shape)) for case in cases))))
    spacings = Counter(" × ".join(f"{value:.4g}" for value in case.spacing) for case in cases)
    rows.append(("spacing", f"{_most(spacings)} ({measured.unit})"))
    rows.append(("stored as", _most(Counter(case.dtype for case in cases))))
    for key, term in (("groups", "kept together"), ("folds", "folds"), ("balance", "balance of folds")):
        if reason := found.splits.get("reasons", {}).get(key):
            rows.append((term, str(reason)))
    return rows


def _most(counts: Counter[str]) -> str:
    shown = [f"{value} ({num})" if len(counts) > 1 else value for value, num in counts.most_common(4)]
    return ", ".join(shown) + (f" and {len(counts) - 4} others" if len(counts) > 4 else "")


def intensities(measured: Fingerprint) -> Rows:
    """Per channel, over the foreground: minimum, 0.5 %, median, 99.5 %, maximum, mean, deviation."""
    rows: Rows = []
    for k, one in enumerate(measured.foreground):
        name = measured.channels[k] if k < len(measured.channels) else f"channel {k}"
        values = (one.minimum, one.percentile_00_5, one.median, one.percentile_99_5, one.maximum, one.mean, one.std)
        rows.append((name, *(f"{value:.4g}" for value in values)))
    return rows


def case_means(measured: Fingerprint) -> BoxPlot | None:
    """The mean intensities of the cases, a row a channel."""
    rows = {
        measured.channels[k] if k < len(measured.channels) else f"channel {k}": [case.intensity[k].mean for case in measured.cases]
        for k in range(min((len(case.intensity) for case in measured.cases), default=0))
    }
    return box_plot("Mean intensity of each case", rows)


def class_rows(measured: Fingerprint) -> Rows:
    """Class, cases with it, median and range of its area, share of all pixels, connected parts."""
    rows: Rows = []
    for k, name in enumerate(measured.classes):
        there = [found for case in measured.cases if (found := case.classes[k]) is not None]
        areas = [one.area for one in there]
        span = f"{min(areas):,} – {max(areas):,}" if areas else ""
        middle = f"{statistics.median(areas):,.0f}" if areas else ""
        parts = f"{statistics.median(one.components for one in there):g}" if there else ""
        rows.append((name, f"{len(there)} of {len(measured.cases)}", middle, span, f"{measured.priors[k]:.3%}", parts))
    return rows


def pose_facts(measured: Fingerprint) -> list[tuple[str, str]]:
    """Handedness and pose in words."""
    rows: list[tuple[str, str]] = []
    arrangement = measured.arrangement
    sides = Counter(pose.side for pose in measured.poses if pose.side is not None)
    if sides:
        rows.append(("mirror images", f"{sides[0]} cases lie one way, {sides[1]} the other"))
    for fit in arrangement.fits:
        worst = measured.classes[fit.worst_class]
        words = f"mirrored arrangements fit {fit.ratio:.2f} times as far as unmirrored ones (worst: {worst}, {fit.worst_ratio:.2f})"
        rows.append((f"mirrored, {fit.source}", words))
    if arrangement.turn_cases:
        words = f"two cases differ by {arrangement.turn_median:.0f} degrees (median), 95 % by less than {arrangement.turn_p95:.0f}"
        rows.append(("pose", words))
    for flip in measured.flips:
        words = f"labels correlate {flip.labels:.2f} as they are, {flip.labels_flipped:.2f} flipped; "
        rows.append((f"flip along axis {flip.axis}", f"{words}images {flip.image:.2f} and {flip.image_flipped:.2f}"))
    if measured.neighbours is not None:
        words = "look alike and stay in one fold" if measured.neighbours.alike else "are not alike"
        rows.append(("neighbours by name", words))
    return rows


def turns(measured: Fingerprint) -> BoxPlot | None:
    """How the cases are turned."""
    return box_plot("Turn from the mean pose, degrees", {"cases": [pose.turn for pose in measured.poses if pose.turn is not None]})


def warnings(found: Found) -> list[str]:
    """What a person should look at before the scores."""
    listing = [f"Not read: {note}" for note in found.notes]
    if missing := found.splits.get("reasons", {}).get("missing"):
        listing.append(f"Folds: {missing}")
    return listing if found.fingerprint is None else [*listing, *_warnings(found.fingerprint)]


def _warnings(measured: Fingerprint) -> Iterator[str]:
    for k, name in enumerate(measured.classes):
        num = sum(case.classes[k] is not None for case in measured.cases)
        if num < min(RARE, len(measured.cases)):
            yield f"The class {name} is in {num} of {len(measured.cases)} cases." if num else f"The class {name} is in no case."
    if bare := [case.name for case in measured.cases if not any(case.classes)]:
        yield f"Without any class: {_some(bare)}."
    if flat := [case.name for case in measured.cases if any(one.maximum <= one.minimum for one in case.intensity)]:
        yield f"Of one value everywhere: {_some(flat)}."
    for k in range(min((len(case.intensity) for case in measured.cases), default=0)):
        if odd := _odd([case.name for case in measured.cases], [case.intensity[k].mean for case in measured.cases]):
            yield f"Odd mean intensity (channel {k}): {_some(odd)}."
    if unusual := [pose.case for pose in measured.poses if pose.unusual is not None and pose.unusual > UNUSUAL]:
        yield f"Classes lie unusually: {_some(unusual)}."


def _odd(names: Sequence[str], values: Sequence[float]) -> list[str]:
    array: Any = np.asarray(values, np.float64)
    away = np.abs(array - np.median(array))
    deviation = 1.4826 * np.median(away)
    return [name for name, far in zip(names, away, strict=True) if deviation > 0 and far > ODD * deviation]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
