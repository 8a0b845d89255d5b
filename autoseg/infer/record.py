"""How the predictions of a folder were made, and of which input files: a second run reads it and skips them.

OUT/predict.json; of each part of a run (--part) predict-2-of-5.json.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from autoseg.budget import Precision
from autoseg.case import Case
from autoseg.errors import FileFormatError, UsageError
from autoseg.io.filenames import files_in
from autoseg.io.json_files import load_json, save_json

RECORD = "predict.json"
PART_RECORD = "predict-{}-of-{}.json"
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
    engine : {"torch", "onnx"}
    selection : str
        Checksum of what `autoseg select` chose; empty if that is not used.
    done : dict of str -> str
        Finished case -> size and time of its input files.
    images : dict of str -> tuple of str
        Finished case -> its input files or folders, for those who show it (`autoseg report`).
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
    engine: Literal["torch", "onnx"] = "torch"
    selection: str = ""
    done: dict[str, str] = field(default_factory=dict)
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def is_like(self, other: RunRecord) -> bool:
        """True if both make the same predictions of the same inputs. Folds that are still missing make no difference."""
        return replace(self, done={}, images={}, ensemble="") == replace(other, done={}, images={}, ensemble="")


def record_files(folder: Path) -> list[Path]:
    """The records in a folder: that of whole runs, then those of parts; none where nothing was predicted."""
    parts = sorted(folder.glob(PART_RECORD.format("*", "*")))
    return [path for path in (folder / RECORD, *parts) if path.is_file()]


class Journal:
    """The record of a folder while its cases are predicted.

    Parts of a run (--part) keep a record each, so that they never write the same file: predict-2-of-5.json. All of them are read; a run
    without parts takes them over into predict.json.

    Parameters
    ----------
    folder : Path
    record : RunRecord
        Of this run, `done` empty.
    part : (int, int), optional
        This one, from 1, and how many there are.

    Raises
    ------
    UsageError
        If the folder holds files that are no predictions.
    """

    def __init__(self, folder: Path, record: RunRecord, part: tuple[int, int] | None = None) -> None:
        self.path = folder / (RECORD if part is None else PART_RECORD.format(*part))
        # Looked at first: what another part writes meanwhile is then found among the records, and does not pass for somebody else's.
        held = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
        records = record_files(folder)
        if held and not records:
            # A case's earlier output is replaced or removed: among files of somebody else that would be theirs.
            raise UsageError(f"{folder} is not empty and holds no predictions (no {RECORD}); name another folder (-o), a new or empty one.")
        self.record = record
        self.done: dict[str, str] = {}
        self.images: dict[str, tuple[str, ...]] = {}
        #: What other parts had finished when this one began.
        self.others: dict[str, str] = {}
        for path in records:
            earlier = self._earlier(path)
            if earlier is None:
                continue
            if part is None or path == self.path:
                self.done |= earlier.done
                self.images |= earlier.images
            else:
                self.others |= earlier.done
        self._written = 0.0
        self.write()
        for path in records if part is None else ():
            if path != self.path:
                path.unlink(missing_ok=True)

    def has(self, case: Case) -> bool:
        """True if the case was finished by an equal run, from the same files."""
        return file_stamp(case) in (self.done.get(case.name), self.others.get(case.name))

    def add(self, case: Case) -> None:
        """Mark a case as finished; reaches the disk within `WRITE_S` or by `write`."""
        self.done[case.name] = file_stamp(case)
        self.images[case.name] = tuple(str(path.absolute()) for path in case.images)
        if time.monotonic() - self._written > WRITE_S:
            self.write()

    def forget(self, case: Case) -> None:
        """Mark a case as unfinished."""
        self.done.pop(case.name, None)
        self.images.pop(case.name, None)
        self.others.pop(case.name, None)

    def write(self) -> None:
        """Write the record to the disk."""
        self._written = time.monotonic()
        save_json(self.path, replace(self.record, done=dict(self.done), images=dict(self.images)))

    def _earlier(self, path: Path) -> RunRecord | None:
        """A record of the same model, if there is one. One of another model is removed: no later run takes its word for these files."""
        if not path.exists():
            return None
        try:
            earlier = load_json(path, RunRecord)
        except FileFormatError as error:
            log.warning("predicting its cases again: %s", error)
            return None
        if earlier.is_like(self.record):
            return earlier
        log.info("%s is of another model or with other options; its cases are predicted again", path)
        path.unlink(missing_ok=True)
        return None


def file_stamp(case: Case) -> str:
    """Sizes and times of a case's input files; changes when one of them does. Missing files count as nothing."""
    parts = []
    for path in (file for image in case.images for file in files_in(image)):
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
