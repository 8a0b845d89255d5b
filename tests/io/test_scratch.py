"""Arrays in nameless files."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from autoseg.io import scratch
from autoseg.io.scratch import let_go, roomy_zeros


def resident_bytes() -> int:
    """Of files and shared memory that lie in this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssFile", "RssShmem")))


def test_small_ones_stay_in_memory() -> None:
    assert type(roomy_zeros((2, 3), np.uint8)) is np.ndarray


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="asks Linux")
def test_a_large_one_leaves_memory_and_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scratch, "LARGE", 2**20)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = roomy_zeros((4, 2**22), np.uint8)
    assert list(tmp_path.iterdir()) == []
    assert not array.any()
    array[:] = np.arange(4, dtype=np.uint8)[:, None]
    held = resident_bytes()
    let_go(array[1])
    assert resident_bytes() <= held - 2**23
    assert array.sum() == 6 * 2**22


def test_others_keep_some_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LARGE", 1)
    monkeypatch.setattr(scratch, "LEFT", 2**62)
    assert type(roomy_zeros((3,), np.uint8)) is np.ndarray


def test_a_full_disk_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch, "LARGE", 1)
    monkeypatch.setattr(os, "posix_fallocate", full)
    array = roomy_zeros((3,), np.float16)
    assert type(array) is np.ndarray
    let_go(array)
    assert array.dtype == np.float16
    assert array.tolist() == [0, 0, 0]
