"""A run, PLAN/CONFIG-TRAINER: its folds, begun or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.standing.fold import FoldStanding, fold_standing
from autoseg.workspace import fold_folders, fold_of


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

    @property
    def outdated(self) -> tuple[FoldStanding, ...]:
        """The folds that are done, of earlier cases, and beside others of the cases as they are now: together they judge nothing."""
        done = [fold for fold in self.in_state("done") if fold.name != "all"]
        found = tuple(fold for fold in done if fold.is_outdated)
        return found if len(found) < len(done) else ()

    @property
    def open_folds(self) -> tuple[FoldStanding, ...]:
        """The numbered folds that are neither done nor in training."""
        return tuple(fold for fold in self.folds if fold.name != "all" and fold.state not in ("done", "running"))


def run_standing(run: Path, num_folds: int, dealt: Mapping[str, str] | None = None) -> RunStanding:
    """Read the folds of results/NAME/PLAN/CONFIG-TRAINER, of which there should be so many; the folder need not be there.

    `dealt`: for each fold what `fold_standing` takes.
    """
    there = {path.name: fold_standing(path, (dealt or {}).get(fold_of(path), "")) for path in fold_folders(run)}
    absent = {f"fold{k}": FoldStanding(name=str(k), state="not begun") for k in range(num_folds)}
    config, _, trainer = run.name.partition("-")
    folds = tuple(standing for _, standing in sorted((absent | there).items()))
    return RunStanding(plan=run.parent.name, config=config, trainer=trainer, folds=folds)
