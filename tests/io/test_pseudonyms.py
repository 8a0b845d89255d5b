"""Patients' names: a keyed hash of the identifier, its key made once for all processes, and nothing hangs on the key."""

import errno
import hashlib
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoseg.errors import FileFormatError
from autoseg.io import pseudonyms
from autoseg.io.pseudonyms import PSEUDONYM, Salt, numbered

PRINT_NAME = "import sys; from pathlib import Path; from autoseg.io.pseudonyms import Salt; print(Salt(Path(sys.argv[1])).hashed('4711'))"


def test_a_name_is_the_keyed_hash(tmp_path: Path) -> None:
    key = bytes(range(32))
    (tmp_path / "salt").write_text(key.hex() + "\n", encoding="ascii")
    expected = hashlib.blake2b(b"Kim^Sora-4711", key=key, digest_size=8).hexdigest()
    name = Salt(tmp_path / "salt").hashed("Kim^Sora-4711")
    assert name == f"patient {expected}"
    assert PSEUDONYM.fullmatch(name)


def test_the_salt_is_made_once_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "workspace" / ".salt"
    salt = Salt(file)
    assert not file.exists()  # nothing is hashed yet
    name = salt.hashed("4711")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(bytes.fromhex(file.read_text(encoding="ascii"))) == 32
    assert Salt(file).hashed("4711") == name != salt.hashed("4712")
    assert Salt(tmp_path / "another").hashed("4711") != name
    assert [path.name for path in file.parent.iterdir()] == [".salt"]


def test_processes_that_begin_at_once_share_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PRINT_NAME, str(tmp_path / ".salt")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    names = {process.communicate(timeout=60)[0] for process in running}
    assert names == {f"{Salt(tmp_path / '.salt').hashed('4711')}\n"}


def test_without_a_file_names_hold_for_the_object_alone(tmp_path: Path) -> None:
    one, other = Salt(), Salt(tmp_path / ".salt", keep=False)
    assert one.hashed("4711") == one.hashed("4711") != other.hashed("4711")
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_there_is_used_also_where_none_would_be_made(tmp_path: Path) -> None:
    name = Salt(tmp_path / ".salt").hashed("4711")
    assert Salt(tmp_path / ".salt", keep=False).hashed("4711") == name


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_place_that_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(path: Path, data: bytes) -> None:
        raise OSError(number, "no", str(path))

    monkeypatch.setattr(pseudonyms, "write_once", refused)
    salt = Salt(tmp_path / ".salt")
    if number == errno.ENOSPC:  # for a while only: the names would change with the next command
        with pytest.raises(OSError, match=r"\.salt"):
            salt.hashed("4711")
    else:
        assert PSEUDONYM.fullmatch(salt.hashed("4711"))


@pytest.mark.parametrize("keep", [True, False])
def test_another_users_salt_hinders_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, keep: bool
) -> None:
    name = Salt(tmp_path / ".salt").hashed("4711")

    def refused(path: Path, encoding: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refused)  # root may read all files
    salt = Salt(tmp_path / ".salt", keep=keep)
    assert PSEUDONYM.fullmatch(salt.hashed("4711"))
    assert salt.hashed("4711") != name
    assert ".salt may not be read here: patients get names that hold for this command alone" in caplog.text


def test_one_that_is_being_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, file = "ab" * 32, tmp_path / ".salt"
    file.touch()
    monkeypatch.setattr(time, "sleep", lambda seconds: file.write_text(key, encoding="ascii"))
    (tmp_path / "whole").write_text(key, encoding="ascii")
    assert Salt(file).hashed("4711") == Salt(tmp_path / "whole").hashed("4711")


@pytest.mark.parametrize("content", [b"", b"ab" * 31, b"xy" * 32, b"\xff" * 64])
def test_a_damaged_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(pseudonyms, "TRY_S", 0.0)
    (tmp_path / ".salt").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"\.salt is damaged: it is to hold 64 hex digits.*Delete it"):
        Salt(tmp_path / ".salt").hashed("4711")


def test_numbers_are_the_same_whatever_the_salt() -> None:
    for salt in (Salt(), Salt()):
        names = [salt.hashed(identifier) for identifier in "bab"]
        assert numbered([names[0], None, "ann", *names[1:]]) == ["patient 1", None, "ann", "patient 2", "patient 1"]
    assert numbered(["patient 3", "patient 1"]) == ["patient 3", "patient 1"]
