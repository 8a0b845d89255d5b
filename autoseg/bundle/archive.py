"""Reading a zip file that may come from anyone: every size is checked before memory is spent, and nothing is written to the disk.

A bundle's files are stored as they are, not compressed (weights do not compress). So a zip bomb cannot be: what is read is never more
than what was downloaded. Files are read into memory one at a time by plain names, so no name, link or path leads anywhere.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from autoseg.bundle.manifest import MANIFEST, MAX_JSON_BYTES, FileFacts, Manifest, is_plain_name, parse_manifest
from autoseg.errors import FileFormatError

#: Files in a bundle, and bytes of the list of them: 5 folds, 2 stages and room.
MAX_FILES = 512
MAX_DIRECTORY_BYTES = 2**17

# APPNOTE.TXT 4.3.14 to 4.3.16 (PKWARE): the end of a zip file, and of one beyond 4 GiB. "<": no padding.
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")

ADVICE = "Download or copy it again, or export it anew (autoseg export)."


class Archive:
    """An open bundle. Made by `open_archive`.

    Parameters
    ----------
    path : Path
    zip : zipfile.ZipFile
        Whose list of files was checked.
    """

    def __init__(self, path: Path, zip: zipfile.ZipFile) -> None:
        self.path = path
        self._zip = zip
        self._infos = {info.filename: info for info in zip.infolist()}
        self.manifest = self._read_manifest()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._infos[name].file_size

    def read(self, name: str) -> bytes:
        """A file that the manifest names, as it was written; FileFormatError if a byte of it is another one."""
        data = self._bytes(name)
        if hashlib.sha256(data).hexdigest() != self.manifest.files[name].sha256:
            raise FileFormatError(f"{self.path} is damaged or was altered: the checksum of {name} does not fit. {ADVICE}")
        return data

    def read_text(self, name: str) -> str:
        """A JSON file that the manifest names."""
        _check_json_size(self.path, name, self.size(name))
        try:
            return self.read(name).decode()
        except UnicodeDecodeError:
            raise FileFormatError(f"{self.path}: {name} is no text. {ADVICE}") from None

    def _bytes(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
            raise FileFormatError(f"{self.path} is damaged: {name} cannot be read ({error}). {ADVICE}") from None

    def _read_manifest(self) -> Manifest:
        if MANIFEST not in self._infos:
            raise FileFormatError(f"{self.path} is no bundle of autoseg: it holds no {MANIFEST}. `autoseg export` makes one.")
        _check_json_size(self.path, MANIFEST, self.size(MANIFEST))
        manifest = parse_manifest(self._bytes(MANIFEST), str(self.path))
        there = {name: info.file_size for name, info in self._infos.items() if name != MANIFEST}
        check_files(self.path, manifest.files, there)
        return manifest


def check_files(path: Path, wanted: dict[str, FileFacts], there: dict[str, int]) -> None:
    """FileFormatError unless the files are those of the manifest, of the sizes that it says."""
    for name in sorted(wanted.keys() | there.keys()):
        if name not in there:
            raise FileFormatError(f"{path} is damaged: {name} is missing. {ADVICE}")
        if name not in wanted:
            raise FileFormatError(f"{path} holds {name!r}, which its {MANIFEST} does not name. {ADVICE}")
        if there[name] != wanted[name].bytes:
            raise FileFormatError(f"{path} is damaged: {name} has {there[name]} bytes, expected {wanted[name].bytes}. {ADVICE}")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a bundle and check all that its list of files says.

    Raises
    ------
    FileFormatError
        Naming the file and what is wrong: no zip file, cut short, a name that leads out of it, a link, compressed or encrypted files,
        sizes beyond the file's own.
    """
    try:
        with path.open("rb") as stream:
            _check_end(stream, path)
            with zipfile.ZipFile(stream) as archive:
                _check_members(archive.infolist(), path, os.fstat(stream.fileno()).st_size)
                yield Archive(path, archive)
    except (zipfile.BadZipFile, struct.error, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is damaged or no bundle ({error}). {ADVICE}") from None
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from None


def _check_end(stream: BinaryIO, path: Path) -> None:
    """The list of files must be short: zipfile reads all of it, and a crafted one of a gigabyte takes ten in memory."""
    length = stream.seek(0, os.SEEK_END)
    tail_bytes = min(length, _END.size + _LOCATOR.size + _END64.size)
    stream.seek(length - tail_bytes)
    tail = stream.read(tail_bytes)
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\5\6"):
        raise FileFormatError(f"{path} is no bundle, or was cut short: its end is not that of a zip file. {ADVICE}")
    _, _, _, _, entries, num_bytes, _, comment = _END.unpack(tail[-_END.size :])
    locator = tail[-_END.size - _LOCATOR.size : -_END.size]
    if locator.startswith(b"PK\6\7"):
        where = _LOCATOR.unpack(locator)[2]
        if where != length - tail_bytes or not tail.startswith(b"PK\6\6"):
            raise FileFormatError(f"{path} is damaged: its end contradicts itself. {ADVICE}")
        entries, num_bytes = _END64.unpack(tail[: _END64.size])[7:9]
    if comment or entries > MAX_FILES or num_bytes > MAX_DIRECTORY_BYTES:
        raise FileFormatError(f"{path} is no bundle: it lists {entries} files in {num_bytes} bytes; at most {MAX_FILES} are allowed")


def _check_members(infos: list[zipfile.ZipInfo], path: Path, length: int) -> None:
    names: set[str] = set()
    for info in infos:
        if wrong := _member_problem(info, names):
            raise FileFormatError(f"{path} is not taken: {info.filename[:80]!r} {wrong}. `autoseg export` writes no such file.")
        names.add(info.filename)
    total = sum(info.file_size for info in infos)
    if total > length:
        raise FileFormatError(f"{path} is not taken: its files are said to hold {total} bytes, and it has {length} itself. {ADVICE}")


def _member_problem(info: zipfile.ZipInfo, earlier: set[str]) -> str:
    if not is_plain_name(info.filename):
        return "is no plain name: it may lead out of a folder"
    if info.filename in earlier:
        return "stands in it twice"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link or no plain file"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed; a bundle's files are stored as they are, so that their size is known before they are read"
    return ""


def _check_json_size(path: Path, name: str, num_bytes: int) -> None:
    if num_bytes > MAX_JSON_BYTES:
        raise FileFormatError(f"{path} is not taken: {name} has {num_bytes} bytes, more than {MAX_JSON_BYTES}")
