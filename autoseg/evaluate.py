"""How good predictions are: scores per case and class, and their summary.

summary.json is {"mean": {"dice": ..}, "classes": {NAME: {"dice": ..}}, "cases": {CASE: {NAME: {"dice": ..}}}}, null where a score is
undefined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from autoseg.io.json_files import load_json, save_json
from autoseg.labels import CodeMap, Mask
from autoseg.metrics.overlap import OVERLAP_METRICS, Counts, count_codes, count_masks

Scores = dict[str, float | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseScores:
    """One case's pixels, counted.

    Parameters
    ----------
    case : str
    counts : Counts
        In the order of the classes.
    """

    case: str
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What summary.json holds.

    Parameters
    ----------
    mean : dict metric -> value
        Mean over the classes' means; a class that is defined nowhere counts nowhere.
    classes : dict class -> metric -> value
        Mean over the cases where it is defined.
    cases : dict case -> class -> metric -> value
        None where undefined: nothing there and nothing predicted.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    mean: Scores
    classes: dict[str, Scores]
    cases: dict[str, dict[str, Scores]]


def evaluate_case(case: str, prediction: CodeMap | Iterable[Mask], truth: CodeMap) -> CaseScores:
    """Score one case on the truth's grid; `prediction` is a code map, or one bool mask per class. ValueError if they do not fit."""
    if isinstance(prediction, CodeMap):
        return CaseScores(case=case, counts=count_codes(prediction, truth))
    return CaseScores(case=case, counts=count_masks(prediction, truth))


def summarise(scores: Iterable[CaseScores], classes: Sequence[str], metrics: Sequence[str] = ("dice",)) -> Summary:
    """Means per class over the cases, and over the classes.

    Parameters
    ----------
    scores : iterable of CaseScores
    classes : sequence of str
        The names, in the order of the counts.
    metrics : sequence of str
        Keys of `OVERLAP_METRICS`.
    """
    scores = list(scores)
    mean: Scores = {}
    per_class: dict[str, Scores] = {name: {} for name in classes}
    per_case: dict[str, dict[str, Scores]] = {score.case: {name: {} for name in classes} for score in scores}
    for metric in metrics:
        table = [OVERLAP_METRICS[metric](score.counts) for score in scores]
        for score, row in zip(scores, table, strict=True):
            for name, value in zip(classes, row, strict=True):
                per_case[score.case][name][metric] = _or_none(value)
        means = [_mean([row[k] for row in table]) for k in range(len(classes))]
        for name, value in zip(classes, means, strict=True):
            per_class[name][metric] = value
        mean[metric] = _mean([math.nan if value is None else value for value in means])
    return Summary(mean=mean, classes=per_class, cases=per_case)


def save_summary(path: Path, summary: Summary) -> None:
    """Write summary.json atomically."""
    save_json(path, summary)


def load_summary(path: Path) -> Summary:
    """Read summary.json; FileFormatError names the file."""
    return load_json(path, Summary)


def _mean(values: Sequence[float]) -> float | None:
    defined = [float(value) for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else None


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
