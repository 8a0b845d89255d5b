"""Files that are either whole or not there: written under a temporary name, flushed to the disk, renamed."""

from __future__ import annotations

import os
import platform
import shutil
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well the file written there takes its place.

    The name keeps the suffix (writers choose a format by it) and holds the process, the machine and the thread, so that no two writers
    ever share one, on a shared disk either.
    On an exception the temporary file goes and an earlier `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    who = f"{zlib.crc32(platform.node().encode()):x}{threading.get_native_id():x}"
    return path.with_name(f".tmp-{os.getpid()}-{who}-{path.name}")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, making its folder if need be."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; when the block ends well it takes that name, an earlier `path` removed as a whole.

    A folder of that name is so always complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
