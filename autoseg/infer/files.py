"""Predicting files: each case is read, prepared, predicted and written, the next one read and the last one written meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from autoseg.case import Case, Dataset, LoadedCase
from autoseg.errors import AutosegError, RunError
from autoseg.infer.cascade import prepare_stages, segment_cases
from autoseg.infer.case import Model, tidy_after
from autoseg.infer.claim import claimed
from autoseg.infer.confidence import Calibration
from autoseg.infer.decide import Kept
from autoseg.infer.expected import join_expected
from autoseg.infer.flow import WRITERS, Steps, flow
from autoseg.infer.formats import FORMATS, JoinedFormat, choose_formats, needed_probabilities
from autoseg.infer.mask_files import large_files
from autoseg.infer.record import Journal, RunRecord
from autoseg.infer.segmentation import Segmentation
from autoseg.infer.target import Target, add_missing
from autoseg.infer.window import num_tiles
from autoseg.infer.writing import Writer, num_bytes
from autoseg.io.cases import read_case
from autoseg.io.parallel import map_cases
from autoseg.plan import Plan
from autoseg.preprocess.prepared import Prepared

Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)


class Team(Protocol):
    """Several models, or one with rules of its own, that prepare and predict a case together (`select.team`)."""

    def prepare(self, loaded: LoadedCase) -> tuple[tuple[Prepared, ...], ...]:
        """A case as each member sees it."""

    def segment(self, prepared: Sequence[tuple[Prepared, ...]], *, probabilities: Kept = False) -> Segmentation:
        """Predict what `prepare` prepared."""


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
    formats : tuple of str, optional
        Names in FORMATS; None: `infer.formats.choose_formats` says which.
    part : (int, int), optional
        Only this part of the cases, from 1, of how many: all parts may run at the same time.
    team : Team, optional
        Predicts instead of `model`, whose plan and labels it shares.
    calibration : Calibration, optional
        Of the expected Dice, which then goes into confidence.csv; `model` must weigh.
    processes : int
        That may write files, where that pays (`infer.writing`); 0: this one alone.
    """

    model: Model
    plan: Plan
    stage: str
    dataset: Dataset
    out: Path
    record: RunRecord
    overwrite: bool = False
    formats: tuple[str, ...] | None = None
    part: tuple[int, int] | None = None
    team: Team | None = None
    calibration: Calibration | None = None
    processes: int = 0

    def prepare(self, loaded: LoadedCase) -> tuple[tuple[Prepared, ...], ...]:
        """A case as each model sees it."""
        return (prepare_stages(self.model, loaded, self.plan, self.stage),) if self.team is None else self.team.prepare(loaded)

    def segment_all(self, cases: Sequence[Sequence[tuple[Prepared, ...]]], *, probabilities: Kept) -> Iterator[Segmentation]:
        """Predict what `prepare` prepared of some cases, in order."""
        if self.team is None:
            room = partial(large_files, self.out)
            return segment_cases(self.model, [prepared[0] for prepared in cases], probabilities=probabilities, room=room)
        team = self.team
        return (team.segment(prepared, probabilities=probabilities) for prepared in cases)

    @property
    def target(self) -> Target:
        """What is written, and where; UsageError if a format cannot hold it."""
        labels, num_axes = self.plan.labels, self.plan.num_axes
        formats = choose_formats(self.formats, labels, num_axes, submits=self.dataset.submission == "rle-csv")
        return Target(out=self.out, labels=labels, num_axes=num_axes, formats=formats, calibration=self.calibration)


@dataclass(kw_only=True)
class Outcome:
    """What became of the cases.

    Parameters
    ----------
    done, skipped : list of str
        Names of the cases that were predicted, and of those that were finished before.
    added : list of str
        Those that were predicted before and got formats that were missing.
    failures : dict of str -> str
        Case -> why it could not be predicted.
    joined : dict of str -> int
        File of all images (submission.csv) -> the images in it.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    joined: dict[str, int] = field(default_factory=dict)

    @property
    def num_finished(self) -> int:
        """Cases that are predicted."""
        return len(self.done) + len(self.skipped) + len(self.added)


def choose_part(cases: Sequence[Case], part: tuple[int, int] | None) -> list[Case]:
    """Every n-th case in the order of their names, from the part's own place on; all of them without a part."""
    if part is None:
        return list(cases)
    return sorted(cases, key=lambda case: case.name)[part[0] - 1 :: part[1]]


def predict_cases(job: Job, cases: Sequence[Case], progress: Progress | None = None) -> Outcome:
    """Predict every case of the part that is not finished. One that fails is set aside with its reason, and the others go on.

    Parameters
    ----------
    job : Job
    cases : sequence of Case
        Of all parts.
    progress : callable(done, total), optional
        Called after each case, skipped ones included.

    Raises
    ------
    UsageError
        If a format cannot hold the plan's predictions.
    RunError
        If another process predicts into the folder.
    """
    with claimed(job.out, job.part):
        return _predict_claimed(job, cases, progress)


