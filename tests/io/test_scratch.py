"""Arrays in nameless files."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from autoseg.io import scratch
from autoseg.io.scratch import is_in_memory, let_go, roomy_zeros


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
    monkeypatch.setattr(scratch, "is_in_memory", lambda folder: False)
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


MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 {device} / /tmp rw,nosuid shared:12 master:3 - {kind} tmpfs rw
25 24 0:23 / /odd
"""


@pytest.mark.parametrize(("kind", "there"), [("tmpfs", True), ("ramfs", True), ("ext4", False), ("overlay", False)])
def test_what_the_system_says_of_a_folder(tmp_path: Path, kind: str, there: bool) -> None:
    device = os.stat(tmp_path).st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(device=f"{os.major(device)}:{os.minor(device)}", kind=kind))
    assert is_in_memory(tmp_path, mounts) == there
    assert not is_in_memory(tmp_path / "absent", mounts)
    mounts.write_text(MOUNTS.format(device="0:9999", kind=kind))
    assert not is_in_memory(tmp_path, mounts)
    assert not is_in_memory(tmp_path, tmp_path / "absent")


@pytest.mark.parametrize("chosen", [True, False], ids=["TMPDIR", "default"])
def test_files_in_memory_are_no_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: bool) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "var").mkdir()
    monkeypatch.setattr(scratch, "LARGE", 1)
    monkeypatch.setattr(scratch, "LEFT", 0)
    monkeypatch.setattr(scratch, "LASTING", tmp_path / "var")
    monkeypatch.setattr(scratch, "is_in_memory", lambda folder: folder.name == "tmp")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    if chosen:
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    assert isinstance(roomy_zeros((3,), np.uint8), np.memmap) != chosen
    monkeypatch.setattr(scratch, "is_in_memory", lambda folder: True)
    assert type(roomy_zeros((3,), np.uint8)) is np.ndarray


SHARED = Path("/dev/shm")  # noqa: S108


@pytest.mark.skipif(not SHARED.is_mount(), reason="asks Linux")
def test_shared_memory_is_memory() -> None:
    assert is_in_memory(SHARED)
