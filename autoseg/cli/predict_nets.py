"""The nets of one call of predict, and how its images are shared out among devices: a process for each."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import torch

from autoseg.case import Case
from autoseg.errors import AutosegError, DeviceError, UsageError
from autoseg.infer.files import Outcome, Progress, choose_part
from autoseg.infer.folds import Choice
from autoseg.infer.record import Journal, RunRecord
from autoseg.predictor import Predictor
from autoseg.select.selection import Selected
from autoseg.step import is_out_of_memory

Part = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Nets:
    """What predicts, said so that another process can load it.

    Parameters
    ----------
    place : Choice, Selected or Path
        Folds of a run; what `autoseg select` chose; or an exported model.
    folds : tuple of str or None
        Of an exported model; None: all.
    tta, step, engine
        As in `Predictor.load`.
    """

    place: Choice | Selected | Path
    folds: tuple[str, ...] | None = None
    tta: bool = True
    step: float = 0.5
    engine: Literal["torch", "onnx"] | None = None

    @property
    def words(self) -> str:
        """For people: the run and its folds, or the file."""
        if isinstance(self.place, Choice):
            return f"{self.place.run.name}, {self.place.note}"
        if isinstance(self.place, Selected):
            return f"{self.place.selection.summary()} (selection.json)"
        return self.place.name if self.folds is None else f"{self.place.name}, {', '.join(f'fold {fold}' for fold in self.folds)}"

    def load(self, device: torch.device) -> Predictor:
        """On a device."""
        if isinstance(self.place, Choice):
            return Predictor.from_choice(self.place, device=device, tta=self.tta, step=self.step, engine=self.engine)
        if isinstance(self.place, Selected):
            return Predictor.from_selection(self.place, device=device, tta=self.tta, step=self.step, engine=self.engine)
        return Predictor.load(self.place, self.folds, device=device, tta=self.tta, step=self.step, engine=self.engine)

    def predict_files(
        self, devices: Sequence[torch.device], cases: Sequence[Case], out: Path, *, part: Part | None, progress: Progress, **options: Any
    ) -> Outcome:
        """`Predictor.predict_files` on one device here, on several in a process for each.

        Raises
        ------
        UsageError
            If the devices compute in different precisions: their predictions would not be of one kind.
        """
        used = list(devices[: len(choose_part(cases, part))])
        if len(used) == 1:
            return self.load(used[0]).predict_files(cases, out, part=part, progress=progress, **options)
        if len(set(map(_kind, used))) > 1:
            raise UsageError("the devices compute in different precisions, and one run has one; predict on one of them, or on equal ones.")
        if self.engine == "onnx" and not isinstance(self.place, Path):
            self.load(torch.device("cpu"))  # exported once, not by each process
        return _SideBySide(self, used, cases, out, part, progress, options).run()


def _kind(device: torch.device) -> tuple[str, bool, bool]:
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    return device.type, capability >= (7, 0), capability >= (8, 0)


@dataclass(frozen=True, kw_only=True)
class _Message:
    """From a process: how far it is, or its end."""

    done: int = 0
    total: int = 0
    outcome: Outcome | None = None
    record: RunRecord | None = None
    error: AutosegError | None = None


@dataclass(kw_only=True)
class _Worker:
    device: torch.device
    process: BaseProcess
    connection: Connection
    last: _Message = field(default_factory=_Message)


class _SideBySide:
    """The processes of a run. Each predicts its part, and writes into the same folder as --part does."""

    def __init__(
        self, nets: Nets, devices: Sequence[torch.device], cases: Sequence[Case], out: Path, part: Part | None, progress: Progress,
        options: dict[str, Any],
    ) -> None:  # fmt: skip
        self.nets, self.devices, self.cases, self.out, self.part, self.progress, self.options = (
            nets, devices, cases, out, part, progress, options,
        )  # fmt: skip

    def run(self) -> Outcome:
        workers = [self._start(place, device) for place, device in enumerate(self.devices)]
        try:
            self._listen(workers)
        finally:
            for worker in workers:
                worker.process.terminate()
                worker.process.join()
        return self._together(workers)

    def _start(self, place: int, device: torch.device) -> _Worker:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        here, there = context.Pipe(duplex=False)
        # Of the processor each process gets its share.
        threads = max(1, torch.get_num_threads() // len(self.devices)) if device.type == "cpu" else None
        part = sub_part(self.part, place, len(self.devices))
        work = (self.nets, device, threads, self.cases, self.out, {**self.options, "part": part}, there)
        process = context.Process(target=_work, args=work, name=f"predict on {device}")
        process.start()
        there.close()  # so that its end is seen here when the process ends, however it does
        return _Worker(device=device, process=process, connection=here)

    def _listen(self, workers: list[_Worker]) -> None:
        running = {worker.connection: worker for worker in workers}
        total = len(choose_part(self.cases, self.part))
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                try:
                    running[connection].last = replace_message(running[connection].last, connection.recv())
                except EOFError:
                    running.pop(connection).process.join()
            if done := sum(worker.last.done for worker in workers):
                self.progress(done, total)

    def _together(self, workers: list[_Worker]) -> Outcome:
        """All outcomes as one; what is left of a process that ended early is counted as failed."""
        whole = Outcome()
        for worker in workers:
            outcome, error = worker.last.outcome, worker.last.error
            if error is not None and not any(other.last.outcome for other in workers):
                raise error
            if outcome is None:
                whole.failures[f"on {worker.device}"] = str(error or _death(worker))
                continue
            for name in ("done", "skipped", "added"):
                getattr(whole, name).extend(getattr(outcome, name))
            whole.failures.update(outcome.failures)
            for file, num in outcome.joined.items():
                whole.joined[file] = max(num, whole.joined.get(file, 0))
        records = [worker.last.record for worker in workers if worker.last.record is not None]
        if self.part is None and records:
            Journal(self.out, records[0])  # takes the parts' records over
        return whole


def replace_message(last: _Message, new: _Message) -> _Message:
    """The newer message; one that ends keeps how far the process was."""
    return new if new.total else replace(new, done=last.done, total=last.total)


def sub_part(part: Part | None, place: int, num: int) -> Part:
    """The part of a part that goes to one of `num` devices, as a part of all cases.

    Examples
    --------
    >>> sub_part(None, 1, 2), [sub_part((2, 5), place, 2) for place in (0, 1)]
    ((2, 2), [(2, 10), (7, 10)])
    """
    k, n = part or (1, 1)
    return k + place * n, n * num


def _death(worker: _Worker) -> str:
    code = worker.process.exitcode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    memory = " (as a rule the system's memory ran out: use fewer devices)" if code == -signal.SIGKILL else ""
    return f"its process {how}{memory}; the same command predicts the images that it left"


def _work(
    nets: Nets, device: torch.device, threads: int | None, cases: Sequence[Case], out: Path, options: dict[str, Any], connection: Connection
) -> None:
    """A process's own part, told through the connection."""
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        predictor = nets.load(device)

        def tell(done: int, total: int) -> None:
            connection.send(_Message(done=done, total=total))

        outcome = predictor.predict_files(cases, out, progress=tell, **options)
        connection.send(_Message(outcome=outcome, record=predictor.record()))
    except AutosegError as error:
        connection.send(_Message(error=error))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        connection.send(_Message(error=DeviceError(f"{device} ran out of memory ({str(error).splitlines()[0]})")))
    except KeyboardInterrupt:
        pass  # the parent says it
