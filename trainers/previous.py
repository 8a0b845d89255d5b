"""What the training of a cascade takes from the stage before: its nets' checksums, and the out-of-fold probabilities as channels."""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.checkpoint import load_checkpoint
from autoseg.errors import FileFormatError, UsageError
from autoseg.infer.folds import find_folds
from autoseg.infer.record import checksums
from autoseg.io.json_files import load_json
from autoseg.io.names import escape_name
from autoseg.io.parallel import map_cases
from autoseg.io.probabilities import SUFFIX, read_probabilities
from autoseg.io.processes import this_process
from autoseg.plan import Plan, Stage
from autoseg.preprocess.previous import prepare_previous
from autoseg.preprocess.previous_store import PreviousStore, previous_key
from autoseg.preprocess.readers import reading
from autoseg.preprocess.store import PreparedStore
from autoseg.trainers.run import BEGIN_ANEW, RunFolder, RunRecord
from autoseg.workspace import CHECKPOINT, PROBABILITIES, RUN_RECORD, Workspace

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class PreviousStage:
    """The finished stage before a cascade.

    Parameters
    ----------
    run : Path
        results/NAME/PLAN/CONFIG-TRAINER of the stage before.
    checksums : dict of str -> str
        Each of its folds -> SHA-256 of the fold's checkpoint.
    channels : PreviousStore
        The channels of every case, made by the net that did not train on it.
    """

    run: Path
    checksums: dict[str, str]
    channels: PreviousStore

    @property
    def digest(self) -> str:
        """16 hex digits that stand for all its nets."""
        return hashlib.sha256(repr(sorted(self.checksums.items())).encode()).hexdigest()[:16]

    def behind(self, fold: str) -> str:
        """`Checkpoint.previous` of a fold: what predicts a new image before this fold's net does."""
        return ",".join(self.checksums[name] for name in sorted(self.checksums)) if fold == "all" else self.checksums[fold]


def prepare_previous_stage(
    workspace: Workspace,
    plan: Plan,
    stage: Stage,
    *,
    trainer: str,
    val: Mapping[str, Sequence[str]],
    needed: Collection[str] = (),
    store: PreparedStore,
    workers: int = 1,
    progress: Progress | None = None,
) -> PreviousStage:
    """Prepare the channels of every case that are not there yet.

    Parameters
    ----------
    workspace, plan
    stage : Stage
        A cascade's: its `previous` is not None.
    trainer : str
        Of the cascade; the stage before is that of the same trainer, or the only one there is.
    val : mapping of fold -> names of its validation cases
        All folds of the splits.
    needed : collection of str
        Cases that are trained or validated on; each must stand in one of `val`, or no net has said anything of it out of fold.
    store : PreparedStore
        The stage's own.
    workers : int
        Most processes to use.
    progress : callable(done, total), optional
        Counts the missing cases only.

    Raises
    ------
    UsageError
        If a fold of the stage before is not finished or was trained on other data, or its probabilities of a case are missing; says what
        to run. If the splits validate on some cases in no fold.
    FileFormatError
        If a checkpoint of the stage before is damaged. If a file of probabilities is damaged, or not of this case and these classes.
    """
    assert stage.previous is not None, "a cascade has a stage before"
    if never := sorted(set(needed) - {name for names in val.values() for name in names}):
        more = f" and {len(never) - 1} other cases" if len(never) > 1 else ""
        raise UsageError(
            f"{workspace.splits_file(plan.dataset)}: no fold validates on {never[0]}{more}, so that every net of {stage.previous} that "
            "could say something of them was trained on them. Put each case into the val of one fold, or delete the file and run "
            "plan_and_preprocess again."
        )
    run = find_previous_run(workspace.results(plan.dataset) / plan.name, stage.previous, trainer, num_folds=len(val))
    folders = _finished(run, stage.previous, val, plan.fingerprint)
    files = _out_of_fold(folders, stage.previous, val)
    unprepared = [name for name in files if not store.has(name)]
    if unprepared:
        more = f" and {len(unprepared) - 1} other cases are" if len(unprepared) > 1 else " is"
        raise UsageError(f"{unprepared[0]}{more} not prepared. Run plan_and_preprocess again.")
    for fold, folder in folders.items():
        # Read as a whole: a damaged net would be noticed only when it is to predict, after all of this stage's training.
        load_checkpoint(folder / CHECKPOINT, advice=f"Train it again: {_command(run, stage.previous, [fold])} --restart.")
    sums = checksums({fold: folder / CHECKPOINT for fold, folder in folders.items()})
    channels = PreviousStore(workspace.previous_folder(plan.dataset, previous_key(plan, stage, sums)))
    # Several folds may prepare them side by side, each in a command of its own.
    with reading(store.folder, f"the channels of {stage.previous}, {this_process()}"):
        return PreviousStage(run=run, checksums=sums, channels=_prepared(store, channels, files, plan, workers, progress))


