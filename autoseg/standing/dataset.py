"""Everything about a data set in a workspace: what is planned, prepared, trained, chosen and predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.case import Dataset
from autoseg.errors import AutosegError, FileFormatError
from autoseg.evaluate.predictions import some_of
from autoseg.infer.fold_cases import cases_digest
from autoseg.infer.record import RunRecord, record_files
from autoseg.io.json_files import load_json, read_plain_json
from autoseg.io.layouts import read_dataset
from autoseg.io.locks import holder
from autoseg.io.names import unescape_name
from autoseg.io.plan_fit import misfits
from autoseg.io.processes import Process
from autoseg.plan import Plan, contradictions
from autoseg.preprocess.store import META, plan_key
from autoseg.select.reasons import NOT_ASKED, UNFINISHED
from autoseg.standing.fold import FoldStanding
from autoseg.standing.run import RunStanding, run_standing
from autoseg.workspace import LOCK, Workspace, run_folders


@dataclass(frozen=True, kw_only=True)
class PlanStanding:
    """A plan, how many cases of the folds are prepared for each of its configurations, and in what it is for other data than there are."""

    plan: Plan
    prepared: dict[str, int]
    misfits: tuple[str, ...] = ()


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
        Files that could not be read, and why; a line or several.
    shipped : tuple of str
        Names of the plans that come with autoseg.
    broken : tuple of Path
        Plans among the files that could not be read.
    changed : str
        Which labelled cases are new, or gone, since the data set was measured; empty if none, or they were not looked at.
    unjudged : tuple of str
        Runs whose folds are all done, that the selection does not know; empty without a selection.
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
    broken: tuple[Path, ...] = ()
    changed: str = ""
    unjudged: tuple[str, ...] = ()

    @property
    def running(self) -> tuple[FoldStanding, ...]:
        """Folds in training right now."""
        return tuple(fold for run in self.runs for fold in run.in_state("running"))


def look(place: Workspace, name: str, folder: Path, shipped: tuple[str, ...] = (), *, raw: bool = True) -> Standing:
    """Read where the data set `name` stands, whose raw data lie in `folder` or no longer do; nothing is changed.

    Without `raw` these are not looked at, which takes a while where they are many, and their cases are not counted.
    """
    notes: list[str] = []
    dataset = _raw(folder, name, notes) if raw else None
    folds = _folds(place.splits_file(name), notes)
    measured = _measured(place.fingerprint_file(name))
    cases: set[str] = set().union(*folds)
    dealt = _dealt(place.splits_file(name))
    runs = tuple(run_standing(run, len(folds), dealt) for run in run_folders(place.results(name)))
    plans, broken = _plans(place, name, cases, dataset, notes)
    return Standing(
        place=place,
        name=name,
        folder=folder,
        num_labelled=None if dataset is None else len(dataset.train),
        num_test=None if dataset is None else len(dataset.test),
        is_measured=place.fingerprint_file(name).is_file(),
        num_cases=len(cases),
        num_folds=len(folds),
        preparer=holder(place.preprocessed(name) / LOCK),
        plans=plans,
        runs=runs,
        predictions=tuple(_predictions(place.predictions(name), notes)),
        is_selected=place.selection_file(name).is_file(),
        is_reported=place.report_file(name).is_file(),
        notes=tuple(notes),
        shipped=shipped,
        broken=broken,
        changed=_changed({case.name for case in dataset.train}, measured) if dataset is not None and measured else "",
        unjudged=tuple(_unjudged(place.selection_file(name), runs)),
    )


def _unjudged(selection: Path, runs: Sequence[RunStanding]) -> Iterator[str]:
    try:
        content = read_plain_json(selection)
        known = {member["run"] for member in content["members"]}
        # What was left out for another reason would be so again, unless it was trained since.
        left_out = {name: why for name, why in content["left_out"].items() if UNFINISHED not in why}
        made_at = selection.stat().st_mtime
    except (AttributeError, FileFormatError, KeyError, OSError, TypeError):
        return  # there is none, or predict will say what is wrong with it
    for run in runs:
        if not run.is_validated or not run.folds or NOT_ASKED in left_out.get(run.name, ""):
            continue
        is_known = run.name in known or run.name in left_out
        if not is_known or any(fold.trained_at > made_at for fold in run.folds):
            yield run.name


def _raw(folder: Path, name: str, notes: list[str]) -> Dataset | None:
    try:
        return read_dataset(folder, name)
    except (AutosegError, OSError) as error:
        notes.append(str(error))
        return None


def _changed(now: set[str], measured: set[str]) -> str:
    """Which labelled cases are new or gone."""
    new, gone = sorted(now - measured), sorted(measured - now)
    parts = [f"new: {some_of(new)}"] * bool(new) + [f"no longer there: {some_of(gone)}"] * bool(gone)
    return "; ".join(parts)


def _measured(file: Path) -> set[str]:
    """The labelled cases that there were when the data set was measured; none if that cannot be read, and is measured again."""
    try:
        return {case["name"] for case in read_plain_json(file)["cases"]}
    except (FileFormatError, KeyError, TypeError):
        return set()


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


def _dealt(file: Path) -> dict[str, str]:
    """What each fold is told by."""
    try:
        return {str(k): cases_digest(fold["train"], fold["val"]) for k, fold in enumerate(read_plain_json(file)["folds"])}
    except (FileFormatError, AttributeError, KeyError, TypeError):
        return {}  # _folds says what is wrong with it


def _plans(
    place: Workspace, name: str, cases: set[str], dataset: Dataset | None, notes: list[str]
) -> tuple[tuple[PlanStanding, ...], tuple[Path, ...]]:
    """The plans, and the files of those that cannot be read."""
    found, broken = [], []
    for file in place.plan_files(name):
        try:
            # A copied file is a plan of its own, whatever name it holds.
            plan = replace(_sound_plan(file), name=file.stem)
        except FileFormatError as error:
            notes.append(str(error))
            broken.append(file)
            continue
        keys = {config: plan_key(plan, stage) for config, stage in plan.stages.items()}
        counts = {key: _count_cases(place.store_folder(name, key), cases) for key in set(keys.values())}
        prepared = {config: counts[key] for config, key in keys.items()}
        found.append(PlanStanding(plan=plan, prepared=prepared, misfits=_misfits(plan, dataset)))
    return tuple(found), tuple(broken)


def _sound_plan(file: Path) -> Plan:
    plan = load_json(file, Plan)
    if problems := contradictions(plan):
        raise FileFormatError("\n  ".join((f"{file} was edited wrongly:", *problems)))
    return plan


def _misfits(plan: Plan, dataset: Dataset | None) -> tuple[str, ...]:
    """As far as is known without reading images."""
    if dataset is None:
        return ()
    return tuple(misfits(plan, classes=dataset.classes, num_channels=len(dataset.channels) or None))


def _count_cases(store: Path, cases: set[str]) -> int:
    """Of these, the cases that are prepared."""
    return sum(unescape_name(meta.parent.name) in cases for meta in store.glob(f"*/{META}") if not meta.parent.name.startswith("."))


def _predictions(root: Path, notes: list[str]) -> Iterator[PredictionStanding]:
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        done: set[str] = set()
        for file in record_files(folder):
            try:
                done |= load_json(file, RunRecord).done.keys()
            except FileFormatError as error:
                notes.append(str(error))
        running = any(holder(lock) is not None for lock in folder.glob(".predict*.lock"))
        if done or running:
            yield PredictionStanding(folder=folder, num_done=len(done), is_running=running)
