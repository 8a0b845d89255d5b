"""Everything about a data set in a workspace: what is planned, prepared, trained, chosen and predicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.errors import AutosegError, FileFormatError
from autoseg.infer.record import RunRecord, record_files
from autoseg.io.json_files import load_json, read_plain_json
from autoseg.io.layouts import read_dataset
from autoseg.io.locks import holder
from autoseg.io.processes import Process
from autoseg.plan import Plan
from autoseg.preprocess.store import META, plan_key
from autoseg.standing.fold import FoldStanding, fold_standing
from autoseg.workspace import LOCK, Workspace, fold_folders, run_folders


@dataclass(frozen=True, kw_only=True)
class PlanStanding:
    """A plan and how many cases are prepared for each of its configurations."""

    plan: Plan
    prepared: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class RunStanding:
    """The folds of PLAN/CONFIG-TRAINER: all that there should be, begun or not, and those that are there besides."""

    plan: str
    config: str
    trainer: str
    folds: tuple[FoldStanding, ...]

    @property
    def name(self) -> str:
        """PLAN/CONFIG-TRAINER"""
        return f"{self.plan}/{self.config}-{self.trainer}"

    def in_state(self, *states: str) -> tuple[FoldStanding, ...]:
        """The folds in one of these states."""
        return tuple(fold for fold in self.folds if fold.state in states)

    @property
    def is_complete(self) -> bool:
        """True if every numbered fold is done, or the one that trains on all cases."""
        numbered = [fold for fold in self.folds if fold.name != "all"]
        alone = any(fold.name == "all" and fold.state == "done" for fold in self.folds)
        return self.is_validated or (alone and all(fold.state == "not begun" for fold in numbered))

    @property
    def is_validated(self) -> bool:
        """True if every numbered fold is done: there is a held-out prediction of every case."""
        return all(fold.state == "done" for fold in self.folds if fold.name != "all")


@dataclass(frozen=True, kw_only=True)
class PredictionStanding:
    """A folder of results/NAME/predictions."""

    folder: Path
    num_done: int
    is_running: bool


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a data set stands.

    Parameters
    ----------
    place : Workspace
    name : str
    folder : Path
        The raw data; may be gone.
    num_labelled, num_test : int or None
        Raw cases; None if the data cannot be read, or were not.
    is_measured : bool
    num_cases : int
        Cases in the folds.
    num_folds : int
        0 without folds.
    preparer : Process or None
        That plans, prepares or cleans right now.
    plans, runs, predictions
        In the order of their names.
    is_selected, is_reported : bool
        `autoseg select` has chosen; there is a report.
    notes : tuple of str
        Files that could not be read, and why.
    shipped : tuple of str
        Names of the plans that come with autoseg.
    """

    place: Workspace
    name: str
    folder: Path
    num_labelled: int | None
    num_test: int | None
    is_measured: bool
    num_cases: int
    num_folds: int
    preparer: Process | None
    plans: tuple[PlanStanding, ...]
    runs: tuple[RunStanding, ...]
    predictions: tuple[PredictionStanding, ...]
    is_selected: bool
    is_reported: bool
    notes: tuple[str, ...]
    shipped: tuple[str, ...] = ()

    @property
    def running(self) -> tuple[FoldStanding, ...]:
        """Folds in training right now."""
        return tuple(fold for run in self.runs for fold in run.in_state("running"))


def look(place: Workspace, name: str, folder: Path, shipped: tuple[str, ...] = (), *, raw: bool = True) -> Standing:
    """Read where the data set `name` stands, whose raw data lie in `folder` or no longer do; nothing is changed.

    Without `raw` these are not looked at, which takes a while where they are many, and their cases are not counted.
    """
    notes: list[str] = []
    labelled = test = None
    try:
        if raw:
            dataset = read_dataset(folder, name)
            labelled, test = len(dataset.train), len(dataset.test)
    except (AutosegError, OSError) as error:
        notes.append(str(error).splitlines()[0])
    folds = _folds(place.splits_file(name), notes)
    return Standing(
        place=place,
        name=name,
        folder=folder,
        num_labelled=labelled,
        num_test=test,
        is_measured=place.fingerprint_file(name).is_file(),
        num_cases=len({case for fold in folds for case in fold}),
        num_folds=len(folds),
        preparer=holder(place.preprocessed(name) / LOCK),
        plans=tuple(_plans(place, name, notes)),
        runs=tuple(_runs(place, name, len(folds))),
        predictions=tuple(_predictions(place.predictions(name), notes)),
        is_selected=place.selection_file(name).is_file(),
        is_reported=place.report_file(name).is_file(),
        notes=tuple(notes),
        shipped=shipped,
    )


def _folds(file: Path, notes: list[str]) -> list[set[str]]:
    """The validation cases of each fold."""
    if not file.is_file():
        return []
    try:
        return [set(fold["val"]) for fold in read_plain_json(file)["folds"]]
    except FileFormatError as error:
        notes.append(str(error))
    except (KeyError, TypeError):
        notes.append(f"{file} holds no folds")
    return []


def _plans(place: Workspace, name: str, notes: list[str]) -> Iterator[PlanStanding]:
    for file in place.plan_files(name):
        try:
            # A copied file is a plan of its own, whatever name it holds.
            plan = replace(load_json(file, Plan), name=file.stem)
        except FileFormatError as error:
            notes.append(str(error).splitlines()[0])
            continue
        keys = {config: plan_key(plan, stage) for config, stage in plan.stages.items()}
        counts = {key: _count_cases(place.store_folder(name, key)) for key in set(keys.values())}
        yield PlanStanding(plan=plan, prepared={config: counts[key] for config, key in keys.items()})


def _count_cases(store: Path) -> int:
    return sum(not meta.parent.name.startswith(".") for meta in store.glob(f"*/{META}"))


def _runs(place: Workspace, name: str, num_folds: int) -> Iterator[RunStanding]:
    for run in run_folders(place.results(name)):
        there = {path.name: fold_standing(path) for path in fold_folders(run)}
        absent = {f"fold{k}": FoldStanding(name=str(k), state="not begun") for k in range(num_folds)}
        config, _, trainer = run.name.partition("-")
        folds = tuple(standing for _, standing in sorted((absent | there).items()))
        yield RunStanding(plan=run.parent.name, config=config, trainer=trainer, folds=folds)


def _predictions(root: Path, notes: list[str]) -> Iterator[PredictionStanding]:
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        done: set[str] = set()
        for file in record_files(folder):
            try:
                done |= load_json(file, RunRecord).done.keys()
            except FileFormatError as error:
                notes.append(str(error).splitlines()[0])
        running = any(holder(lock) is not None for lock in folder.glob(".predict*.lock"))
        if done or running:
            yield PredictionStanding(folder=folder, num_done=len(done), is_running=running)
