"""A folder of predictions, case by case: each is read, measured and forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autoseg.case import Dataset
from autoseg.errors import DataError
from autoseg.evaluate.predictions import Pair, read_prediction
from autoseg.evaluate.scores import CaseScores, measure_case
from autoseg.io.cases import with_spacing
from autoseg.io.images import decode_file
from autoseg.io.parallel import Progress, map_cases
from autoseg.io.truth import read_truth
from autoseg.metrics.measure import Rules

HINT = "A prediction lies on the grid of its image and holds the classes of its truth: a mask per class, or a map of the data set's values."


def score_pairs(
    dataset: Dataset, pairs: Sequence[Pair], rules: Rules, *, workers: int = 1, progress: Progress | None = None
) -> list[CaseScores]:
    """Measure predictions against their truths.

    Parameters
    ----------
    dataset : Dataset
        Of the truths.
    pairs : sequence of Pair
        A case that several folds predicted is named after them, as "CASE (fold1)".
    rules : Rules
    workers : int
        Most processes. Each holds one case at a time, and of its prediction one mask at a time.
    progress : callable, optional

    Raises
    ------
    DataError
        Once all cases were looked at, naming every file that does not fit.
    """
    task = partial(_score_pair, replace(dataset, train=(), test=()), rules)
    scores: list[CaseScores] = []
    problems: list[str] = []
    hint = ""
    for result in map_cases(task, pairs, workers=workers, progress=progress):
        if isinstance(result, CaseScores):
            scores.append(result)
        else:
            problems += result.problems
            hint = HINT if result.is_readable else hint
    if problems:
        raise DataError(problems, hint)
    times = Counter(score.case for score in scores)
    # Its group stays one: several predictions of a case say no more about other cases than one does.
    return [
        replace(score, case=f"{score.case} (fold{score.fold})", group=score.group or score.case) if times[score.case] > 1 else score
        for score in scores
    ]


@dataclass(frozen=True)
class _Misfit:
    """What is wrong with a case's files; `is_readable`: they can be read, and do not fit each other."""

    problems: tuple[str, ...]
    is_readable: bool


def _score_pair(dataset: Dataset, rules: Rules, pair: Pair) -> CaseScores | _Misfit:
    """A case's scores, or what is wrong with its files."""
    case = pair.case
    try:
        image = decode_file(case.images[0])
        geometry = with_spacing(image.geometry, dataset.spacing, image.orientation)
        del image
        truth = read_truth(dataset, case, geometry)
        prediction = read_prediction(pair.prediction, dataset, case, geometry)
        return measure_case(case, prediction, truth, geometry, rules, fold=pair.prediction.fold)
    except DataError as error:
        return _Misfit(tuple(error.problems), all(map(_is_readable, (*pair.prediction.files, *case.images))))
    except ValueError as error:
        return _Misfit((f"{pair.prediction.files[0]}: {error}",), True)


def _is_readable(path: Path) -> bool:
    try:
        decode_file(path)
    except (DataError, OSError):
        return False
    return True
