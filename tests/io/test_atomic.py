import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autoseg.io.atomic import replacing, replacing_folder, write_fleeting, write_once, write_text


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert temporary.suffix == ".txt"
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [entry.read_text(encoding="utf-8") for entry in tmp_path.iterdir()] == ["old"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with replacing_folder(tmp_path / "f") as temporary:
            write_text(temporary / f"{name}.txt", name)
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["f", "f/new.txt"]


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_permissions_follow_the_umask_whatever_the_writer_does(tmp_path: Path, umask: int) -> None:
    with replacing(tmp_path / "net.safetensors") as temporary:
        save_file({"x": torch.zeros(2)}, temporary)
    with replacing(tmp_path / "private.txt") as temporary:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600))
    write_text(tmp_path / "a.txt", "usual")
    with replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "b.txt").touch()
    assert {path.name: mode_of(path) for path in tmp_path.rglob("*")} == {
        **dict.fromkeys(("net.safetensors", "private.txt", "a.txt", "b.txt"), 0o666 & ~umask),
        "folder": 0o777 & ~umask,
    }


def test_a_full_disk_is_named_with_the_file(tmp_path: Path) -> None:
    def fill(path: Path, *, folder: bool) -> None:
        with replacing_folder(path) if folder else replacing(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    for folder in (True, False):
        with pytest.raises(OSError, match=r"No space left on device: '.*/a\.txt'"):
            fill(tmp_path / "a.txt", folder=folder)
    assert list(tmp_path.iterdir()) == []


def test_what_is_fleeting_makes_no_folder(tmp_path: Path) -> None:
    for text in (b"old", b"new"):
        write_fleeting(tmp_path / "live.json", text)
    assert (tmp_path / "live.json").read_bytes() == b"new"
    with pytest.raises(FileNotFoundError):
        write_fleeting(tmp_path / "gone" / "live.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["live.json"]


@pytest.mark.parametrize("links", [True, False])
def test_what_is_written_once_stays_and_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "deep" / "key"
    for text in (b"first", b"second"):
        write_once(path, text)
    assert path.read_bytes() == b"first"
    assert mode_of(path) == 0o600
    # One that another process makes between the look and the writing.
    (tmp_path / "taken").write_bytes(b"another's")
    write_once(tmp_path / "taken", b"ours")
    assert (tmp_path / "taken").read_bytes() == b"another's"
    assert list(path.parent.iterdir()) == [path]


def test_small_modules_load_no_image_library() -> None:
    code = """
import sys
import autoseg.io.json_files, autoseg.io.names, autoseg.io.rle, autoseg.io.layouts, autoseg.io.check, autoseg.io.inputs, autoseg.io.writers
print([name for name in ("SimpleITK", "PIL", "tifffile", "skimage", "scipy", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
