"""A store that a training reads is not made again under it, and is read again when nobody does."""

from pathlib import Path

import pytest

from autoseg.errors import RunError
from autoseg.io import locks
from autoseg.preprocess import readers
from autoseg.preprocess.readers import reading, remaking
from tests.io.holding import another
from tests.preprocess.make import HOLDER


def test_cases_that_are_read_are_not_made_again(tmp_path: Path) -> None:
    with another(HOLDER, tmp_path, "reading") as process:
        expected = rf"the training default/2d/fold0 \(process {process.pid} on .*\) reads the cases in {tmp_path}, of which some"
        with pytest.raises(RunError, match=expected), remaking(tmp_path):
            pass
        with reading(tmp_path, "default-2d-fold1"):  # others may read beside it
            pass
    # A killed reader keeps nobody out.
    with remaking(tmp_path):
        pass


def test_cases_that_are_made_again_are_not_read(tmp_path: Path) -> None:
    with another(HOLDER, tmp_path, "remaking") as process:
        expected = f"the cases in {tmp_path} are being prepared again by process {process.pid} on "
        with pytest.raises(RunError, match=expected), reading(tmp_path, "default-2d-fold0"):
            pass
        with pytest.raises(RunError, match="is being prepared by process"), remaking(tmp_path):
            pass
    with reading(tmp_path, "default-2d-fold0"):
        pass


def test_nothing_but_empty_folders_stays(tmp_path: Path) -> None:
    with reading(tmp_path, "a"), reading(tmp_path, "b"):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_store_that_may_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, doing: str) -> locks.Lock:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(locks, "_take", refused)
    entered = False
    with reading(tmp_path, "a"):
        entered = True
    assert entered
    assert readers.READERS not in {path.name for path in tmp_path.iterdir()}
