"""Predicting files: each case is read, prepared, predicted and written, the next one read and the last one written meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.case import Case, Dataset
from autoseg.errors import AutosegError
from autoseg.infer.cascade import prepare_stages, segment_stages
from autoseg.infer.case import Model, Segmentation
from autoseg.infer.export import is_written, remove_segmentation, segmentation_rows, write_segmentation, written_rows
from autoseg.infer.record import Journal, RunRecord
from autoseg.io.cases import read_case
from autoseg.io.submission import SubmissionRow, write_submission
from autoseg.plan import Plan
from autoseg.preprocess.prepared import Prepared

Progress = Callable[[int, int], None]
SUBMISSION = "submission.csv"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What is predicted, and where to.

    Parameters
    ----------
    model : Model
    plan : Plan
    stage : str
    dataset : Dataset
        Where the cases come from: their spacing, and the form of the submission.
    out : Path
        Folder of the predictions.
    record : RunRecord
        How they are made; cases that an equal run finished are skipped.
    overwrite : bool
        Predict them again.
    """

    model: Model
    plan: Plan
    stage: str
    dataset: Dataset
    out: Path
    record: RunRecord
    overwrite: bool = False


@dataclass(kw_only=True)
class Outcome:
    """What became of the cases.

    Parameters
    ----------
    done, skipped : list of str
        Names of the cases that were predicted, and of those that were finished before.
    failures : dict of str -> str
        Case -> why it could not be predicted.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def predict_cases(job: Job, cases: Sequence[Case], progress: Progress | None = None) -> Outcome:
    """Predict every case that is not finished. One that fails is set aside with its reason, and the others go on.

    Parameters
    ----------
    job : Job
    cases : sequence of Case
    progress : callable(done, total), optional
        Called after each case, skipped ones included.
    """
    journal = Journal(job.out, job.record)
    outcome = Outcome()
    labels, num_axes = job.plan.labels, job.plan.num_axes
    rows: list[SubmissionRow] = []
    pending = []
    for case in cases:
        if not job.overwrite and journal.has(case) and is_written(job.out, case, labels, num_axes):
            outcome.skipped.append(case.name)
        else:
            journal.forget(case)
            pending.append(case)
    try:
        for case, result in _work(job, pending):
            if isinstance(result, Exception):
                outcome.failures[case.name] = _reason(case, result)
                remove_segmentation(job.out, case, labels, num_axes)  # an earlier model's
            else:
                journal.add(case)
                outcome.done.append(case.name)
                rows += result
            if progress is not None:
                progress(len(outcome.done) + len(outcome.failures) + len(outcome.skipped), len(cases))
    finally:
        journal.write()
    if _submits(job):
        skipped = [case for case in cases if case.name in set(outcome.skipped)]
        _submit(job, rows + [row for case in skipped for row in written_rows(job.out, case, labels)], outcome)
    return outcome


def _submit(job: Job, rows: list[SubmissionRow], outcome: Outcome) -> None:
    try:
        write_submission(job.out / SUBMISSION, rows, job.plan.labels.classes)
    except ValueError as error:  # two images of one name: the masks are written all the same
        outcome.failures[SUBMISSION] = str(error)


def _work(job: Job, cases: Sequence[Case]) -> Iterator[tuple[Case, list[SubmissionRow] | Exception]]:
    """Each case with its rows once it is written, or with what went wrong. At most one is read ahead and one being written."""
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        read: Future[tuple[Prepared, ...]] | None = None
        writing: tuple[Case, Future[list[SubmissionRow]]] | None = None
        for i, case in enumerate(cases):
            current = read or reader.submit(_read, job, case)
            read = reader.submit(_read, job, cases[i + 1]) if i + 1 < len(cases) else None
            result: Segmentation | Exception
            try:
                result = segment_stages(job.model, current.result())
            except Exception as error:  # set aside, reported by the caller
                result = error
            if writing is not None:
                yield _settle(*writing)
                writing = None
            if isinstance(result, Exception):
                yield case, result
            else:
                writing = case, writer.submit(_write, job, case, result)
        if writing is not None:
            yield _settle(*writing)


def _settle(case: Case, writing: Future[list[SubmissionRow]]) -> tuple[Case, list[SubmissionRow] | Exception]:
    try:
        return case, writing.result()
    except Exception as error:  # set aside, reported by the caller
        return case, error


def _read(job: Job, case: Case) -> tuple[Prepared, ...]:
    loaded = read_case(job.dataset, case, num_channels=len(job.plan.normalization))
    return prepare_stages(job.model, loaded, job.plan, job.stage)


def _write(job: Job, case: Case, segmentation: Segmentation) -> list[SubmissionRow]:
    write_segmentation(job.out, case, segmentation)
    return segmentation_rows(case, segmentation) if _submits(job) else []


def _submits(job: Job) -> bool:
    return job.dataset.submission == "rle-csv" and job.plan.num_axes == 2 and not job.plan.labels.exclusive


def _reason(case: Case, error: Exception) -> str:
    log.debug("case %s failed", case.name, exc_info=error)
    if isinstance(error, AutosegError):
        return str(error)
    return f"{', '.join(map(str, case.images))}: {type(error).__name__}: {error}"
