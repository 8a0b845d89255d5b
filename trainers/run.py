"""A fold's folder: what the run was started with, its metrics, its checkpoints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from autoseg.errors import FileFormatError, RunError
from autoseg.io.atomic import remove_leftovers, write_text
from autoseg.io.json_files import adapter, load_json, save_json
from autoseg.plan import Plan, Stage
from autoseg.trainers.options import TrainOptions
from autoseg.trainers.source import Source
from autoseg.workspace import CHECKPOINT, LOCK, METRICS, PROBABILITIES, RUN_RECORD, SUMMARY, TIME_SPENT, VALIDATION

BEST = "checkpoint_best.safetensors"
STOP = "STOP"
#: Beside the predictions of the validation cases, the scores of those that are finished.
EXAMINED = ".examined"
BEGIN_ANEW = "Put the file back, or begin the fold anew with --restart."
#: Checksums say little: what they stand for.
MEANINGS = {
    "fingerprint": "the data set",
    "cases": "the fold's cases (splits.json)",
    "previous": "the nets of the stage before",
    "source": "the checkpoint of --from",
}
#: Those that no command can give again.
OF_DATA = ("fingerprint", "cases", "previous")
#: Options that no plan has a value for.
WITHOUT_PLAN = {"patience", "ema"}
#: A value that is longer is cut in the list of differences.
SHORT = 60


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What decides the outcome of a run; run.json.

    Parameters
    ----------
    plan, config, fold : str
    fingerprint : str
        Of the data.
    cases : str
        Checksum of the fold's training and validation cases.
    options : TrainOptions
        As given.
    planned : Stage
        As the plan has it.
    stage : Stage
        As trained, options applied.
    hours : float or None
        Wall time of the command that started the run, all its folds together.
    previous : str
        Checksum of the nets of the stage before in a cascade; empty without one.
    source : Source or None
        What the net's first weights were taken from.
    ended : str
        Why the training ended before its schedule; empty if it did not.
    threads : int or None
        With --deterministic on a CPU, the threads that the run began with: it goes on with as many.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    plan: str
    config: str
    fold: str
    fingerprint: str
    cases: str
    options: TrainOptions
    planned: Stage
    stage: Stage
    hours: float | None = None
    previous: str = ""
    source: Source | None = None
    ended: str = ""
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class TimeSpent:
    """Wall time that a fold has taken so far, over all restarts; time.json.

    Parameters
    ----------
    used_s : float
        Training, checkpoints, validation.
    validation_s : float or None
        Of these the validation, once it is done.
    validation_cases : int
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    used_s: float = 0.0
    validation_s: float | None = None
    validation_cases: int = 0


