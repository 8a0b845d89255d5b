"""The prepared cases on disk: a folder per case, made under another name and renamed when it is whole.

FOLDER/CASE/image.b2nd    blosc2, (C, *spatial)
FOLDER/CASE/codes.b2nd    blosc2, (*spatial); absent without labels
FOLDER/CASE/small.npz     table, ignore, and the points of all classes with their counts
FOLDER/CASE/case.json     PreparedMeta, the key it was made from, and the other files' sizes; written last
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import blosc2
import numpy as np
from numpy.typing import NDArray

from autoseg.errors import FileFormatError
from autoseg.io.json_files import load_json, save_json
from autoseg.io.names import escape_name, unescape_name
from autoseg.labels import CodeMap, Codes
from autoseg.plan import Plan, Stage
from autoseg.preprocess.prepared import PREPARED_VERSION, Prepared, PreparedMeta

IMAGE, CODES, SMALL, META = "image.b2nd", "codes.b2nd", "small.npz", "case.json"

#: Bytes of a chunk, what a reader decompresses at least. Measured on a 2048 x 2048 image: a whole read takes 9 ms whatever the chunk, a
#: 512 x 512 crop 2 ms.
CHUNK_BYTES = 1 << 20
#: Slices smaller than this share a chunk: a chunk of 2 KB costs as much to find as one of 64.
SLICES_BYTES = 1 << 16
#: zstd at its lowest level: 20 % smaller than lz4 on noisy 8-bit images and written in 20 ms per 2048 x 2048; level 5 takes 110 ms for 5 %.
COMPRESSION_LEVEL = 1


class Slicable(Protocol):
    """An array on disk: numpy's slicing reads only the chunks that it needs."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> NDArray[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Record:
    """The file case.json."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    key: str
    meta: PreparedMeta
    sizes: dict[str, int] = field(default_factory=dict)


class StoredCase:
    """A case in the store; arrays are opened at first use and read by slices.

    Safe to hand to another process or thread before its first use; blosc2 arrays themselves stay in the one that opened them.
    """

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.meta = record.meta
        self.has_labels = CODES in record.sizes

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, prepared axes."""
        return self.meta.shape

    @cached_property
    def image(self) -> Slicable:
        """(C, *spatial), as stored: not normalised."""
        return _open(self.folder / IMAGE)

    @cached_property
    def codes(self) -> Slicable:
        """(*spatial), uint8 or uint16; rows of `table`."""
        return _open(self.folder / CODES)

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

    def __reduce__(self) -> tuple[Any, ...]:
        sizes = {CODES: 0} if self.has_labels else {}
        return StoredCase, (self.folder, Record(key="", meta=self.meta, sizes=sizes))


class PreparedStore:
    """Prepared cases by name.

    Parameters
    ----------
    folder : Path
        Created at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def case_folder(self, name: str) -> Path:
        """Where a case lies or would lie."""
        return self.folder / escape_name(name)

    def has(self, name: str, key: str | None = None) -> bool:
        """True if the case is there, whole, and made from what `key` says (any key if None)."""
        try:
            record = self._record(name)
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
        """A case for reading.

        Raises
        ------
        FileFormatError
            If it is absent or one of its files is missing or cut short.
        """
        return StoredCase(self.case_folder(name), self._record(name))

    def write(self, prepared: Prepared, *, key: str) -> None:
        """Write a case as a whole; an earlier one of the same name is replaced."""
        final = self.case_folder(prepared.meta.name)
        temporary = self.folder / f".tmp-{os.getpid()}-{final.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            _write_files(temporary, prepared, key)
            if final.exists():
                # Not one step: a reader sees the old case, none, or the new one, and never half of one.
                old = self.folder / f".old-{os.getpid()}-{final.name}"
                final.rename(old)
                temporary.rename(final)
                shutil.rmtree(old)
            else:
                temporary.rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Delete what processes that are gone left half written."""
        for path in self.folder.glob(".[to][ml][pd]-*") if self.folder.is_dir() else ():
            owner = path.name.split("-")[1]
            if not (owner.isdigit() and _is_running(int(owner))):
                shutil.rmtree(path, ignore_errors=True)

    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file())

    def _record(self, name: str) -> Record:
        folder = self.case_folder(name)
        record = load_json(folder / META, Record)
        for file, size in record.sizes.items():
            path = folder / file
            if not path.is_file() or path.stat().st_size != size:
                raise FileFormatError(f"{path} is missing or cut short; run plan_and_preprocess again, it replaces the case")
        return record


