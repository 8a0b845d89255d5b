"""Files that are either whole or not there: written under a temporary name, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import stat
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from autoseg.io.processes import is_running

#: Names as `_temporary` makes them.
TEMPORARY = re.compile(r"\.(tmp|old)-[^-]*-[^-]*-")
#: What a disk says that is full or failing.
UNWRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
#: What a file system says that knows no hard links.
NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}
#: What a system says where nothing can be written from here, or read.
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_SCRATCHES = count()
#: How often a folder is moved to a name that other processes take at the same time.
RENAMES = 20


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well the file written there takes its place.

    The name keeps the suffix (writers choose a format by it) and holds the process, the machine and the thread, so that no two writers
    ever share one, on a shared disk either.
    On an exception the temporary file goes and an earlier `path` stays as it was. Who may read the file is decided as for any new one
    (umask), however the writer made it: safetensors makes files that only their owner reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    mode = _usual_mode(temporary, path)
    try:
        with naming(path):
            yield temporary
            if _mode_of(temporary) != mode:
                temporary.chmod(mode)
            _flush(temporary)
            temporary.replace(path)
            _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say what could not be written: an error of write(2), a full disk's, names no file by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in UNWRITTEN:
            error.filename = str(path)
        raise


def remove_leftovers(folder: Path, *, everyones: bool = False) -> None:
    """Delete what processes that are gone left half written in a folder.

    Parameters
    ----------
    folder : Path
        May be absent.
    everyones : bool
        Nobody else writes there now: what other machines left goes, too.
    """
    for path in tuple(folder.iterdir()) if folder.is_dir() else ():
        if not (TEMPORARY.match(path.name) if everyones else is_leftover(path)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """True of a half-written file or folder whose writer was a process of this machine and has ended."""
    if not TEMPORARY.match(path.name):
        return False
    pid, who = path.name.split("-")[1:3]
    return pid.isdigit() and int(pid) != os.getpid() and who.startswith(_host()) and not is_running(int(pid))


def discard_folder(folder: Path) -> None:
    """Delete a folder, which first loses its name: nothing half gone is ever taken for whole, and what is left of it is a leftover."""
    aside = _temporary(folder, "old")
    folder.rename(aside)
    shutil.rmtree(aside)


def _temporary(path: Path, kind: str = "tmp") -> Path:
    return path.with_name(f".{kind}-{os.getpid()}-{_host()}{threading.get_native_id():x}-{path.name}")


def _usual_mode(temporary: Path, path: Path) -> int:
    """The permissions of a file that is made there by `open`; asking the umask itself would change it for other threads.

    What cannot be made is called by the name that it would have had in the end.
    """
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        error.filename = str(path)
        raise
    mode = _mode_of(temporary)
    temporary.unlink()
    return mode


def _mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _flush(file: Path) -> None:
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    """A new name is on the disk when its folder is; systems that cannot flush folders keep them in order themselves."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, making its folder if need be."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_fleeting(path: Path, data: bytes) -> None:
    """Replace in one step a file that only says how things are right now: it is not flushed to the disk, and no folder is made for it."""
    temporary = _temporary(path)
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_once(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, unless there is one: of several writers at a time the first one's stays.

    Where the disk knows no hard links, others may see it before it is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        _write_new(temporary, data)
        with suppress(FileExistsError):
            try:
                os.link(temporary, path)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                _write_new(path, data)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _write_new(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; when the block ends well it takes that name, an earlier `path` removed as a whole.

    A folder of that name is so always complete. Not one step: a reader sees the old folder, none, or the new one, and never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = _temporary(path), _temporary(path, "old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with naming(path):
            yield temporary
            for file in temporary.iterdir():
                _flush(file)
            _flush_folder(temporary)
            _move(temporary, path, old)
            _flush_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def scratch_folder(path: Path) -> Path:
    """A new, empty folder beside `path`, for the caller to fill and to remove; `remove_leftovers` takes that of a process that is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _temporary(path.with_name(f"{next(_SCRATCHES)}-{path.name}.scratch"))
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return scratch


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or make a copy where the disk knows no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)


def _move(temporary: Path, path: Path, old: Path) -> None:
    """Rename a folder to `path`, whatever is there to `old`; again if another process was quicker."""
    for _ in range(RENAMES):
        with suppress(FileNotFoundError):
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            return
    raise FileExistsError(errno.EEXIST, "is made again and again by another process", str(path))
