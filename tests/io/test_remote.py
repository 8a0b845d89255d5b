"""Functions called in other processes by threads: answers, errors, deaths, and how many there are."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autoseg.errors import DataError, RunError
from autoseg.io.remote import Remote

REMEDY = "Buy more."


def work(item: tuple[str, Path]) -> int:
    """What the item says; gives the process's number."""
    what, folder = item
    if what == "fail":
        raise DataError(["x.png: bad"])
    if what == "die" or (what == "die once" and not (folder / "died").exists()):
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "meet":
        # Two at a time or none comes back.
        (folder / f"met{os.getpid()}").touch()
        end = time.monotonic() + 20
        while len(list(folder.glob("met*"))) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
    return os.getpid()


def test_calls_answers_and_deaths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    remote = Remote(work, most=2, remedy=REMEDY)
    try:
        first = remote(("go", tmp_path))
        assert first != os.getpid()
        assert remote(("go", tmp_path)) == first  # the same one, as it is free
        with pytest.raises(DataError, match=r"x\.png: bad") as found:
            remote(("fail", tmp_path))
        assert "in work" in str(found.value.__cause__)  # the traceback over there
        assert remote(("go", tmp_path)) == first
        assert remote.deaths == 0
        assert remote(("die once", tmp_path)) != first
        assert remote.deaths == 1
        assert "a process was killed by SIGKILL while it worked on die once" in caplog.text
        with pytest.raises(RunError, match=r"^die: the process that worked on it was killed by SIGKILL, 2 times\. .*: Buy more\."):
            remote(("die", tmp_path))
        assert remote(("go", tmp_path)) not in (first, os.getpid())
    finally:
        remote.close()


@pytest.mark.slow
def test_no_more_processes_than_allowed(tmp_path: Path) -> None:
    remote = Remote(work, most=2, remedy=REMEDY)
    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(remote, [("meet", tmp_path)] * 6))
    finally:
        remote.close()
    assert len(set(found)) == 2
    for number in set(found):
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