def plan_key(plan: Plan, stage: Stage) -> str:
    """16 hex digits from the parts of a plan that prepared cases depend on; plans that agree in them share a store."""
    spacing = stage.spacing if stage.resample else ()
    parts = (PREPARED_VERSION, plan.normalization, plan.crop_to_nonzero, plan.labels.classes, stage.resample, spacing, stage.slice_axis)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def case_key(identity: str, plan: Plan, *, stage: Stage) -> str:
    """What a prepared case was made from: the raw files (`fingerprint.identity_of_files`) and `plan_key`."""
    return f"{identity}-{plan_key(plan, stage)}"


def chunk_shape(shape: tuple[int, ...], itemsize: int, *, sliced: bool) -> tuple[int, ...]:
    """Chunks of (C, *spatial): at most `CHUNK_BYTES`, the longest axis halved until they fit; few slices deep where slices are read.

    Examples
    --------
    >>> chunk_shape((1, 2048, 2048), 1, sliced=False), chunk_shape((1, 40, 512, 512), 1, sliced=True)
    ((1, 1024, 1024), (1, 1, 512, 512))
    """
    chunk = list(shape)
    if sliced:
        slice_bytes = int(np.prod(shape)) // shape[1] * itemsize
        chunk[1] = min(shape[1], max(1, SLICES_BYTES // slice_bytes))
    while np.prod(chunk) * itemsize > CHUNK_BYTES and max(chunk[1:]) > 16:
        longest = 1 + int(np.argmax(chunk[1:]))
        chunk[longest] = -(-chunk[longest] // 2)
    return tuple(chunk)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # asks, sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_files(folder: Path, prepared: Prepared, key: str) -> None:
    image, labels, sliced = prepared.image, prepared.labels, prepared.meta.sliced
    chunks = chunk_shape(image.shape, image.itemsize, sliced=sliced)
    _save(folder / IMAGE, image, chunks)
    small: dict[str, NDArray[Any]] = {}
    if labels is not None:
        _save(folder / CODES, labels.codes, chunk_shape((1, *labels.codes.shape), labels.codes.itemsize, sliced=sliced)[1:])
        small = {"table": labels.table, "ignore": labels.ignore}
        # One array for all classes: opening 29 members of a zip file takes longer than reading the image.
        small |= {"points": np.concatenate(prepared.points), "counts": np.array([len(p) for p in prepared.points])}
    np.savez(folder / SMALL, **small)  # type: ignore[arg-type]
    sizes = {p.name: p.stat().st_size for p in folder.iterdir()}
    save_json(folder / META, Record(key=key, meta=prepared.meta, sizes=sizes))


def _save(path: Path, array: NDArray[Any], chunks: tuple[int, ...]) -> None:
    settings = {"codec": blosc2.Codec.ZSTD, "clevel": COMPRESSION_LEVEL, "nthreads": 1}
    # In memory first: blosc2 writing chunk by chunk took 12 ms a file for 35 small slices.
    compressed = blosc2.asarray(np.ascontiguousarray(array), chunks=chunks, cparams=settings)
    path.write_bytes(compressed.to_cframe())


def _open(path: Path) -> Slicable:
    try:
        return _Named(path, cast(Slicable, blosc2.open(str(path), mode="r", dparams={"nthreads": 1})))
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(_damaged(path)) from error


def _damaged(path: Path) -> str:
    return f"{path} is damaged. Delete the folder {path.parent} and run plan_and_preprocess again: it makes the case anew."


class _Named:
    """A blosc2 array whose errors name its file."""

    def __init__(self, path: Path, array: Slicable) -> None:
        self.path, self.array = path, array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            return self.array[key]
        except (RuntimeError, ValueError) as error:
            raise FileFormatError(_damaged(self.path)) from error
