"""summary.json: the scores of many cases, and what they come to.

{"mean": {"dice": ..}, "classes": {NAME: {"dice": ..}}, "cases": {CASE: {NAME: {"dice": ..}}}, "pooled": ..., ...}, null where a score is
undefined. Files of earlier versions hold the first three keys alone and are read as well.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from autoseg.evaluate.scores import CaseScores
from autoseg.io.json_files import load_json, save_json
from autoseg.metrics.measure import MEASURES, Rules
from autoseg.metrics.statistics import Statistics, describe_classes, draw

Scores = dict[str, float | None]
#: Cases named as the worst.
NUM_WORST = 10


@dataclass(frozen=True, kw_only=True)
class Part:
    """Statistics of some of the cases: of all, of a fold, of a subgroup.

    Parameters
    ----------
    num_cases, num_groups : int
        Groups as far as they are known; a case without one is a group of its own.
    overall : dict metric -> Statistics
        Over all classes; see `metrics.statistics.describe_classes`.
    classes : dict class -> metric -> Statistics
    missed, invented : dict class -> int
        Cases in which the class is there and nothing of it was predicted, or was predicted and is not there: distances leave both out.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    num_cases: int
    num_groups: int
    overall: dict[str, Statistics]
    classes: dict[str, dict[str, Statistics]]
    missed: dict[str, int]
    invented: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Worst:
    """A case that came out badly.

    Parameters
    ----------
    case, fold : str
    dice : float
        Mean over its classes.
    lowest_class : str
    lowest_dice : float
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    case: str
    fold: str = ""
    dice: float
    lowest_class: str
    lowest_dice: float


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
    rules : Rules or None
        Tolerance and IoU; None where only the overlap was scored.
    unit : str
        Of distances: mm, pixel, or mixed where cases differ: their means then say little.
    drawn : {"groups", "cases", ""}
        What the bootstrap draws.
    groups : dict case -> group
    pooled : Part or None
        All cases together.
    folds : dict fold -> Part
    subgroups : dict column -> value -> Part
        From --groups and --by.
    worst : tuple of Worst
        The worst first.
    missing, extra : tuple of str
        Cases of the truth that were not predicted, predictions without a truth: neither is scored.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    mean: Scores
    classes: dict[str, Scores]
    cases: dict[str, dict[str, Scores]]
    rules: Rules | None = None
    unit: str = ""
    drawn: Literal["groups", "cases", ""] = ""
    groups: dict[str, str] = field(default_factory=dict)
    pooled: Part | None = None
    folds: dict[str, Part] = field(default_factory=dict)
    subgroups: dict[str, dict[str, Part]] = field(default_factory=dict)
    worst: tuple[Worst, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


def summarise(scores: Iterable[CaseScores], classes: Sequence[str], metrics: Sequence[str] = ("dice",)) -> Summary:
    """Means per class over the cases, and over the classes.

    Parameters
    ----------
    scores : iterable of CaseScores
    classes : sequence of str
        The names, in the order of the counts.
    metrics : sequence of str
        Keys of the cases' scores.
    """
    scores = list(scores)
    mean: Scores = {}
    per_class: dict[str, Scores] = {name: {} for name in classes}
    per_case: dict[str, dict[str, Scores]] = {score.case: {name: {} for name in classes} for score in scores}
    for metric in metrics:
        table = [score.scores[metric] for score in scores]
        for score, row in zip(scores, table, strict=True):
            for name, value in zip(classes, row, strict=True):
                per_case[score.case][name][metric] = _or_none(value)
        means = [_mean([row[k] for row in table]) for k in range(len(classes))]
        for name, value in zip(classes, means, strict=True):
            per_class[name][metric] = value
        mean[metric] = _mean([math.nan if value is None else value for value in means])
    return Summary(mean=mean, classes=per_class, cases=per_case)


def summarise_fully(
    scores: Sequence[CaseScores],
    classes: Sequence[str],
    rules: Rules,
    *,
    subgroups: Mapping[str, Mapping[str, str]] | None = None,
    missing: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> Summary:
    """`summarise` with every measure, its statistics for all cases, each fold and each subgroup, and the worst cases.

    Parameters
    ----------
    scores : sequence of CaseScores
        From `measure_case`; names must differ.
    classes : sequence of str
    rules : Rules
        That they were measured by.
    subgroups : mapping column -> case -> value, optional
    missing, extra : sequence of str
    """
    means = summarise(scores, classes, MEASURES)
    folds = dict.fromkeys(sorted(score.fold for score in scores if score.fold))
    return Summary(
        mean=means.mean,
        classes=means.classes,
        cases=means.cases,
        rules=rules,
        unit=_unit(scores),
        drawn="groups" if any(score.group is not None for score in scores) else "cases",
        groups={score.case: score.group for score in scores if score.group is not None},
        pooled=describe_part(scores, classes),
        folds={fold: describe_part([score for score in scores if score.fold == fold], classes) for fold in folds},
        subgroups={column: _by_value(scores, classes, values) for column, values in (subgroups or {}).items()},
        worst=worst_cases(scores, classes),
        missing=tuple(missing),
        extra=tuple(extra),
    )


def describe_part(scores: Sequence[CaseScores], classes: Sequence[str]) -> Part:
    """Statistics of some cases, in the order of the classes."""
    overall: dict[str, Statistics] = {}
    per_class: dict[str, dict[str, Statistics]] = {name: {} for name in classes}
    units = [_unit_of_drawing(score) for score in scores]
    if scores:
        draws = draw(units)
        for metric in MEASURES:
            found, overall[metric] = describe_classes(np.stack([score.scores[metric] for score in scores]), draws)
            for name, statistics in zip(classes, found, strict=True):
                per_class[name][metric] = statistics
    missed = [sum(_is_missed(score, k) for score in scores) for k in range(len(classes))]
    invented = [sum(_is_invented(score, k) for score in scores) for k in range(len(classes))]
    return Part(
        num_cases=len(scores),
        num_groups=len(set(units)),
        overall=overall,
        classes=per_class,
        missed=dict(zip(classes, missed, strict=True)),
        invented=dict(zip(classes, invented, strict=True)),
    )


def worst_cases(scores: Iterable[CaseScores], classes: Sequence[str], num: int = NUM_WORST) -> tuple[Worst, ...]:
    """The cases of lowest mean Dice, the worst first; cases in which no class is defined are left out."""
    found = []
    for score in scores:
        defined = {name: float(value) for name, value in zip(classes, score.scores["dice"], strict=True) if not math.isnan(value)}
        if defined:
            lowest = min(defined, key=defined.__getitem__)
            mean = sum(defined.values()) / len(defined)
            found.append(Worst(case=score.case, fold=score.fold, dice=mean, lowest_class=lowest, lowest_dice=defined[lowest]))
    return tuple(sorted(found, key=lambda worst: (worst.dice, worst.case))[:num])


def save_summary(path: Path, summary: Summary) -> None:
    """Write summary.json atomically."""
    save_json(path, summary)


def load_summary(path: Path) -> Summary:
    """Read summary.json; FileFormatError names the file."""
    return load_json(path, Summary)


def _by_value(scores: Sequence[CaseScores], classes: Sequence[str], values: Mapping[str, str]) -> dict[str, Part]:
    """In the order of the values; those without a scored case are left out."""
    parts = {value: [score for score in scores if values.get(score.case) == value] for value in dict.fromkeys(values.values())}
    return {value: describe_part(members, classes) for value, members in parts.items() if members}


def _unit_of_drawing(score: CaseScores) -> Hashable:
    return ("group", score.group) if score.group is not None else ("case", score.case)


def _unit(scores: Sequence[CaseScores]) -> str:
    units = {score.unit for score in scores}
    return units.pop() if len(units) == 1 else "mixed" if units else ""


def _is_missed(score: CaseScores, k: int) -> bool:
    counts = score.counts
    return bool(counts.missed[k] > 0 and counts.hit[k] + counts.extra[k] == 0)


def _is_invented(score: CaseScores, k: int) -> bool:
    counts = score.counts
    return bool(counts.extra[k] > 0 and counts.hit[k] + counts.missed[k] == 0)


def _mean(values: Sequence[float]) -> float | None:
    defined = [float(value) for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else None


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
