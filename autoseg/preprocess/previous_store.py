"""The prepared channels of a cascade's stage before, on disk beside the cases that they belong to.

FOLDER/CASE/previous.b2nd   blosc2, uint8, (K, *spatial)
FOLDER/CASE/channels.json   what they were made from, the other file's size and checksum; written last
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import FileFormatError
from autoseg.io.atomic import remove_leftovers, replacing_folder
from autoseg.io.json_files import load_json, save_json
from autoseg.io.names import escape_name
from autoseg.plan import Plan, Stage
from autoseg.preprocess import case_folders
from autoseg.preprocess.store import plan_key
from autoseg.preprocess.stored_array import Slicable, chunk_shape, open_array, save_array

CHANNELS, META = "previous.b2nd", "channels.json"
ADVICE = "the same command again makes it anew."


@dataclass(frozen=True, kw_only=True)
class Record:
    """The file channels.json."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    key: str
    sizes: dict[str, int] = field(default_factory=dict)
    # Empty in channels of earlier versions.
    checksums: dict[str, str] = field(default_factory=dict)


class PreviousStore:
    """Channels by the name of the case.

    Parameters
    ----------
    folder : Path
        `Workspace.previous_folder`. Created at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Channels that this process has read as a whole and found as they were written.
        self._verified: set[tuple[str, str]] = set()

    def case_folder(self, name: str) -> Path:
        """Where a case's channels lie or would lie."""
        return self.folder / escape_name(name)

    def has(self, name: str, key: str) -> bool:
        """True if the case's channels are there, whole, and made from what `key` says; the file is read as a whole once."""
        try:
            return self._verified_record(name).key == key
        except FileFormatError:
            return False

    def open(self, name: str) -> Slicable:
        """A case's channels, uint8, (K, *spatial); FileFormatError if they are absent, cut short or damaged."""
        self._verified_record(name)
        return open_array(self.case_folder(name) / CHANNELS, f"Delete the folder {self.case_folder(name)}; {ADVICE}")

    def write(self, name: str, channels: NDArray[np.uint8], *, key: str, sliced: bool) -> None:
        """Write a case's channels as a whole; `sliced` as in `PreparedMeta`."""
        with replacing_folder(self.case_folder(name)) as temporary:
            save_array(temporary / CHANNELS, channels, chunk_shape(channels.shape, channels.itemsize, sliced=sliced))
            sizes, checksums = case_folders.sizes_of(temporary), case_folders.checksums_of(temporary)
            save_json(temporary / META, Record(key=key, sizes=sizes, checksums=checksums))

    def remove_leftovers(self) -> None:
        """Delete what processes that are gone left half written."""
        remove_leftovers(self.folder)

    def _record(self, name: str) -> Record:
        record = load_json(self.case_folder(name) / META, Record)
        case_folders.check_sizes(self.case_folder(name), record.sizes, advice=ADVICE)
        return record

    def _verified_record(self, name: str) -> Record:
        record = self._record(name)
        content = (name, repr(record.checksums))
        if content not in self._verified:
            case_folders.check_contents(self.case_folder(name), record.checksums, advice=ADVICE)
            self._verified.add(content)
        return record


def previous_key(plan: Plan, stage: Stage, checksums: Mapping[str, str]) -> str:
    """16 hex digits from what channels depend on: how the stage prepares cases, and each fold's net of the stage before.

    Parameters
    ----------
    plan, stage
        The stage that gets the channels.
    checksums : mapping of fold -> SHA-256 of its checkpoint
    """
    parts = (plan_key(plan, stage), stage.previous, sorted(checksums.items()))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
