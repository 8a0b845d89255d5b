"""The prepared cases on disk: a folder per case, made under another name and renamed when it is whole.

FOLDER/CASE/image.b2nd    blosc2, (C, *spatial)
FOLDER/CASE/codes.b2nd    blosc2, (*spatial); absent without labels
FOLDER/CASE/small.npz     table, ignore, and the points of all classes with their counts
FOLDER/CASE/case.json     PreparedMeta, the key it was made from, and the other files' sizes and checksums; written last

The channels of a cascade's stage before lie in a store of their own (`preprocess.previous_store`): "2d" and "2d_cascade" share the rest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import FileFormatError
from autoseg.io.atomic import remove_leftovers, replacing_folder
from autoseg.io.json_files import load_json, save_json
from autoseg.io.names import escape_name, unescape_name
from autoseg.labels import CodeMap, Codes
from autoseg.plan import Plan, Stage
from autoseg.preprocess import case_folders
from autoseg.preprocess.prepared import PREPARED_VERSION, Prepared, PreparedMeta
from autoseg.preprocess.stored_array import Slicable, chunk_shape, open_array, save_array

IMAGE, CODES, SMALL, META = "image.b2nd", "codes.b2nd", "small.npz", "case.json"
ADVICE = "run plan_and_preprocess again, it replaces the case"


@dataclass(frozen=True, kw_only=True)
class Record:
    """The file case.json."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    key: str
    meta: PreparedMeta
    sizes: dict[str, int] = field(default_factory=dict)
    # Empty in cases of earlier versions, of which only sizes are known.
    checksums: dict[str, str] = field(default_factory=dict)


class Channels(Protocol):
    """Where a case's channels of the stage before are read: `previous_store.PreviousStore`."""

    def open(self, name: str) -> Slicable:
        """(K, *spatial), uint8."""
        ...


class StoredCase:
    """A case in the store; arrays are opened at first use and read by slices.

    Safe to hand to another process or thread before its first use; blosc2 arrays themselves stay in the one that opened them.
    """

    def __init__(self, folder: Path, record: Record, channels: Channels | None = None) -> None:
        self.folder = folder
        self.meta = record.meta
        self.has_labels = CODES in record.sizes
        self._channels = channels

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, prepared axes."""
        return self.meta.shape

    @cached_property
    def image(self) -> Slicable:
        """(C, *spatial), as stored: not normalised."""
        return open_array(self.folder / IMAGE, self._advice)

    @cached_property
    def codes(self) -> Slicable:
        """(*spatial), uint8 or uint16; rows of `table`."""
        return open_array(self.folder / CODES, self._advice)

    @cached_property
    def previous(self) -> Slicable | None:
        """(K, *spatial), uint8: 255 times the previous stage's probabilities; None unless the store was opened with them."""
        return None if self._channels is None else self._channels.open(self.meta.name)

    @cached_property
    def table(self) -> NDArray[np.bool_]:
        """(S, K)"""
        return self._small["table"]

    @cached_property
    def ignore(self) -> NDArray[np.bool_]:
        """(S,)"""
        return self._small["ignore"]

    @cached_property
    def points(self) -> tuple[NDArray[np.int32], ...]:
        """Random coordinates of each class, (n, num_axes) each."""
        return tuple(np.split(self._small["points"], np.cumsum(self._small["counts"])[:-1]))

    def labels(self) -> CodeMap:
        """The whole code map in memory."""
        return CodeMap(cast(Codes, self.codes[:]), self.table, self.ignore)

    @cached_property
    def _small(self) -> dict[str, NDArray[Any]]:
        with np.load(self.folder / SMALL, allow_pickle=False) as arrays:
            return dict(arrays)

    @property
    def _advice(self) -> str:
        return f"Delete the folder {self.folder} and run plan_and_preprocess again: it makes the case anew."

    def __reduce__(self) -> tuple[Any, ...]:
        sizes = {CODES: 0} if self.has_labels else {}
        return StoredCase, (self.folder, Record(key="", meta=self.meta, sizes=sizes), self._channels)


