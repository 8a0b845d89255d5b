"""--track: an epoch's numbers also go to tensorboard, wandb or mlflow; metrics.jsonl has them in any case."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from autoseg.errors import UsageError
from autoseg.extensions import find

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What a tracker is told of a fold before its first number.

    Parameters
    ----------
    folder : Path
        The fold's; a tracker may make a folder of its own in it.
    dataset, run, fold : str
        `run` is PLAN/CONFIG-TRAINER.
    settings : dict of str
        What the training was started with.
    iteration : int
        Where it begins or goes on: what was written at later ones is void.
    """

    folder: Path
    dataset: str
    run: str
    fold: str
    settings: dict[str, str]
    iteration: int


class Tracker(ABC):
    """One writer for one fold. A new one is a subclass and a row in TRACKERS (or an entry point, see there)."""

    #: The module that it needs, imported when it is asked for and never before.
    module: str

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    @abstractmethod
    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """Take in the numbers of an epoch that ended at `iteration`."""

    def close(self) -> None:  # noqa: B027 - most have nothing to do then
        """The fold is finished, or was interrupted."""


class TensorBoard(Tracker):
    """Event files in the fold's folder tensorboard/."""

    module = "torch.utils.tensorboard"

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        self._writer: Any = import_module(self.module).SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.iteration + 1)

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """One scalar each."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class WandB(Tracker):
    """A run of the project that the data set names, grouped by plan and configuration; a continued fold is another run of its group."""

    module = "wandb"

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        self._run: Any = import_module(self.module).init(
            project=run.dataset, group=run.run, name=run.fold, dir=str(run.folder), config=run.settings, reinit=True
        )

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """All of them at one step."""
        self._run.log(dict(values), step=iteration)

    def close(self) -> None:
        """Wait until everything is sent."""
        self._run.finish()


class MLflow(Tracker):
    """A run of the experiment that the data set names; where to is mlflow's own setting (MLFLOW_TRACKING_URI)."""

    module = "mlflow"

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        self._mlflow: Any = import_module(self.module)
        self._mlflow.set_experiment(run.dataset)
        self._mlflow.start_run(run_name=f"{run.run} {run.fold}")
        self._mlflow.log_params(run.settings)

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """All of them at one step."""
        self._mlflow.log_metrics(dict(values), step=iteration)

    def close(self) -> None:
        """The run has ended."""
        self._mlflow.end_run()


#: Name -> tracker. Other packages add theirs, a Tracker class, under the entry-point group autoseg.trackers.
TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


def find_tracker(name: str) -> type[Tracker]:
    """The tracker of a name, its module imported.

    Raises
    ------
    UsageError
        If there is none of this name, or what it needs is not installed.
    """
    tracker = find("trackers", name, TRACKERS, option="--track")
    try:
        import_module(tracker.module)
    except ModuleNotFoundError as error:
        how = "pip install 'autoseg[tracking]'" if name in TRACKERS else f"install {error.name}"
        raise UsageError(f"--track {name}: {error.name} is not installed. Install it ({how}), or leave --track {name} out.") from None
    return tracker


class Trackers:
    """The trackers of one fold. One that fails later is dropped with a warning: no training ends for it.

    Parameters
    ----------
    names : sequence of str
    say : callable (text)
        Something that a person should know.
    """

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        self._names, self._say = tuple(dict.fromkeys(names)), say
        self._open: dict[str, Tracker] = {}

    def open(self, run: TrackedRun) -> None:
        """Begin; UsageError if one cannot, as without a login."""
        for name in self._names:
            try:
                self._open[name] = find_tracker(name)(run)
            except UsageError:
                raise
            except Exception as error:
                raise UsageError(f"--track {name} could not begin: {error}. See to it, or leave --track {name} out.") from error

    def write(self, iteration: int, row: Mapping[str, Any]) -> None:
        """Give every tracker the numbers of a row."""
        values = {name: float(value) for name, value in row.items() if isinstance(value, int | float) and name != "iteration"}
        for name in tuple(self._open):
            self._try(name, lambda tracker: tracker.write(iteration, values))

    def close(self) -> None:
        """Nothing more will come."""
        for name in tuple(self._open):
            self._try(name, lambda tracker: tracker.close())
            self._open.pop(name, None)

    def _try(self, name: str, act: Callable[[Tracker], None]) -> None:
        try:
            act(self._open[name])
        except Exception as error:  # whatever another package raises
            logger.warning("%s failed", name, exc_info=True)
            self._say(f"--track {name} failed and is dropped: {error}. metrics.jsonl goes on.")
            del self._open[name]
