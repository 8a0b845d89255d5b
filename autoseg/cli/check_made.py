"""What was made from a data set in its workspace: plans, folds and nets that can be read and belong to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.cli.options import AGAIN, load_plan
from autoseg.cli.progress import count
from autoseg.errors import FileFormatError
from autoseg.workspace import fold_folders, run_folders

if TYPE_CHECKING:
    from autoseg.case import Dataset
    from autoseg.workspace import Workspace


def made_problems(place: Workspace, raw: Dataset) -> tuple[str, list[str]]:
    """What there is, in words, and what is wrong with it, a sentence each. Nets are read in full and their checksums compared."""
    plans = place.plan_files(raw.name)
    folds = [fold for run in run_folders(place.results(raw.name)) for fold in fold_folders(run)]
    nets = [net for fold in folds for net in sorted(fold.glob("checkpoint_*.safetensors"))]
    splits = place.splits_file(raw.name)
    parts = [count(len(plans), "plan")] * bool(plans) + ["folds"] * splits.is_file() + [count(len(nets), "net")] * bool(nets)
    problems = [problem for plan in plans for problem in _plan_problems(plan, raw)]
    problems += _splits_problems(splits, raw) if splits.is_file() else []
    problems += [problem for net in nets for problem in _net_problems(net)]
    return ", ".join(parts) or "nothing yet", problems


def _plan_problems(file: Path, raw: Dataset) -> Iterator[str]:
    from autoseg.io.plan_fit import misfits

    try:
        plan = load_plan(file)
    except FileFormatError as error:
        yield str(error)
        return
    for problem in misfits(plan, classes=raw.classes):
        yield f"{file}: is for other data than {raw.name} holds: {problem}; delete it to plan anew"


def _splits_problems(file: Path, raw: Dataset) -> Iterator[str]:
    from autoseg.io.json_files import load_json
    from autoseg.planners.folds import Splits

    try:
        splits = load_json(file, Splits, hint=AGAIN)
    except FileFormatError as error:
        yield str(error)
        return
    names = {case.name for case in raw.train}
    named = {name for fold in splits.folds for name in (*fold.train, *fold.val)}
    if unknown := sorted(named - names):
        yield f"{file}: its folds name cases that {raw.name} does not hold: {', '.join(unknown)}; run plan_and_preprocess again"
    if left := sorted(names - named):
        yield f"{file}: no fold names {', '.join(left)}; run plan_and_preprocess again"


def _net_problems(file: Path) -> Iterator[str]:
    from autoseg.checkpoint import load_checkpoint

    try:
        load_checkpoint(file)
    except FileFormatError as error:
        yield str(error)
