"""Which trained nets a prediction uses: the run's folder, its finished folds, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.checkpoint import read_previous_stage
from autoseg.errors import UsageError
from autoseg.workspace import CHECKPOINT, SUMMARY, fold_folders, fold_of

NUM_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The folds that a prediction uses.

    Parameters
    ----------
    run : Path
        results/NAME/PLAN/CONFIG-TRAINER.
    folds : dict of str -> Path
        Fold ("0" .. "4", "all") -> its checkpoint, ascending.
    total : int
        Folds that there would be if all were finished.
    """

    run: Path
    folds: dict[str, Path]
    total: int = NUM_FOLDS

    @property
    def note(self) -> str:
        """Such as "3 of 5 folds"."""
        return fold_note(tuple(self.folds), self.total)


def fold_note(folds: Sequence[str], total: int) -> str:
    """How many folds predict, for people.

    Examples
    --------
    >>> fold_note(("0", "3"), 5), fold_note(("all",), 5), fold_note(("2",), 5)
    ('2 of 5 folds', 'fold all', 'fold 2')
    """
    return f"{len(folds)} of {total} folds" if len(folds) > 1 else f"fold {folds[0]}"


def find_folds(run: Path) -> dict[str, Path]:
    """The finished folds of a run: fold -> folder, "0" before "1" before "all"; empty if there is none."""
    return {fold_of(path): path for path in fold_folders(run) if (path / SUMMARY).is_file() and (path / CHECKPOINT).is_file()}


def find_runs(folder: Path) -> dict[Path, dict[str, Path]]:
    """The runs that a folder is or holds, at most two levels below, with their finished folds; those without one are left out."""
    runs = sorted({path.parent for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}fold*")})
    return {run: folds for run in runs if (folds := find_folds(run))}


def find_run(folder: Path, *, plan: str | None = None, config: str | None = None, trainer: str | None = None) -> Path:
    """The one run that a folder means.

    Parameters
    ----------
    folder : Path
        results/NAME, results/NAME/PLAN or results/NAME/PLAN/CONFIG-TRAINER.
    plan, config, trainer : str, optional
        Only runs of this plan, configuration, trainer. The stage before of a cascade that is trained is part of it, and meant only
        when it is named.

    Raises
    ------
    UsageError
        If no fold in it is finished, or there are several runs; the message lists them.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder. Train first: autoseg train 2d fold0..4.")
    runs = list(find_runs(folder))
    if not runs:
        raise UsageError(f"{folder} holds no finished fold. Train first: autoseg train 2d fold0..4.")
    names = ", ".join(str(run.relative_to(folder)) for run in runs)
    wanted = _without_earlier_stages([run for run in runs if _is_wanted(run, plan, config, trainer)])
    if not wanted:
        asked = ", ".join(f"--{name} {value}" for name, value in (("plan", plan), ("config", config), ("trainer", trainer)) if value)
        raise UsageError(f"{folder} holds no run with {asked}; trained are {names} (PLAN/CONFIG-TRAINER).")
    if len(wanted) > 1:
        raise UsageError(
            f"{folder} holds several trained runs: {names}. Name one with --config, --plan, --trainer, or let autoseg select choose."
        )
    return wanted[0]


def _without_earlier_stages(runs: list[Path]) -> list[Path]:
    """The runs without those that are the stage before of another one."""
    if len(runs) < 2:
        return runs
    checkpoints = {run: next(iter(find_folds(run).values())) / CHECKPOINT for run in runs}
    before = {(run.parent, read_previous_stage(checkpoint)) for run, checkpoint in checkpoints.items()}
    return [run for run in runs if (run.parent, _config(run)) not in before]


def _is_wanted(run: Path, plan: str | None, config: str | None, trainer: str | None) -> bool:
    found_config, _, found_trainer = run.name.partition("-")
    pairs = ((plan, run.parent.name), (config, found_config), (trainer, found_trainer))
    return all(asked is None or asked == found for asked, found in pairs)


def choose_folds(run: Path, wanted: Sequence[str] | None = None, *, ensemble: bool = False, total: int = NUM_FOLDS) -> Choice:
    """The folds to predict with.

    Parameters
    ----------
    run : Path
        From `find_run`.
    wanted : sequence of str, optional
        Folds named by the user.
    ensemble : bool
        All finished folds.
    total : int
        Folds of the data set's splits.

    Raises
    ------
    UsageError
        If a wanted fold is not finished, none is, or several are and neither `wanted` nor `ensemble` says which.
    """
    finished = find_folds(run)
    if not finished:
        raise UsageError(f"{run} holds no finished fold. Train first: autoseg train {_config(run)} fold0..4.")
    if wanted is not None:
        missing = [fold for fold in wanted if fold not in finished]
        if missing or not wanted:
            raise UsageError(f"--folds: not finished in {run}: {', '.join(missing) or 'none named'}; finished are {', '.join(finished)}.")
        return _choice(run, {fold: finished[fold] for fold in finished if fold in wanted}, total)
    numbered = {fold: path for fold, path in finished.items() if fold != "all"}
    if ensemble or len(finished) == 1:
        # A net trained on all cases is no member beside those of the folds: it would count the data twice.
        return _choice(run, numbered or finished, total)
    names = ", ".join(finished)
    raise UsageError(
        f"{run} holds {len(finished)} finished folds: {names}. Say --ensemble for all of them, or --folds fold{next(iter(finished))}."
    )


def _choice(run: Path, folders: dict[str, Path], total: int) -> Choice:
    return Choice(run=run, folds={fold: folder / CHECKPOINT for fold, folder in folders.items()}, total=max(total, len(folders)))


def _config(run: Path) -> str:
    return run.name.partition("-")[0]
