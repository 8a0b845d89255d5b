"""--from: the checkpoint that a fold's training starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.errors import UsageError
from autoseg.infer.folds import find_runs
from autoseg.infer.record import checksum
from autoseg.plan import Plan, Stage
from autoseg.step import Learner
from autoseg.trainers.transfer import Side, Transfer, transfer
from autoseg.workspace import CHECKPOINT

ADVICE = f"--from takes a {CHECKPOINT} of autoseg, or the folder of a fold or of results."


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a fold's training started from; in run.json.

    Parameters
    ----------
    path : str
        As found; the file may have been moved since.
    checksum : str
        SHA-256 of the file.
    kept, adapted, anew : tuple of str
        Tensors, see `transfer.Transfer`; empty until the training begins.
    notes : tuple of str
        The same in words.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    path: str
    checksum: str
    kept: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_source(given: Path, fold: str) -> Source:
    """The checkpoint that is meant for a fold: the file; the one of a fold's folder; in results the one of the same fold, or the only one.

    Raises
    ------
    UsageError
        If there is none, or several and none of this fold.
    """
    if given.is_dir() and not (given / CHECKPOINT).is_file():
        file = _in_results(given, fold)
    else:
        file = given / CHECKPOINT if given.is_dir() else given
    if not file.is_file():
        raise UsageError(f"--from {given}: there is no such file or folder. {ADVICE}")
    return Source(path=str(file), checksum=checksum(file))


def _in_results(folder: Path, fold: str) -> Path:
    finished = find_runs(folder)
    if not finished:
        raise UsageError(f"--from {folder}: it holds no finished fold. {ADVICE}")
    if len(finished) > 1:
        names = ", ".join(str(run.relative_to(folder)) for run in finished)
        raise UsageError(f"--from {folder}: it holds several trained runs; name one of {names}.")
    ((run, folds),) = finished.items()
    if fold not in folds and len(folds) > 1:
        names = ", ".join(path.name for path in folds.values())
        raise UsageError(f"--from {folder}: fold {fold} is not finished in {run.name}; name one of its folders: {names}.")
    return folds.get(fold, next(iter(folds.values()))) / CHECKPOINT


def start_from(source: Source, learner: Learner, plan: Plan, stage: Stage) -> tuple[Checkpoint, Transfer]:
    """Give a fresh learner what a checkpoint has for it; the optimizer starts anew.

    Raises
    ------
    FileFormatError
        If the file is damaged or no checkpoint; nothing in it is executed.
    UsageError
        If the net has another number of axes, or nothing of it fits.
    """
    checkpoint = load_checkpoint(Path(source.path), advice=ADVICE)
    axes = checkpoint.settings.network.num_axes
    if axes != stage.network.num_axes:
        raise UsageError(
            f"--from {source.path}: it is a {axes}D net ({checkpoint.stage}), and {stage.name} is {stage.network.num_axes}D. "
            f"Name a checkpoint of a {stage.network.num_axes}D configuration, or train one that is {axes}D."
        )
    if others := {checkpoint.settings.network.kind, stage.network.kind} - {"unet"}:
        raise UsageError(
            f"--from {source.path}: weights are taken over between U-Nets alone, and one of the two is {min(others)}. Leave it out."
        )
    fresh = dict(learner.net.state_dict())
    result = transfer(
        Side(plan=checkpoint.plan, stage=checkpoint.settings, weights=checkpoint.weights), Side(plan=plan, stage=stage, weights=fresh)
    )
    if not result.kept and not result.adapted:
        raise UsageError(
            f"--from {source.path}: nothing of it fits, features are {checkpoint.settings.network.features} there and "
            f"{stage.network.features} here. Plan this net alike (plan_and_preprocess --set), or leave --from out."
        )
    learner.net.load_state_dict(result.weights)
    if learner.average is not None:
        learner.average.restore(result.weights, 0)
    return checkpoint, result