#: Fields of a stage that describe and do not decide: a new measurement of the same plan is no other plan.
DESCRIPTIVE = {"reasons", "memory", "step_s"}


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """results/NAME/PLAN/CONFIG-TRAINER/foldK."""

    path: Path

    @property
    def last(self) -> Path:
        """The checkpoint to continue and to predict from."""
        return self.path / CHECKPOINT

    @property
    def best(self) -> Path:
        """The checkpoint with the best Dice while training."""
        return self.path / BEST

    @property
    def summary(self) -> Path:
        """Written last: a fold with a summary is finished."""
        return self.path / SUMMARY

    @property
    def stop(self) -> Path:
        """A file that a person makes to end the training as it stands."""
        return self.path / STOP

    @property
    def validation(self) -> Path:
        """Predictions of the fold's validation cases."""
        return self.path / VALIDATION

    @property
    def lock(self) -> Path:
        """Held by the process that trains here, see `io.locks`."""
        return self.path / LOCK

    @property
    def has_record(self) -> bool:
        """True if a run has begun here, with a checkpoint to continue from."""
        return (self.path / RUN_RECORD).is_file() and self.last.is_file()

    def start(self, record: RunRecord, *, restart: bool, earlier: Sequence[Path] = ()) -> RunRecord:
        """Claim the folder for this run, and give the record that holds: the one that is there, if it is the same run.

        Parameters
        ----------
        record : RunRecord
        restart : bool
            Discard what is there.
        earlier : sequence of Path
            Plans that were set aside: one of them may be the run's.

        Raises
        ------
        RunError
            If it holds a run that differs; the message lists the differences and names --restart.
        """
        file = self.path / RUN_RECORD
        if restart and self.path.is_dir():
            self._clear()
        if not self.last.is_file():
            # Nothing is trained yet, and a failed attempt binds nobody; or the net was deleted, and the fold is not finished any more.
            finished = (self.summary, self.path / TIME_SPENT) if self.summary.is_file() else ()
            for leftover in (file, *finished):
                leftover.unlink(missing_ok=True)
        if file.is_file():
            there = load_json(file, RunRecord, hint=BEGIN_ANEW)
            found = differences(there, record)
            if found:
                listing = "\n".join(f"  {line}" for line in found)
                if there.previous and there.previous != record.previous and len(found) == 1:
                    raise RunError(
                        f"{self.path} was trained behind other nets of {record.planned.previous}, which were trained again since. "
                        "--restart trains this fold anew behind the nets that are there now."
                    )
                raise RunError(
                    f"{self.path} holds a run with other settings (there -> now):\n{listing}\n{self._advice(found, there, earlier)}"
                )
            # What was derived from measurements when the run began holds for all of it.
            record = replace(record, stage=there.stage, source=there.source, ended=there.ended, threads=there.threads)
        save_json(file, record)
        return record

    def _advice(self, found: Sequence[str], there: RunRecord, earlier: Sequence[Path]) -> str:
        """What to do about differences; data and plans are no options that could be given again."""
        anew = "--restart discards it and begins anew."
        first = ""
        if any(line.startswith(tuple(f"{MEANINGS[name]}:" for name in OF_DATA)) for line in found):
            anew = "--restart discards it and begins anew on what is there now."
        elif not any(line.startswith("planned.") for line in found):
            first = "Give the settings of that run to continue it. "
        elif (plan := restoring_plan(earlier, there)) is not None:
            first = f"{plan} is its plan: copied to plans/{there.plan}.json it continues the run. "
        keep = f"To keep it beside a new one, make another plan (--plan NAME); --from {shlex.quote(str(self.path))} takes its weights."
        return f"{first}{keep} {anew}"

    def remove_leftovers(self) -> None:
        """Delete what a process that ended in the middle of writing left; only while this one has the lock."""
        for folder in (self.path, self.validation, self.validation / PROBABILITIES, self.validation / EXAMINED):
            remove_leftovers(folder, everyones=True)

    def _clear(self) -> None:
        # The record last: if this is broken off, what is left still refuses other settings.
        for file in sorted(self.path.rglob("*"), key=lambda path: (path.name != RUN_RECORD, path), reverse=True):
            if file.name == LOCK and file.parent == self.path:
                continue
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink()

    def note_end(self, ended: str) -> None:
        """Record why the training ended before its schedule."""
        self._change(ended=ended)

    def note_source(self, source: Source) -> None:
        """Record what was taken from the checkpoint that the training starts from."""
        self._change(source=source)

    def _change(self, **fields: Any) -> None:
        file = self.path / RUN_RECORD
        save_json(file, replace(load_json(file, RunRecord, hint=BEGIN_ANEW), **fields))

    def time_spent(self) -> TimeSpent:
        """What the fold has taken so far; nothing if it never began."""
        file = self.path / TIME_SPENT
        return load_json(file, TimeSpent, hint=BEGIN_ANEW) if file.is_file() else TimeSpent()

    def save_time(self, spent: TimeSpent) -> None:
        """Record what the fold has taken so far."""
        save_json(self.path / TIME_SPENT, spent)

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add an epoch's line to metrics.jsonl."""
        with (self.path / METRICS).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")

    def trim_metrics(self, epoch: int) -> None:
        """Drop the lines of epochs from `epoch` on: they come after the checkpoint that is continued and are made again."""
        file = self.path / METRICS
        if not file.is_file():
            return
        kept = [line for line in file.read_text(encoding="utf-8").splitlines() if _epoch_of(line) < epoch]
        write_text(file, "".join(f"{line}\n" for line in kept))


def restoring_plan(earlier: Sequence[Path], there: RunRecord) -> Path | None:
    """The first of these plans by which a run was planned, so that it goes on with it; None if there is none."""
    for file in earlier:
        try:
            plan = load_json(file, Plan)
        except FileFormatError:
            continue
        planned = plan.stages.get(there.config)
        if planned is not None and plan.fingerprint == there.fingerprint and not differences(there, replace(there, planned=planned)):
            return file
    return None


def _epoch_of(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        # A line that a crash cut in half belongs to no epoch that counts.
        return float("inf")


def differences(there: RunRecord, now: RunRecord) -> list[str]:
    """What two records disagree on, a line each, by the path of the field."""
    return _compare(_comparable(there), _comparable(now), "")


def _comparable(record: RunRecord) -> dict[str, Any]:
    """What must be equal for a run to go on."""
    found: dict[str, Any] = adapter(RunRecord).dump_python(record, mode="json")
    # A run may get more or less time when it is continued, the schedule follows the clock; the trained stage follows from the rest.
    for name in ("hours", "stage", "ended", "threads"):
        found.pop(name)
    # As a number even where it is the encoder's: a person reads the difference.
    found["planned"]["network"]["decoder_convs"] = record.planned.network.convs_up
    found["source"] = found["source"] and found["source"]["checksum"]
    for name in DESCRIPTIVE | _overruled(found["options"]):
        found["planned"].pop(name)
    return found


def _overruled(options: dict[str, Any]) -> set[str]:
    """Fields of the plan that the options take the place of: a plan whose steps were timed anew differs in them alone."""
    lengths = {"iterations_per_epoch"} if options["iterations_per_epoch"] is not None else set()
    return lengths | ({"iterations"} if lengths and options["epochs"] is not None else set())


def _compare(a: Any, b: Any, path: str) -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        return [line for key in a | b for line in _compare(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))]
    return [] if a == b else [_said(path, a, b)]


def _said(path: str, there: Any, now: Any) -> str:
    """A difference as the user gave it: by the option's name, or by what a checksum stands for."""
    if path in MEANINGS:
        return f"{MEANINGS[path]}: {there or 'none'} -> {now or 'none'}"
    option = path.removeprefix("options.")
    name = f"--{option.replace('_', '-')}" if option != path else path
    unset = "the plan's" if option != path and option not in WITHOUT_PLAN else "none"
    words = (unset if value is None else str(value) for value in (there, now))
    return f"{name}: " + " -> ".join(f"{word[:SHORT]} ..." if len(word) > SHORT else word for word in words)
