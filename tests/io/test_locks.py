"""One process in a folder: the second is told who the first is, and what the first leaves behind locks nobody out."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from autoseg.errors import RunError
from autoseg.io import locks
from autoseg.io.locks import GONE_S, locked, refuse_if_locked
from autoseg.io.processes import Process, is_gone, start_ticks, this_process

HOLDER = """
import sys, time
from pathlib import Path
from autoseg.io.locks import locked
with locked(Path(sys.argv[1]), "trained"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def leave(path: Path, owner: Process) -> None:
    """A lock as a process that was killed leaves it."""
    path.write_text(json.dumps(asdict(owner)), encoding="utf-8")


def test_the_second_is_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "fold0" / ".lock"
    with another(path) as process:
        expected = rf"fold0 is being trained by process {process.pid} on {this_process().host}\. Wait until it has ended, or stop it"
        with pytest.raises(RunError, match=expected), locked(path, "trained"):
            pass
        with pytest.raises(RunError, match=expected):
            refuse_if_locked(path, "trained")


def test_a_killed_owner_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with another(path) as process:
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


def test_an_owner_on_another_machine_counts_until_it_is_silent(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    leave(path, Process(host="elsewhere", pid=7))
    with pytest.raises(RunError, match=r"process 7 on elsewhere\. If that one has ended, wait 2 minutes after its end, or delete .*\.lock"):
        refuse_if_locked(path, "trained")
    long_ago = time.time() - 2 * GONE_S
    os.utime(path, (long_ago, long_ago))
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
