"""Two evaluated runs, case by case."""

from __future__ import annotations

import math
import shlex
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import UsageError
from autoseg.evaluate.predictions import some_of
from autoseg.evaluate.summary import Summary, load_summary
from autoseg.metrics.paired import Paired, compare_pairs, holm
from autoseg.workspace import SUMMARY, fold_folders

METRICS = ("dice", "nsd")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Run b against run a; differences are b minus a.

    Parameters
    ----------
    run_a, run_b : str
        Where they were read from.
    drawn : str
        "groups" or "cases": what is one pair of the test.
    mean : dict metric -> Paired
        Of each case's mean over the classes that both define.
    classes : dict metric -> class -> Paired
    corrected : dict metric -> class -> p or None
        The p values of the classes, corrected for their number (Holm).
    only_a, only_b : tuple of str
        Cases that are not in both, and count nowhere.
    notes : tuple of str
        What could not be compared, and why.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    run_a: str
    run_b: str
    drawn: str
    mean: dict[str, Paired]
    classes: dict[str, dict[str, Paired]]
    corrected: dict[str, dict[str, float | None]]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)


def load_run(folder: Path) -> Summary:
    """The scores of a run: its summary.json, or else those of its folds together; also a file by its own name.

    Raises
    ------
    UsageError
        If there are none.
    FileFormatError
        If one is damaged.
    """
    file = folder if folder.is_file() else folder / SUMMARY
    if file.is_file():
        return load_summary(file)
    folds = [fold / SUMMARY for fold in fold_folders(folder) if (fold / SUMMARY).is_file()]
    if not folds:
        raise UsageError(f"{folder} holds no {SUMMARY}. Evaluate it first: autoseg evaluate {shlex.quote(str(folder))}.")
    parts = [load_summary(path) for path in folds]
    first = next((part for part in parts if part.cases), parts[0])
    rules = first.rules if all(part.rules == first.rules for part in parts if part.cases) else None
    merged = replace(first, rules=rules, unit=first.unit if len({part.unit for part in parts if part.cases}) <= 1 else "mixed")
    cases = {name: scores for part in parts for name, scores in part.cases.items()}
    groups = {name: group for part in parts for name, group in part.groups.items()}
    return replace(merged, cases=cases, groups=groups)


def compare_runs(a: Path, b: Path) -> Comparison:
    """Compare two runs on the cases that both have.

    Raises
    ------
    UsageError
        If they have no case in common, or other classes.
    """
    one, two = load_run(a), load_run(b)
    both = [name for name in one.cases if name in two.cases]
    if not both:
        raise UsageError(f"{a} and {b} have no case in common: {some_of(list(one.cases), 3)} against {some_of(list(two.cases), 3)}.")
    if set(one.classes) != set(two.classes):
        differing = sorted(set(one.classes) ^ set(two.classes))
        raise UsageError(f"{a} and {b} have other classes: {some_of(differing)} in one of them only.")
    names = list(one.classes)
    metrics, notes = _comparable(one, two, both)
    groups = two.groups | one.groups
    units: list[Hashable] = [("group", groups[name]) if name in groups else ("case", name) for name in both]
    mean: dict[str, Paired] = {}
    classes: dict[str, dict[str, Paired]] = {}
    for metric in metrics:
        table = [_values(part, both, names, metric) for part in (one, two)]
        shared = ~(np.isnan(table[0]) | np.isnan(table[1]))
        mean[metric] = compare_pairs(_row_means(table[0], shared), _row_means(table[1], shared), units)
        classes[metric] = {name: compare_pairs(table[0][:, k], table[1][:, k], units) for k, name in enumerate(names)}
    return Comparison(
        run_a=str(a),
        run_b=str(b),
        drawn="groups" if any(name in groups for name in both) else "cases",
        mean=mean,
        classes=classes,
        corrected={metric: dict(zip(names, holm([pair.p for pair in found.values()]), strict=True)) for metric, found in classes.items()},
        only_a=tuple(name for name in one.cases if name not in two.cases),
        only_b=tuple(name for name in two.cases if name not in one.cases),
        notes=notes,
    )


def _comparable(one: Summary, two: Summary, both: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """The metrics that mean the same in both, and what is said of the others."""
    metrics, notes = [], []
    for metric in METRICS:
        held = [all(metric in scores for name in both for scores in part.cases[name].values()) for part in (one, two)]
        if not all(held):
            who = "one of the runs lacks" if any(held) else "neither run has"
            notes.append(f"{metric} is not compared: {who} it. Run autoseg evaluate.")
        elif metric == "nsd" and (one.rules != two.rules or one.unit != two.unit):
            said = ["of unknown tolerance" if part.rules is None else f"{part.rules.tolerance:g} {part.unit}" for part in (one, two)]
            notes.append(f"nsd is not compared: its tolerances differ ({said[0]}, {said[1]}).")
        else:
            metrics.append(metric)
    return metrics, tuple(notes)


def _values(summary: Summary, cases: list[str], classes: list[str], metric: str) -> NDArray[np.float64]:
    """(cases, classes), NaN where undefined."""
    rows = [[summary.cases[case][name][metric] for name in classes] for case in cases]
    return np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64).reshape(len(cases), len(classes))


def _row_means(values: NDArray[np.float64], shared: NDArray[np.bool_]) -> NDArray[np.float64]:
    sums, counts = np.where(shared, values, 0.0).sum(axis=1), shared.sum(axis=1)
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(values), math.nan), where=counts > 0)
    return means