class PreparedStore:
    """Prepared cases by name.

    Parameters
    ----------
    folder : Path
        Created at the first write.
    channels : PreviousStore, optional
        Cases are opened with the channels of a cascade's stage before.
    """

    def __init__(self, folder: Path, channels: Channels | None = None) -> None:
        self.folder = folder
        self.channels = channels
        # Cases that this process has read as a whole and found as they were written.
        self._verified: set[tuple[str, str]] = set()

    def case_folder(self, name: str) -> Path:
        """Where a case lies or would lie."""
        return self.folder / escape_name(name)

    def has(self, name: str, key: str | None = None) -> bool:
        """True if the case is there, whole, and made from what `key` says (any key if None); sizes are compared, nothing is read."""
        try:
            record = self._record(name)
        except FileFormatError:
            return False
        return key is None or record.key == key

    def is_sound(self, name: str, key: str | None = None) -> bool:
        """`has`, the files' checksums compared as well."""
        try:
            record = self._record(name)
            self._verify(name, record)
        except FileFormatError:
            return False
        return key is None or record.key == key

    def names(self) -> tuple[str, ...]:
        """The cases that are there and whole."""
        if not self.folder.is_dir():
            return ()
        found = sorted(unescape_name(p.name) for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        return tuple(name for name in found if self.has(name))

    def open(self, name: str) -> StoredCase:
        """A case for reading. The first time in this object's life its files are read as a whole, and their checksums compared.

        Raises
        ------
        FileFormatError
            If it is absent or one of its files is missing, cut short or damaged.
        """
        record = self._record(name)
        self._verify(name, record)
        return StoredCase(self.case_folder(name), record, self.channels)

    def made_from(self, name: str) -> str:
        """The key that a case was written with; FileFormatError as from `open`."""
        return self._record(name).key

    def write(self, prepared: Prepared, *, key: str) -> None:
        """Write a case as a whole; an earlier one of the same name is replaced."""
        with replacing_folder(self.case_folder(prepared.meta.name)) as temporary:
            _write_files(temporary, prepared, key)

    def remove_leftovers(self) -> None:
        """Delete what processes that are gone left half written."""
        remove_leftovers(self.folder)

    def _record(self, name: str) -> Record:
        folder = self.case_folder(name)
        record = load_json(folder / META, Record)
        case_folders.check_sizes(folder, record.sizes, advice=ADVICE)
        return record

    def _verify(self, name: str, record: Record) -> None:
        """Compare checksums, once for each content: a case that is replaced is looked at again."""
        content = (name, repr(record.checksums))
        if content not in self._verified:
            case_folders.check_contents(self.case_folder(name), record.checksums, advice=ADVICE)
            self._verified.add(content)


def plan_key(plan: Plan, stage: Stage) -> str:
    """16 hex digits from the parts of a plan that prepared cases depend on; plans that agree in them share a store."""
    spacing = stage.spacing if stage.resample else ()
    parts = (PREPARED_VERSION, plan.normalization, plan.crop_to_nonzero, plan.labels.classes, stage.resample, spacing, stage.slice_axis)
    # Volumes were not always turned to one orientation.
    turned = ("canonical",) if plan.num_axes == 3 else ()
    return hashlib.sha256(repr(parts + turned).encode()).hexdigest()[:16]


def case_key(identity: str, plan: Plan, *, stage: Stage) -> str:
    """What a prepared case was made from: the raw files (`fingerprint.identity_of_files`) and `plan_key`."""
    return f"{identity}-{plan_key(plan, stage)}"


def _write_files(folder: Path, prepared: Prepared, key: str) -> None:
    image, labels, sliced = prepared.image, prepared.labels, prepared.meta.sliced
    chunks = chunk_shape(image.shape, image.itemsize, sliced=sliced)
    save_array(folder / IMAGE, image, chunks)
    small: dict[str, NDArray[Any]] = {}
    if labels is not None:
        save_array(folder / CODES, labels.codes, chunk_shape((1, *labels.codes.shape), labels.codes.itemsize, sliced=sliced)[1:])
        small = {"table": labels.table, "ignore": labels.ignore}
        # One array for all classes: opening 29 members of a zip file takes longer than reading the image.
        small |= {"points": np.concatenate(prepared.points), "counts": np.array([len(p) for p in prepared.points])}
    np.savez(folder / SMALL, **small)  # type: ignore[arg-type]
    sizes, checksums = case_folders.sizes_of(folder), case_folders.checksums_of(folder)
    save_json(folder / META, Record(key=key, meta=prepared.meta, sizes=sizes, checksums=checksums))
