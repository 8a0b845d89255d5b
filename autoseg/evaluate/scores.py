"""One case's scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoseg.case import Case
from autoseg.geometry import Geometry, Unit
from autoseg.labels import CodeMap, Mask
from autoseg.metrics.measure import Rules, measure
from autoseg.metrics.overlap import OVERLAP_METRICS, Counts, Score, count_codes, count_masks


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseScores:
    """One case's pixels, counted, and what follows of them.

    Parameters
    ----------
    case : str
    counts : Counts
        In the order of the classes.
    scores : dict of str -> array of float64, shape (K,)
        A row for each score, NaN where undefined: the overlap's (`evaluate_case`) or all of `MEASURES` (`measure_case`).
    group : str or None
        Of the case: a person, a patient.
    fold : str
        That predicted it; empty if no fold is known.
    unit : {"mm", "pixel"}
        Of its distances.
    """

    case: str
    counts: Counts
    scores: dict[str, Score]
    group: str | None = None
    fold: str = ""
    unit: Unit = "pixel"


def evaluate_case(case: str, prediction: CodeMap | Iterable[Mask], truth: CodeMap) -> CaseScores:
    """The overlap of one case, on the truth's grid.

    `prediction` is a code map, or one bool mask per class. ValueError if they do not fit.
    """
    counts = count_codes(prediction, truth) if isinstance(prediction, CodeMap) else count_masks(prediction, truth)
    return CaseScores(case=case, counts=counts, scores={name: score(counts) for name, score in OVERLAP_METRICS.items()})


def measure_case(
    case: Case, prediction: CodeMap | Iterable[Mask], truth: CodeMap, geometry: Geometry, rules: Rules, *, fold: str = ""
) -> CaseScores:
    """All scores of one case, surfaces and objects included, by the spacing of the truth's grid. ValueError if they do not fit."""
    measured = measure(prediction, truth, geometry.spacing, rules)
    return CaseScores(
        case=case.name, counts=measured.counts, scores=measured.scores, group=case.group, fold=fold, unit=geometry.unit
    )  # fmt: skip
