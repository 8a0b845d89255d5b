"""A run's out-of-fold predictions: for each training case the stored probabilities of the net that did not train on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autoseg.case import Case, Dataset
from autoseg.checkpoint import read_plan
from autoseg.errors import DataError, FileFormatError, UsageError
from autoseg.evaluate.contradictions import Evidence, weigh
from autoseg.evaluate.predictions import some_of
from autoseg.infer.folds import find_folds
from autoseg.io.cases import with_spacing
from autoseg.io.images import decode_file
from autoseg.io.names import unescape_name
from autoseg.io.parallel import Progress, map_cases
from autoseg.io.probabilities import SUFFIX, read_probabilities
from autoseg.io.truth import read_truth
from autoseg.labels import LabelSpace
from autoseg.workspace import CHECKPOINT, PROBABILITIES, VALIDATION

HINT = "Labels are compared on the grid of their image. Were images or labels replaced since? Then train again."


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """What a run's finished folds have stored.

    Parameters
    ----------
    run : Path
    labels : LabelSpace
    files : dict of str -> (str, Path)
        Case -> the fold that predicted it, and the file of probabilities.
    """

    run: Path
    labels: LabelSpace
    files: dict[str, tuple[str, Path]]


def find_out_of_fold(run: Path) -> OutOfFold:
    """The stored probabilities of the folds of a run (results/NAME/PLAN/CONFIG-TRAINER); fold "all" has trained on every case.

    Raises
    ------
    UsageError
        If no numbered fold is finished, or none has stored probabilities; with the next command.
    """
    folds = {fold: folder for fold, folder in find_folds(run).items() if fold != "all"}
    config = run.name.partition("-")[0]
    if not folds:
        raise UsageError(f"{run} has no finished fold that left cases out. Train first: autoseg train {config} fold0..4.")
    files = {
        unescape_name(path.name.removesuffix(SUFFIX)): (fold, path)
        for fold, folder in folds.items()
        for path in sorted((folder / VALIDATION / PROBABILITIES).glob(f"*{SUFFIX}"))
    }
    if not files:
        where = next(iter(folds.values())) / VALIDATION / PROBABILITIES
        raise UsageError(f"{where} holds no probabilities (*{SUFFIX}). Train again: autoseg train {config} fold0..4 --restart.")
    labels = read_plan(next(iter(folds.values())) / CHECKPOINT).labels
    return OutOfFold(run=run, labels=labels, files=files)


def weigh_cases(
    dataset: Dataset, found: OutOfFold, *, workers: int = 1, progress: Progress | None = None
) -> tuple[list[Evidence], list[str]]:
    """Every training case's labels beside its out-of-fold prediction, and the names of the cases that have none.

    Raises
    ------
    UsageError
        If the run was trained for other classes, or none of its cases is in the data set.
    DataError
        Once all cases were looked at, naming every file that cannot be read or does not fit.
    """
    if dataset.classes != found.labels.classes:
        raise UsageError(
            f"{found.run} was trained for the classes {some_of(found.labels.classes)}, and {dataset.root} has {some_of(dataset.classes)}. "
            "Plan and train again."
        )
    labelled = [case for case in dataset.train if case.truth is not None]
    cases = [case for case in labelled if case.name in found.files]
    if not cases:
        raise UsageError(f"{found.run} holds predictions of {some_of(sorted(found.files))}, and {dataset.root} has none of these cases.")
    task = partial(_weigh_case, replace(dataset, train=(), test=()), found)
    evidence: list[Evidence] = []
    problems: list[str] = []
    for result in map_cases(task, cases, workers=workers, progress=progress):
        if isinstance(result, Evidence):
            evidence.append(result)
        else:
            problems += result
    if problems:
        raise DataError(problems, HINT)
    return evidence, [case.name for case in labelled if case.name not in found.files]


def _weigh_case(dataset: Dataset, found: OutOfFold, case: Case) -> Evidence | Sequence[str]:
    """A case's evidence, or what is wrong with its files."""
    fold, path = found.files[case.name]
    try:
        image = decode_file(case.images[0])
        truth = read_truth(dataset, case, with_spacing(image.geometry, dataset.spacing, image.orientation))
        return weigh(case.name, read_probabilities(path), truth, exclusive=found.labels.exclusive, fold=fold)
    except DataError as error:
        return error.problems
    except (FileFormatError, ValueError) as error:
        return [f"{path}: {error}" if isinstance(error, ValueError) else str(error)]
