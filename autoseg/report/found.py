"""What there is to report: the files of a data set in a workspace, read; what is missing or damaged is named and left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from autoseg.case import Dataset
from autoseg.errors import AutosegError
from autoseg.evaluate.label_files import JSON as LABEL_CHECK
from autoseg.evaluate.label_files import LabelCheck
from autoseg.evaluate.predictions import Prediction, find_predictions
from autoseg.evaluate.summary import Summary, load_summary
from autoseg.fingerprint import Fingerprint
from autoseg.infer.expected import TABLE, read_expected
from autoseg.infer.record import record_files
from autoseg.io.json_files import load_json, read_plain_json
from autoseg.io.layouts import read_dataset
from autoseg.io.pseudonyms import Salt
from autoseg.plan import Plan
from autoseg.select.selection import Selection, load_selection
from autoseg.workspace import METRICS, SUMMARY, VALIDATION, Workspace, fold_folders, fold_of, run_folders

T = TypeVar("T")
#: Class -> Dice, low, high.
Expected = dict[str, tuple[float, float, float]]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A fold of a run, finished or not.

    Parameters
    ----------
    name : str
        "0", or "all".
    folder : Path
    summary : Summary or None
        None until it is finished.
    curve : tuple of dict
        The rows of metrics.jsonl, an epoch each.
    """

    name: str
    folder: Path
    summary: Summary | None
    curve: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The folds of PLAN/CONFIG-TRAINER."""

    name: str
    folds: tuple[Fold, ...]

    @property
    def scored(self) -> tuple[Fold, ...]:
        """Finished folds that left cases out."""
        return tuple(fold for fold in self.folds if fold.summary is not None and fold.name != "all")

    def values(self, metric: str) -> dict[str, list[float]]:
        """Class -> the scores of its held-out cases, where defined."""
        found: dict[str, list[float]] = {}
        for fold in self.scored:
            assert fold.summary is not None
            for scores in fold.summary.cases.values():
                for name, row in scores.items():
                    if (value := row.get(metric)) is not None:
                        found.setdefault(name, []).append(value)
        return found

    @property
    def dice(self) -> float | None:
        """Mean over the classes of their means over all held-out cases."""
        means = [math.fsum(values) / len(values) for values in self.values("dice").values()]
        return math.fsum(means) / len(means) if means else None

    def predictions(self) -> list[Prediction]:
        """The masks of the held-out cases."""
        folders = [(fold.name, fold.folder / VALIDATION) for fold in self.scored]
        return [found for name, folder in folders if folder.is_dir() for found in find_predictions(folder, fold=name)]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The newest folder of predictions.

    Parameters
    ----------
    folder : Path
    others : int
        Older ones beside it.
    files : tuple of Prediction
    expected : dict case -> class -> (Dice, low, high)
        Empty without confidence.csv.
    summary : Summary or None
        What `autoseg evaluate` has written there.
    images : dict case -> tuple of Path
        The files that were predicted, where they still are.
    """

    folder: Path
    others: int
    files: tuple[Prediction, ...]
    expected: dict[str, Expected]
    summary: Summary | None
    images: dict[str, tuple[Path, ...]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that was found; None or empty where there is nothing.

    Parameters
    ----------
    plans : tuple of Plan
        That of the best run first.
    runs : tuple of Run
        The best mean Dice first.
    checks : dict run -> LabelCheck
        What `autoseg check --labels` has written.
    notes : tuple of str
        Files that could not be read, and why.
    """

    name: str
    dataset: Dataset | None
    fingerprint: Fingerprint | None
    splits: dict[str, Any]
    plans: tuple[Plan, ...]
    runs: tuple[Run, ...]
    selection: Selection | None
    predicted: Predicted | None
    checks: dict[str, LabelCheck]
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """From whatever knows them."""
        for source in (self.dataset, self.fingerprint, *(plan.labels for plan in self.plans)):
            if source is not None:
                return source.classes
        return ()


@dataclass(frozen=True)
class _Reader:
    notes: list[str] = field(default_factory=list)

    def read(self, path: Path, function: Callable[[Path], T]) -> T | None:
        """What the function reads; None, and a note, if it cannot."""
        if not path.exists():
            return None
        try:
            return function(path)
        except (AutosegError, OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.notes.append(reason if str(path) in reason else f"{path}: {reason}")
            return None


def find(place: Workspace, name: str, folder: Path) -> Found:
    """Read what there is of the data set `name`, whose raw data lie in `folder` (or no longer do)."""
    reader = _Reader()
    results = place.results(name)
    runs = [_run(reader, path) for path in run_folders(results)]
    runs = sorted((run for run in runs if run.folds), key=lambda run: (-(run.dice if run.dice is not None else -1.0), run.name))
    checks = {run.name: reader.read(results / run.name / LABEL_CHECK, lambda path: load_json(path, LabelCheck)) for run in runs}
    splits = reader.read(place.splits_file(name), read_plain_json)
    # A copied file is a plan of its own, whatever name it holds.
    plans = [(path.stem, reader.read(path, lambda file: load_json(file, Plan))) for path in place.plan_files(name)]
    read_plans = [replace(plan, name=stem) for stem, plan in plans if plan is not None]
    best = runs[0].name if runs else ""
    return Found(
        name=name,
        dataset=reader.read(folder, lambda path: read_dataset(path, name, salt=Salt(place.salt_file, keep=False))),
        fingerprint=reader.read(place.fingerprint_file(name), lambda path: load_json(path, Fingerprint)),
        splits=splits if isinstance(splits, dict) else {},
        plans=tuple(sorted(read_plans, key=lambda plan: (not best.startswith(f"{plan.name}/"), plan.name))),
        runs=tuple(runs),
        selection=reader.read(place.selection_file(name), load_selection),
        predicted=_predicted(reader, place.predictions(name)),
        checks={run: check for run, check in checks.items() if check is not None},
        notes=tuple(reader.notes),
    )


def _run(reader: _Reader, folder: Path) -> Run:
    folds = []
    for path in fold_folders(folder):
        curve = reader.read(path / METRICS, _read_curve) or ()
        summary = reader.read(path / SUMMARY, load_summary)
        if curve or summary is not None:
            folds.append(Fold(name=fold_of(path), folder=path, summary=summary, curve=curve))
    return Run(name=f"{folder.parent.name}/{folder.name}", folds=tuple(folds))


def _read_curve(path: Path) -> tuple[dict[str, Any], ...]:
    """Rows in order; a half-written last line of a fold that trains right now is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return tuple(rows)


def _predicted(reader: _Reader, root: Path) -> Predicted | None:
    records = sorted((path for folder in root.glob("*") for path in record_files(folder)), key=lambda path: path.stat().st_mtime)
    folders = list(dict.fromkeys(path.parent for path in reversed(records)))
    if not folders:
        return None
    newest = folders[0]
    images: dict[str, tuple[Path, ...]] = {}
    for record in (path for path in records if path.parent == newest):
        images |= reader.read(record, _read_images) or {}
    return Predicted(
        folder=newest,
        others=len(folders) - 1,
        files=tuple(reader.read(newest, find_predictions) or ()),
        expected=reader.read(newest / TABLE, read_expected) or {},
        summary=reader.read(newest / SUMMARY, load_summary),
        images=images,
    )


def _read_images(record: Path) -> dict[str, tuple[Path, ...]]:
    """The input files of the cases that a record of `predict` names; those that are gone are left out."""
    content = read_plain_json(record)
    images = content.get("images") if isinstance(content, dict) else None
    named = {case: tuple(map(Path, paths)) for case, paths in images.items()} if isinstance(images, dict) else {}
    return {case: paths for case, paths in named.items() if all(path.exists() for path in paths)}