def _prepared(
    store: PreparedStore, channels: PreviousStore, files: Mapping[str, Path], plan: Plan, workers: int, progress: Progress | None
) -> PreviousStore:
    """Make the channels that are missing."""
    channels.remove_leftovers()
    keys = {name: store.made_from(name) for name in files}
    missing = [name for name in files if not channels.has(name, keys[name])]
    work = partial(_prepare, store, channels, files, keys, plan.labels.num_classes)
    for _ in map_cases(work, missing, workers=workers, progress=progress):
        pass
    logger.info("channels of %d cases prepared in %s, %d were there", len(missing), channels.folder, len(files) - len(missing))
    return channels


def find_previous_run(folder: Path, previous: str, trainer: str, *, num_folds: int) -> Path:
    """PLAN/PREVIOUS-TRAINER, else the only PLAN/PREVIOUS-*; UsageError if there is none or more than one."""
    same = folder / f"{previous}-{trainer}"
    if same.is_dir():
        return same
    others = sorted(path for path in folder.glob(f"{previous}-*") if path.is_dir())
    if len(others) == 1:
        return others[0]
    if not others:
        raise UsageError(
            f"this stage is trained on what {previous} says of every case, and {previous} is not trained yet. "
            f"First: autoseg train {previous} fold0..{num_folds - 1}{_options(folder.name, trainer)}."
        )
    names = ", ".join(path.name for path in others)
    known = ", ".join(f"--trainer {path.name.partition('-')[2]}" for path in others)
    raise UsageError(f"{folder} holds several runs of {previous}: {names}, and none of trainer {trainer}. Name one: {known}.")


def _finished(run: Path, previous: str, val: Mapping[str, Sequence[str]], fingerprint: str) -> dict[str, Path]:
    """Folders of all folds of the splits, trained on the data set as it is."""
    found = find_folds(run)
    missing = [fold for fold in val if fold not in found]
    if missing:
        raise UsageError(
            f"{run} is to give its out-of-fold probabilities of every case, and fold {', '.join(missing)} of it "
            f"{'are' if len(missing) > 1 else 'is'} not finished. First: {_command(run, previous, missing)}."
        )
    for fold in val:
        record = load_json(found[fold] / RUN_RECORD, RunRecord, hint=BEGIN_ANEW)
        if record.fingerprint != fingerprint:
            raise UsageError(
                f"{found[fold]} was trained before the data set changed (fingerprint {record.fingerprint} -> {fingerprint}). "
                f"Train it anew: {_command(run, previous, list(val))} --restart."
            )
    return {fold: found[fold] for fold in val}


def _out_of_fold(folders: Mapping[str, Path], previous: str, val: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    """Each case's file, written by the validation of the fold that did not train on it."""
    files: dict[str, Path] = {}
    for fold, names in val.items():
        folder = RunFolder(path=folders[fold])
        here = {name: folder.validation / PROBABILITIES / f"{escape_name(name)}{SUFFIX}" for name in names}
        absent = [name for name, file in here.items() if not file.is_file()]
        if absent:
            more = f" and of {len(absent) - 1} other cases" if len(absent) > 1 else ""
            raise UsageError(
                f"{here[absent[0]]} is missing: the probabilities of {absent[0]}{more}. Delete {folder.summary} and run "
                f"{_command(folder.path.parent, previous, [fold])}: it validates the fold again."
            )
        files |= here
    return files


def _command(run: Path, previous: str, folds: Sequence[str]) -> str:
    return f"autoseg train {previous} fold{','.join(folds)}{_options(run.parent.name, run.name.partition('-')[2])}"


def _options(plan: str, trainer: str) -> str:
    """What a command needs at its end to mean this plan and this trainer."""
    named = {"--plan": plan, "--trainer": trainer}
    return "".join(f" {option} {shlex.quote(name)}" for option, name in named.items() if name != "default")


def _prepare(
    store: PreparedStore, channels: PreviousStore, files: Mapping[str, Path], keys: Mapping[str, str], num_classes: int, name: str
) -> None:
    meta, probabilities = store.open(name).meta, read_probabilities(files[name])
    expected = (num_classes, *meta.geometry.shape)
    if probabilities.shape != expected:
        raise FileFormatError(
            f"{files[name]} is of another case or other classes: {probabilities.shape} instead of {expected}. "
            f"Train that fold again: {files[name].parents[2]} (--restart)."
        )
    channels.write(name, prepare_previous(probabilities, meta), key=keys[name], sliced=meta.sliced)