def _predict_claimed(job: Job, cases: Sequence[Case], progress: Progress | None) -> Outcome:
    target = job.target
    journal = Journal(job.out, job.record, job.part)
    outcome = Outcome()
    chosen = choose_part(cases, job.part)
    pending: list[Case] = []
    lacking: list[tuple[Case, list[str]]] = []

    def tell() -> None:
        if progress is not None:
            progress(outcome.num_finished + len(outcome.failures), len(chosen))

    for case in chosen:
        if job.overwrite or not journal.has(case):
            pending.append(case)
        elif missing := target.missing(case):
            lacking.append((case, missing))
        else:
            outcome.skipped.append(case.name)
    for (case, _), is_made in zip(lacking, _made_of_masks(job, target, lacking), strict=True):
        if is_made:
            outcome.added.append(case.name)
            tell()
        else:
            pending.append(case)
    try:
        for case, error in _work(job, target, journal, pending):
            if error is not None:
                outcome.failures[case.name] = _reason(case, error)
                target.remove(case)  # an earlier model's
            else:
                journal.add(case)
                outcome.done.append(case.name)
            tell()
    finally:
        journal.write()
    # Small images that are written side by side end in any order.
    places = {case.name: k for k, case in enumerate(chosen)}
    outcome.done.sort(key=places.__getitem__)
    for kind in FORMATS.values():
        if isinstance(kind, JoinedFormat) and kind in map(FORMATS.get, target.formats):
            _join(target, kind, cases, outcome)
        elif isinstance(kind, JoinedFormat) and outcome.done:
            # Written by an earlier run with another --format: not all of it is true any more.
            (job.out / kind.joined).unlink(missing_ok=True)
    join_expected(job.out, cases)
    return outcome


def _made_of_masks(job: Job, target: Target, lacking: Sequence[tuple[Case, list[str]]]) -> Iterator[bool]:
    """For each case with the formats that it lacks: True once they are made from what is there, False if it must be predicted."""
    done = 0
    try:
        for is_made in map_cases(partial(add_missing, target), lacking, workers=max(1, job.processes)):
            done += 1
            yield is_made
    except RunError as error:  # a process died of one
        log.warning("%s", error)
        yield from [False] * (len(lacking) - done)


def _join(target: Target, kind: JoinedFormat, cases: Sequence[Case], outcome: Outcome) -> None:
    """Write a file of all images from the pieces of those that are finished; again if another part added its own meanwhile."""
    path, labels = target.out / kind.joined, target.labels
    places = [(case, kind.place(target.out, case, labels, target.num_axes)) for case in sorted(cases, key=lambda case: case.name)]
    # Of no image none is made, which would pass for a result; one of earlier images is emptied.
    joined: list[tuple[Case, Path]] | None = None if path.exists() else []
    while (found := [(case, piece) for case, piece in places if piece.is_file()]) != joined:
        joined = found
        try:
            kind.join(path, joined, labels)
        except ValueError as error:  # two images of one name: what is written per image is there all the same
            outcome.failures[kind.joined] = str(error)
            return
    if joined:
        outcome.joined[kind.joined] = len(joined)


def _work(job: Job, target: Target, journal: Journal, cases: Sequence[Case]) -> Iterator[tuple[Case, Exception | None]]:
    """Each case once it is written, or with what went wrong."""
    probabilities = needed_probabilities(target.formats)
    # Stored probabilities are a byte a pixel and class: one case at a time.
    processes = 0 if probabilities else job.processes
    threads = 1 if probabilities else max(WRITERS, processes)
    writer = Writer(target, len(cases), processes=processes, threads=threads, on_gpu=job.model.window.device.type == "cuda")

    def write(case: Case, segmentation: Segmentation) -> None:
        is_known = journal.has(case)
        journal.forget(case)
        writer.write(case, segmentation, is_known=is_known)

    steps = Steps(
        read=partial(_read, job),
        num_tiles=lambda prepared: num_tiles(prepared[0][-1].image.shape[1:], job.model.window),
        predict=partial(job.segment_all, probabilities=probabilities),
        write=write,
        num_bytes=lambda prepared: sum(one.image.nbytes for stages in prepared for one in stages),
        result_bytes=num_bytes,
    )
    with closing(writer), closing(flow(cases, steps, batch=job.model.window.batch, writers=threads)) as done:
        for case, error in done:
            if error is not None:
                journal.forget(case)
            yield case, error


def _read(job: Job, case: Case) -> tuple[tuple[Prepared, ...], ...]:
    unlabelled = replace(case, truth=None)  # test images may have labels, which say nothing here and cost as much as the image
    loaded = read_case(job.dataset, unlabelled, num_channels=len(job.plan.normalization), by_region=True)
    prepared, geometry = job.prepare(loaded), loaded.geometry
    del loaded
    tidy_after(geometry)
    return prepared


def _reason(case: Case, error: Exception) -> str:
    log.debug("case %s failed", case.name, exc_info=error)
    if isinstance(error, AutosegError):
        return str(error)
    return f"{', '.join(map(str, case.images))}: {type(error).__name__}: {error}"
