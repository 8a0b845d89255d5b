"""What a training command is asked to do, and where it says how it goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from autoseg.case import Dataset
from autoseg.evaluate import Summary
from autoseg.plan import Plan
from autoseg.preprocess.store import PreparedStore
from autoseg.trainers.options import TrainOptions
from autoseg.trainers.previous import PreviousStage
from autoseg.trainers.run import RunFolder
from autoseg.workspace import Workspace


class Report(Protocol):
    """Where progress is shown."""

    def begin(self, fold: str, text: str) -> None:
        """A fold begins, goes on, or is found finished."""
        ...

    def step(self, fold: str, progress: float, loss: float, remaining_s: float) -> None:
        """After every step: share done in [0, 1], the last known loss, seconds to the end of all folds."""
        ...

    def say(self, fold: str, text: str) -> None:
        """Something about a fold that a person should know."""
        ...

    def validated(self, fold: str, done: int, total: int) -> None:
        """After every validation case."""
        ...

    def end(self, fold: str, summary: Summary, probability_bytes: int) -> None:
        """A fold is finished; its out-of-fold probabilities take so many bytes."""
        ...


@dataclass(frozen=True, kw_only=True)
class FoldCases:
    """Names of the cases that a fold trains on and is validated on; fold "all" has none of the latter."""

    train: tuple[str, ...]
    val: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training command.

    Parameters
    ----------
    workspace : Workspace
    dataset : Dataset
    plan : Plan
    config : str
        A key of plan.stages.
    store : PreparedStore
        In a cascade opened with the channels of `previous`.
    folds : mapping of str -> FoldCases
        In the order in which they are trained.
    options : TrainOptions
    hours : float or None
        For all these folds together, over all restarts.
    device : torch.device
    restart : bool
        Discard what is there.
    begun : float
        time.monotonic() when the command began: what came before the first fold counts for it.
    previous : PreviousStage or None
        The stage before in a cascade.
    source : Path or None
        A checkpoint, or a folder of results, whose weights the folds start from.
    track : tuple of str
        Trackers, see `trackers.TRACKERS`.
    """

    workspace: Workspace
    dataset: Dataset
    plan: Plan
    config: str
    store: PreparedStore
    folds: Mapping[str, FoldCases]
    options: TrainOptions = field(default_factory=TrainOptions)
    hours: float | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    restart: bool = False
    begun: float = field(default_factory=time.monotonic)
    previous: PreviousStage | None = None
    source: Path | None = None
    track: tuple[str, ...] = ()

    def folder(self, fold: str) -> RunFolder:
        """Where a fold's results lie."""
        workspace, plan = self.workspace, self.plan
        return RunFolder(path=workspace.fold_folder(plan.dataset, plan.name, self.config, self.options.trainer, fold))
