"""One process in a folder: the second is told who the first is, and what the first leaves behind locks nobody out."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import RunError
from autoseg.io import locks
from autoseg.io.locks import GONE_S, holder, locked, refuse_if_locked
from autoseg.io.processes import Process, is_gone, start_ticks, this_process
from tests.io.holding import another

HOLDER = """
import sys, time
from pathlib import Path
from autoseg.io.locks import locked
with locked(Path(sys.argv[1]), "trained"):
    print("held", flush=True)
    time.sleep(600)
"""


def leave(path: Path, owner: Process) -> None:
    """A lock as a process that was killed leaves it."""
    path.write_text(json.dumps(asdict(owner)), encoding="utf-8")


def test_the_second_is_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "fold0" / ".lock"
    with another(HOLDER, path) as process:
        expected = rf"fold0 is being trained by process {process.pid} on {this_process().host}\. Wait until it has ended, or stop it"
        with pytest.raises(RunError, match=expected), locked(path, "trained"):
            pass
        with pytest.raises(RunError, match=expected):
            refuse_if_locked(path, "trained")


def test_a_killed_owner_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with another(HOLDER, path) as process:
        process.kill()
        process.wait()
        assert path.exists()
        with locked(path, "trained") as lock:
            lock.check()
            assert json.loads(path.read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert not path.exists()


def test_the_same_process_is_refused_too_and_what_was_released_is_free(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path, "trained"), pytest.raises(RunError, match=f"process {os.getpid()} "), locked(path, "trained"):
        pass
    with locked(path, "trained"):
        refuse_if_locked(tmp_path / "absent", "trained")
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_was_given_again_is_another_process() -> None:
    here = this_process()
    assert is_gone(here) is False
    assert is_gone(replace(here, started=here.started - 1)) is True
    assert is_gone(replace(here, machine="an earlier start of this machine")) is True
    assert is_gone(replace(here, host="elsewhere")) is None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_gone(replace(here, pid=ended.pid)) is True
    assert start_ticks(ended.pid) == 0


@pytest.mark.parametrize("is_known", [True, False])
def test_where_the_disk_knows_no_locks_the_named_owner_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool) -> None:
    monkeypatch.setattr(locks, "_try_lock", lambda handle: True)
    path = tmp_path / ".lock"
    owner = this_process() if is_known else replace(this_process(), started=this_process().started - 1)
    leave(path, owner)
    if is_known:
        with pytest.raises(RunError, match=f"process {os.getpid()} "), locked(path, "trained"):
            pass
    else:
        with locked(path, "trained"):
            pass


def test_an_owner_on_another_machine_counts_until_it_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SIGN_S", 0.02)
    path = tmp_path / ".lock"
    leave(path, Process(host="elsewhere", pid=7))
    with pytest.raises(RunError, match=r"process 7 on elsewhere\. If that one has ended, wait 2 minutes after its end, or delete .*\.lock"):
        refuse_if_locked(path, "trained")
    long_ago = time.time() - 2 * GONE_S
    os.utime(path, (long_ago, long_ago))
    with locked(path, "trained"):
        pass


DAY_S = 86_400


@pytest.mark.parametrize("jump_s", [3 * DAY_S, -3 * DAY_S])
def test_a_clock_that_was_set_makes_nobody_dead_who_gives_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: int) -> None:
    monkeypatch.setattr(locks, "SIGN_S", 2.0)  # long enough for a thread that gets no core; a sign is seen as soon as it comes
    path = tmp_path / ".lock"
    leave(path, Process(host="elsewhere", pid=7))
    ended = threading.Event()

    def give_signs() -> None:
        # Its own clock, which the file's time comes from, lies days before or behind this machine's.
        while not ended.wait(0.1):
            os.utime(path, (time.time() - jump_s, time.time() - jump_s))

    os.utime(path, (time.time() - jump_s, time.time() - jump_s))
    owner = threading.Thread(target=give_signs)
    owner.start()
    try:
        with pytest.raises(RunError, match=r"process 7 on elsewhere\."), locked(path, "trained"):
            pass
    finally:
        ended.set()
        owner.join()
    # It has ended: wherever its clock was, it is silent now.
    monkeypatch.setattr(locks, "SIGN_S", 0.2)
    with locked(path, "trained"):
        pass


def test_an_owner_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SIGN_S", 0.01)
    path = tmp_path / ".lock"
    with locked(path, "trained"):
        os.utime(path, (1, 1))
        until = time.monotonic() + 30
        while path.stat().st_mtime < 2:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.parametrize("nameless", [True, False])
def test_whoever_looks_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool) -> None:
    path, opened = tmp_path / ".lock", os.open
    leave(path, Process(host="elsewhere", pid=7))
    seen: list[list[str]] = []

    def noted(where: Path, flags: int, mode: int = 0o777) -> int:
        if not nameless and flags & os.O_TMPFILE == os.O_TMPFILE:
            refuse(errno.EOPNOTSUPP)
        seen.append(sorted(entry.name for entry in tmp_path.iterdir()))
        return opened(where, flags, mode)

    monkeypatch.setattr(os, "open", noted)
    before = path.stat()
    owner = holder(path)
    assert owner is not None
    assert owner.host == "elsewhere"
    long_ago = time.time() - 2 * GONE_S
    os.utime(path, (long_ago, long_ago))
    assert holder(path) is None
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]
    assert path.stat().st_ino == before.st_ino
    assert path.read_bytes()
    if nameless:
        assert all(names == [".lock"] for names in seen)


def test_a_folder_that_was_made_for_it_and_stayed_empty_goes(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b" / ".lock", "trained"):
        pass
    with locked(tmp_path / "c" / "d" / ".lock", "trained"):
        (tmp_path / "c" / "file").touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["c", "c/file"]


def test_a_file_cut_short_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text('{"host": "x", "pi', encoding="utf-8")
    with locked(path, "trained"):
        pass


def test_a_folder_that_goes_away_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "fold0"
    with locked(folder / ".lock", "trained") as lock:
        lock.check()
        folder.rename(tmp_path / "moved")
        with pytest.raises(RunError, match=r"fold0 was removed while this command worked in it"):
            lock.check()
        folder.mkdir()
        with pytest.raises(RunError, match=r"fold0 was replaced by another folder"):
            lock.check()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_what_keeps_a_folder_from_being_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with locked(tmp_path / ".lock", "trained") as lock:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", lambda path: refuse(number, path))
            with pytest.raises(OSError, match=os.strerror(number)) as caught:
                lock.check()
            assert caught.value.filename == str(tmp_path / ".lock")
        lock.check()


def refuse(number: int, path: object = None) -> Any:
    raise OSError(number, os.strerror(number), str(path))


@pytest.mark.parametrize("function", ["ftruncate", "close"])
def test_what_fails_at_the_end_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def fail() -> None:
        with locked(tmp_path / ".lock", "trained"):
            monkeypatch.setattr(os, function, lambda *arguments: refuse(errno.ESTALE))
            raise RunError("the reason")

    with pytest.raises(RunError, match=r"^the reason$"):
        fail()


def test_a_second_ctrl_c_while_it_is_released_leaves_it_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".lock"

    def interrupted() -> None:
        with locked(path, "trained") as lock:
            monkeypatch.setattr(lock._thread, "join", lambda: signal.raise_signal(signal.SIGINT))

    # Whoever starts the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []
    with locked(path, "trained"):
        pass


def test_a_file_that_is_always_removed_ends_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "TRY_S", 0.0)
    monkeypatch.setattr(locks, "_is_at", lambda path, handle: False)
    with pytest.raises(RunError, match=r"\.lock is removed again and again, .* Use another disk for the workspace \(-w\)"):
        refuse_then_lock(tmp_path / ".lock")
    monkeypatch.undo()
    with locked(tmp_path / ".lock", "trained"):
        pass


def refuse_then_lock(path: Path) -> None:
    with locked(path, "trained"):
        pass


def test_an_owner_that_removes_its_folder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened, times = tmp_path / "a" / ".lock", os.open, 0

    def open_late(*arguments: Any) -> int:
        nonlocal times
        times += 1
        if times == 1:
            path.parent.rmdir()
        return opened(*arguments)

    monkeypatch.setattr(os, "open", open_late)
    with locked(path, "trained") as lock:
        lock.check()
    assert times == 2
