"""A folder that one process works in: a second one is refused, and told who has it.

The lock is a file that names its owner, kept locked by the kernel (flock) for as long as the owner lives: it ends with the process, however
that ends. Where the file system knows no such locks, and where it does not carry them to other machines, the owner named in the file
counts: by its start time on this machine, by its sign of life (the file's time, renewed every `SIGN_S` seconds) on another one. No clock
decides alone: one that was set, by a person or a time server, makes nobody dead who gives signs, and nobody alive who gives none.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from autoseg.errors import RunError
from autoseg.io.processes import Process, is_gone, this_process

#: Seconds between two signs of life, and after which an owner on another machine that gave none counts as gone.
SIGN_S, GONE_S = 20.0, 120.0
#: How often a file is made that its owner removes at the same time, and the pause between two tries.
TRIES, TRY_S = 20, 0.05
#: What a file system says that knows no locks.
UNKNOWN = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


class Lock:
    """A lock that is held; from `locked`.

    Parameters
    ----------
    path : Path
    handle : int
        The open file.
    made : sequence of Path
        Folders that were made for it, the innermost first; they go with it if nothing else came into them.
    """

    def __init__(self, path: Path, handle: int, made: Sequence[Path] = ()) -> None:
        self.path, self._handle, self._made = path, handle, made
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._give_signs, name="autoseg-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """RunError if the folder was removed, or replaced by another one, since it was locked; OSError if it cannot be looked at."""
        if not _is_at(self.path, self._handle):
            folder = self.path.parent
            what = "was replaced by another folder" if folder.is_dir() else "was removed"
            raise RunError(f"{folder} {what} while this command worked in it. It stops here; the command can be given again.")

    def release(self) -> None:
        """Let others have the folder.

        What fails here is no failure of the work that ends, and hides none: a file that stays behind names a process that is gone.
        """
        try:
            self._ended.set()
            self._thread.join()
        finally:
            # Also after a second Ctrl-C, which comes here as well: the lock must not outlive the work in a process that goes on.
            with suppress(OSError):
                # Nobody's from here on: who waits with the file open must not take the name in it for an owner that lives.
                os.ftruncate(self._handle, 0)
            with suppress(OSError):
                if _is_at(self.path, self._handle):
                    self.path.unlink(missing_ok=True)
            with suppress(OSError):
                os.close(self._handle)
        _remove_empty(self._made)

    def _give_signs(self) -> None:
        while not self._ended.wait(SIGN_S):
            try:
                os.utime(self._handle)
            except OSError:
                continue  # a network's hiccup: the next sign may arrive


@contextmanager
def locked(path: Path, doing: str) -> Iterator[Lock]:
    """Hold the lock `path` while the block runs.

    Parameters
    ----------
    path : Path
        Of the lock's file; its folder is made if need be.
    doing : str
        What the folder is used for, such as "trained".

    Raises
    ------
    RunError
        If another process has it; names its number and machine.
    """
    lock = _take(path, doing)
    try:
        yield lock
    finally:
        lock.release()


def refuse_if_locked(path: Path, doing: str) -> None:
    """RunError if another process holds the lock `path`; nothing is made."""
    if path.is_file():
        _take(path, doing).release()


def holder(path: Path) -> Process | None:
    """The process that holds the lock `path`, None if nobody does; nothing is taken, and nothing that was there changes.

    A process of another machine counts until its signs of life are over. The disk's clock is asked for that with a nameless file, or, where
    it knows none, with one beside the lock that is removed at once; where nobody can write, the owner's word stands.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        owner = _read(handle)
        with suppress(OSError):  # a folder that may only be read: the owner's word stands
            return None if owner is None or _has_ended(owner, path, handle, watch=False) else owner
        return owner
    finally:
        os.close(handle)


def _take(path: Path, doing: str) -> Lock:
    made = [folder for folder in path.parents if not folder.exists()]
    for attempt in range(TRIES):
        if attempt:
            time.sleep(TRY_S)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # an owner that ends has just removed the folder that it had made
        try:
            free = _try_lock(handle)
            owner = _read(handle)
            if not free or (owner is not None and not _has_ended(owner, path, handle)):
                raise RunError(_refusal(path, doing, owner))
            if _is_at(path, handle):  # else its owner has just removed it: another one is to be made
                _write(handle)
                return Lock(path, handle, made)
        except BaseException:
            os.close(handle)
            _remove_empty(made)
            raise
        os.close(handle)
    raise RunError(
        f"{path} is removed again and again, or this disk calls it by another number each time: {path.parent} cannot be locked. "
        "Use another disk for the workspace (-w)."
    )


def _remove_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _try_lock(handle: int) -> bool:
    """False if another process has it; True if this one has it now, or the file system knows no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNKNOWN:
            return True
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _has_ended(owner: Process, path: Path, handle: int, *, watch: bool = True) -> bool:
    """True if the owner named in a file that could be locked is gone.

    `watch`: an owner on another machine that seems silent is watched for a while, because the disk's clock may have been set.
    """
    gone = is_gone(owner)
    if gone is not None:
        return gone
    return _is_silent(path, handle) and not (watch and _gives_a_sign(handle))


def _gives_a_sign(handle: int) -> bool:
    """True if the owner renews the file's time while it is watched: no clock is asked for that."""
    before, begun = os.fstat(handle).st_mtime_ns, time.monotonic()
    while time.monotonic() - begun < 1.5 * SIGN_S:
        if os.fstat(handle).st_mtime_ns != before:
            return True
        time.sleep(SIGN_S / 20)
    return False


def _is_silent(path: Path, handle: int) -> bool:
    """True if the file's time is long past, or far ahead, on the clock of the disk that it lies on."""
    return abs(_disk_time(path) - os.fstat(handle).st_mtime) > GONE_S


def _disk_time(path: Path) -> float:
    """What the clock says that a new file beside `path` gets its time from."""
    try:
        nameless = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except (AttributeError, OSError):  # macOS, and disks like NFS
        probe = path.with_name(f"{path.name}-{os.getpid()}")
        try:
            probe.touch()
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)
    try:
        return os.fstat(nameless).st_mtime
    finally:
        os.close(nameless)


def _read(handle: int) -> Process | None:
    try:
        return Process(**json.loads(os.pread(handle, 4096, 0)))
    except (ValueError, TypeError, OSError):
        return None  # not to be read while another one holds it (SMB), empty, or cut short by the end of its owner


def _write(handle: int) -> None:
    data = json.dumps(asdict(this_process())).encode()
    os.ftruncate(handle, 0)
    os.pwrite(handle, data, 0)


def _is_at(path: Path, handle: int) -> bool:
    try:
        there, ours = path.stat(), os.fstat(handle)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _refusal(path: Path, doing: str, owner: Process | None) -> str:
    who = "another process" if owner is None else str(owner)
    if owner is not None and is_gone(owner) is None:
        advice = f"If that one has ended, wait {GONE_S / 60:.0f} minutes after its end, or delete {path}."
    else:
        advice = "Wait until it has ended, or stop it, and give the command again."
    return f"{path.parent} is being {doing} by {who}. {advice}"
