"""Options that several commands share, and what they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autoseg.cli import complete
from autoseg.errors import UsageError
from autoseg.io.names import escape_name
from autoseg.workspace import PREDICTIONS, Workspace

if TYPE_CHECKING:
    from autoseg.case import Dataset
    from autoseg.plan import Plan

#: What to do about a plan or splits that cannot be used.
AGAIN = "Mend it, or delete it and run plan_and_preprocess again."

F = TypeVar("F", bound=Callable[..., Any])


def positive(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """A click callback: UsageError unless the number is above 0 and finite."""
    name = max(parameter.opts, key=len)
    if value is not None and value <= 0:
        raise UsageError(f"{name} must be positive, got {value:g}")
    if value is not None and not math.isfinite(value):
        raise UsageError(f"{name} must be a finite number, got {value}")
    return value


def plan_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A click callback: UsageError unless a file and a folder of results may have the name."""
    if escape_name(value) != value or not value or value == PREDICTIONS:
        option = max(parameter.opts, key=len)
        raise UsageError(f"{option} {value}: a plan's name becomes a file name: no slashes, no dot in front, and not {PREDICTIONS}.")
    return value


def workspace_option(function: F) -> F:
    """-w, --workspace"""
    return click.option(
        "-w",
        "--workspace",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        default=Path("."),
        envvar="AUTOSEG_WORKSPACE",
        help="Folder with raw/, preprocessed/ and results/.  [default: the current folder, or $AUTOSEG_WORKSPACE]",
    )(function)


def dataset_option(function: F) -> F:
    """-d, --dataset"""
    return click.option(
        "-d",
        "--dataset",
        metavar="NAME",
        shell_complete=complete.datasets,
        help="A data set in raw/, or a path.  [default: the only one, else the one planned last]",
    )(function)


def plan_option(function: F) -> F:
    """--plan"""
    return click.option(
        "--plan",
        "plan_name",
        metavar="NAME",
        default="default",
        show_default=True,
        callback=plan_name,
        shell_complete=complete.plans,
        help="Name of the plan.",
    )(function)


def choose_dataset(workspace: Path, given: str | None, *, results_suffice: bool = False) -> tuple[Workspace, Path]:
    """The workspace and the data set's folder; the first line of output says which.

    Parameters
    ----------
    workspace : Path
    given : str or None
        -d as typed.
    results_suffice : bool
        A name is also known if results/NAME exists: trained nets predict on a machine without the data they were trained on.
    """
    place, folder, sentence = find_dataset(workspace, given, results_suffice=results_suffice)
    click.echo(sentence)
    return place, folder


def find_dataset(workspace: Path, given: str | None, *, results_suffice: bool = False) -> tuple[Workspace, Path, str]:
    """As `choose_dataset`, and the sentence that says which, not printed."""
    place = Workspace(root=workspace)
    is_name = given is not None and given not in ("", ".", "..") and Path(given).name == given
    if results_suffice and given is not None and is_name and given not in place.raw_names() and place.results(given).is_dir():
        return place, place.raw / given, f"Data set {given} (its results; the data themselves are not here)"
    folder, sentence = place.resolve(given)
    return place, folder, f"{sentence[0].upper()}{sentence[1:]}"


def read_raw(place: Workspace, folder: Path, *, keep: bool = True) -> Dataset:
    """The raw data set in a folder, its patients named by hashes with the workspace's salt.

    Parameters
    ----------
    place : Workspace
    folder : Path
    keep : bool
        Make the salt if there is none; False where a command writes nothing.

    Raises
    ------
    UsageError, DataError, FileFormatError
        As `read_dataset`.
    """
    from autoseg.io.layouts import read_dataset
    from autoseg.io.pseudonyms import Salt

    return read_dataset(folder, salt=Salt(place.salt_file, keep=keep))


def load_plan(file: Path) -> Plan:
    """A plan that a person may have edited.

    Raises
    ------
    FileFormatError
        Naming the file and what is wrong with it.
    """
    from dataclasses import replace

    from autoseg.errors import FileFormatError
    from autoseg.io.json_files import load_json, read_plain_json
    from autoseg.plan import PLAN_VERSION, Plan, contradictions

    try:
        content = read_plain_json(file)
    except FileFormatError as error:
        raise FileFormatError(f"{error}. {AGAIN}") from None
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > PLAN_VERSION:
        # Asked before the rest is checked: a newer file may well hold keys that are not known here.
        raise FileFormatError(f"{file} is of version {version}, newer than this autoseg (version {PLAN_VERSION}); update autoseg.")
    if isinstance(version, int) and version < PLAN_VERSION:
        raise FileFormatError(
            f"{file} was made by an earlier autoseg (version {version}; this one writes {PLAN_VERSION}). Delete it or move it away, and "
            "run plan_and_preprocess again."
        )
    plan = load_json(file, Plan, hint=AGAIN)
    if problems := contradictions(plan) or _beyond_limits(plan):
        listing = "\n".join(f"  {problem}" for problem in problems)
        raise FileFormatError(f"{file} was edited wrongly:\n{listing}\n{AGAIN}")
    # A copied file is a plan of its own: its results lie under the name that the person gave it.
    return plan if plan.name == file.stem else replace(plan, name=file.stem)


def _beyond_limits(plan: Plan) -> list[str]:
    """Numbers that --set would refuse."""
    from autoseg.planners.limits import beyond_limits

    stages = plan.stages.items()
    return [f"stages.{key}: {path} {why}" for key, stage in stages for path, why in beyond_limits(stage, plan.budget, plan.labels)]


def free_name(file: Path) -> Path:
    """The file's name, or with a number behind it the first that is not taken: what a person wrote is not overwritten."""
    name, number = file, 2
    while name.exists():
        name = file.with_name(f"{file.stem}_{number}{file.suffix}")
        number += 1
    return name


def parse_folds(texts: tuple[str, ...], known: int) -> tuple[str, ...]:
    """Folds as typed: fold0..4, fold0,2, 0, all, several of them.

    Raises
    ------
    UsageError
        If one is not understood, or the splits have no such fold.

    Examples
    --------
    >>> parse_folds(("fold0..2", "4"), 5), parse_folds(("fold0,2",), 5), parse_folds(("all",), 5)
    (('0', '1', '2', '4'), ('0', '2'), ('all',))
    """
    folds: list[str] = []
    for text in texts:
        for part in text.split(","):
            folds += _parse_part(part.strip(), text)
    beyond = [fold for fold in folds if fold != "all" and int(fold) >= known]
    if beyond:
        raise UsageError(f"there is no fold{beyond[0]}: the data set is split into {known} folds, fold0..{known - 1}.")
    return tuple(dict.fromkeys(folds))


def _parse_part(part: str, text: str) -> list[str]:
    if part in ("all", "fold_all"):
        return ["all"]
    match = re.fullmatch(r"(?:fold)?(\d+)(?:\.\.(?:fold)?(\d+))?", part)
    if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
        raise UsageError(f"{text or 'an empty text'} names no folds; say fold0..4, fold0,2, 0 or all.")
    return [str(k) for k in range(int(match[1]), int(match[2] or match[1]) + 1)]
