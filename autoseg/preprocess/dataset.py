"""Preparing a data set: what is missing is made, what is there and unchanged is left alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autoseg.case import Case, Dataset
from autoseg.errors import DataError
from autoseg.fingerprint.measure_case import files_of, identity_of_files
from autoseg.io.cases import read_case
from autoseg.io.parallel import Progress, map_cases
from autoseg.plan import Plan, Stage
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.readers import remaking
from autoseg.preprocess.store import PreparedStore, case_key

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a worker needs to prepare a case."""

    dataset: Dataset
    plan: Plan
    stage: Stage
    folder: Path


def prepare_dataset(
    dataset: Dataset, plan: Plan, *, stage: Stage, store: PreparedStore, workers: int = 1, progress: Progress | None = None
) -> int:
    """Prepare every labelled case that the store does not hold; returns how many were made.

    Parameters
    ----------
    dataset, plan, stage
    store : PreparedStore
    workers : int
        Most processes to use.
    progress : callable(done, total), optional
        Counts the missing cases only.

    Raises
    ------
    DataError
        With the problems of all cases that cannot be read; the others are prepared.
    RunError
        If cases would be replaced that a training reads; names it.
    """
    store.remove_leftovers()
    missing = missing_cases(dataset, plan, stage=stage, store=store)
    if not missing:
        return 0
    # Workers need the declaration, not the list of all cases.
    work = Work(dataset=replace(dataset, train=(), test=()), plan=plan, stage=stage, folder=store.folder)
    problems: list[str] = []
    # Cases that are only added disturb nobody.
    replaces = any(store.case_folder(case.name).is_dir() for case in missing)
    with remaking(store.folder) if replaces else nullcontext():
        for found in map_cases(partial(prepare_case, work), missing, workers=workers, progress=progress):
            problems += found
    if problems:
        raise DataError(problems)
    log.info("%d cases prepared in %s, %d were there", len(missing), store.folder, len(dataset.train) - len(missing))
    return len(missing)


def missing_cases(dataset: Dataset, plan: Plan, *, stage: Stage, store: PreparedStore) -> Sequence[Case]:
    """The labelled cases that are absent, damaged, or made from other files or another plan."""
    return [case for case in dataset.train if not store.is_sound(case.name, key_of(case, dataset.root, plan=plan, stage=stage))]


def key_of(case: Case, root: Path, *, plan: Plan, stage: Stage) -> str:
    """The store's key of a case as its files are now."""
    return case_key(identity_of_files(files_of(case), root), plan, stage=stage)


def prepare_case(work: Work, case: Case) -> tuple[str, ...]:
    """Read, prepare and write one case; returns its problems."""
    key = key_of(case, work.dataset.root, plan=work.plan, stage=work.stage)
    try:
        loaded = read_case(work.dataset, case, len(work.plan.normalization))
    except DataError as error:
        return error.problems
    PreparedStore(work.folder).write(prepare(loaded, work.plan, stage=work.stage), key=key)
    return ()
