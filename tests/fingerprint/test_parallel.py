"""One function over many cases, here or in a pool."""

import operator
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from autoseg.errors import DataError, RunError
from autoseg.io import parallel
from autoseg.io.parallel import map_cases
from autoseg.io.pool import in_pool
from autoseg.io.processes import start_ticks


def slow_process(item: int) -> tuple[int, int]:
    time.sleep(0.02)
    return item, os.getpid()


def fail(item: int) -> int:
    if item == 2:
        raise DataError([f"{item}: bad"])
    return item


def die(item: int) -> int:
    if item == 2:
        os._exit(1)
    return item


def killed_once(mark: Path, item: int) -> int:
    if item == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def note_and_sleep(folder: Path, item: int) -> int:
    (folder / f"worker-{os.getpid()}").touch()
    time.sleep(600)
    return item


def test_quick_work_stays_in_this_process() -> None:
    seen: list[tuple[int, int]] = []
    found = list(map_cases(abs, [-1, -2, -3], workers=4, progress=lambda done, total: seen.append((done, total))))
    assert found == [1, 2, 3]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_when_a_pool_pays() -> None:
    assert not parallel.pool_pays(0.05, 40, 4)  # 2 s of work
    assert parallel.pool_pays(0.5, 40, 4)
    assert not parallel.pool_pays(30, 1, 4)
    assert not parallel.pool_pays(30, 0, 4)


@pytest.mark.slow
def test_slow_work_goes_to_a_pool_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "pool_pays", lambda seconds, left, workers: seconds > 0.01)
    seen: list[int] = []
    found = list(map_cases(slow_process, range(8), workers=2, progress=lambda done, total: seen.append(done)))
    assert [item for item, _ in found] == list(range(8))
    assert seen == list(range(1, 9))
    assert len({pid for _, pid in found}) >= 2


@pytest.mark.slow
def test_a_workers_error_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "pool_pays", lambda seconds, left, workers: True)
    with pytest.raises(DataError, match="2: bad"):
        list(map_cases(fail, range(8), workers=2))


@pytest.mark.slow
def test_a_worker_that_dies_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "pool_pays", lambda seconds, left, workers: True)
    with pytest.raises(RunError, match=r"^2: the process that worked on it ended with code 1, 2 times\. .*Finished cases are kept"):
        list(map_cases(die, range(8), workers=2))


@pytest.mark.slow
def test_a_case_that_is_killed_once_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert list(in_pool(partial(killed_once, tmp_path / "killed"), range(6), workers=2)) == list(range(6))
    assert "a process was killed by SIGKILL while it worked on 3; the case is tried again, with 1 at a time" in caplog.text


@pytest.mark.slow
def test_a_killed_parent_takes_its_workers_along(tmp_path: Path) -> None:
    code = f"""
import sys
from functools import partial
from pathlib import Path
from autoseg.io.pool import in_pool
from tests.fingerprint.test_parallel import note_and_sleep
if __name__ == "__main__":
    list(in_pool(partial(note_and_sleep, Path({str(tmp_path)!r})), range(2), workers=2))
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    while len(list(tmp_path.glob("worker-*"))) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    workers = [int(path.name.partition("-")[2]) for path in tmp_path.glob("worker-*")]
    until = time.monotonic() + 30
    while any(start_ticks(pid) for pid in workers):
        assert time.monotonic() < until, "a worker lives on without its parent"
        time.sleep(0.05)


def test_empty() -> None:
    assert list(map_cases(operator.neg, [], workers=4)) == []
