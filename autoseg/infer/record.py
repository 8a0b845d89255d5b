"""OUT/predict.json: how the predictions of a folder were made, and of which input files; a second run reads it and skips them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from autoseg.budget import Precision
from autoseg.case import Case
from autoseg.errors import FileFormatError, UsageError
from autoseg.io.json_files import load_json, save_json

RECORD = "predict.json"
#: Seconds between two writings of the record: what was finished since is predicted again after a crash, no more.
WRITE_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What predictions were made with.

    Parameters
    ----------
    dataset, plan, stage : str
    run : str
        PLAN/CONFIG-TRAINER.
    folds : dict of str -> str
        Fold -> SHA-256 of its checkpoint.
    ensemble : str
        Such as "3 of 5 folds".
    step, mirror_axes, precision
        Of the window.
    mirror_axes_before : tuple of int
        Of the previous stage's window in a cascade, whose nets the folds' checkpoints name.
    done : dict of str -> str
        Finished case -> size and time of its input files.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    dataset: str
    plan: str
    stage: str
    run: str
    folds: dict[str, str]
    ensemble: str
    step: float
    mirror_axes: tuple[int, ...]
    precision: Precision
    mirror_axes_before: tuple[int, ...] = ()
    done: dict[str, str] = field(default_factory=dict)

    def is_like(self, other: RunRecord) -> bool:
        """True if both make the same predictions of the same inputs. Folds that are still missing make no difference."""
        return replace(self, done={}, ensemble="") == replace(other, done={}, ensemble="")


class Journal:
    """The record of a folder while its cases are predicted.

    Parameters
    ----------
    folder : Path
    record : RunRecord
        Of this run, `done` empty.

    Raises
    ------
    UsageError
        If the folder holds files that are no predictions.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.path = folder / RECORD
        if not self.path.exists() and folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            # A case's earlier output is replaced or removed: among files of somebody else that would be theirs.
            raise UsageError(f"{folder} is not empty and holds no predictions (no {RECORD}); name another folder (-o), a new or empty one.")
        self.record = record
        self.done = self._earlier()
        self._written = 0.0
        self.write()

    def has(self, case: Case) -> bool:
        """True if the case was finished by an equal run, from the same files."""
        return self.done.get(case.name) == file_stamp(case)

    def add(self, case: Case) -> None:
        """Mark a case as finished; reaches the disk within `WRITE_S` or by `write`."""
        self.done[case.name] = file_stamp(case)
        if time.monotonic() - self._written > WRITE_S:
            self.write()

    def forget(self, case: Case) -> None:
        """Mark a case as unfinished."""
        self.done.pop(case.name, None)

    def write(self) -> None:
        """Write the record to the disk."""
        self._written = time.monotonic()
        save_json(self.path, replace(self.record, done=dict(self.done)))

    def _earlier(self) -> dict[str, str]:
        if not self.path.exists():
            return {}
        try:
            earlier = load_json(self.path, RunRecord)
        except FileFormatError as error:
            log.warning("predicting all cases again: %s", error)
            return {}
        if earlier.is_like(self.record):
            return dict(earlier.done)
        log.info("%s holds predictions of another model or with other options; they are made again", self.path.parent)
        return {}


def file_stamp(case: Case) -> str:
    """Sizes and times of a case's input files; changes when one of them does. Missing files count as nothing."""
    parts = []
    for path in case.images:
        try:
            status = path.stat()
            parts.append(f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}")
        except OSError:
            parts.append(f"{path.absolute()}:missing")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def checksums(checkpoints: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each fold's checkpoint file."""
    return {fold: checksum(path) for fold, path in checkpoints.items()}


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
