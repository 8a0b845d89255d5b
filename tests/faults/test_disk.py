"""A disk that is full, a folder that cannot be written or goes away: one clear message, and what was there is whole.

Small file systems of their own need the rights to mount one; without them these tests are skipped.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoseg.checkpoint import load_checkpoint
from tests.faults.kills import PLAN, PREDICT, TRAIN, check_whole, fold_folder, prepared_workspace, raw_workspace, run, trainings_agree
from tests.trainers.make import NAME

LAST = "checkpoint_last.safetensors"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Take all but `leave` bytes of the file system."""
    ballast = folder / "ballast"
    free = shutil.disk_usage(folder).free - leave
    with ballast.open("wb") as handle:
        handle.write(b"\1" * max(0, free))
    return ballast


@pytest.mark.slow
def test_a_disk_that_runs_full_while_training(disk: Path, tmp_path: Path) -> None:
    undisturbed, workspace = prepared_workspace(tmp_path / "undisturbed"), prepared_workspace(disk / "w")
    assert run(undisturbed, TRAIN, {})[0] == 0
    code, said, _ = run(workspace, [*TRAIN, "--epochs", "4"], {"at": "checkpoint rename", "count": 3, "mode": "whole"})
    assert code == -9, said
    before = load_checkpoint(fold_folder(workspace) / LAST).progress["iteration"]
    for path in fold_folder(workspace).glob(".tmp-*"):
        path.unlink()
    ballast = fill(disk, 30_000)
    code, said, _ = run(workspace, TRAIN, {})
    assert code == 2, said
    assert "No space left on device. Make room and run the same command again; what was finished is kept." in said
    assert "Traceback" not in said
    check_whole(workspace)
    assert load_checkpoint(fold_folder(workspace) / LAST).progress["iteration"] >= before
    assert not list(fold_folder(workspace).glob(".tmp-*"))
    ballast.unlink()
    assert run(workspace, TRAIN, {})[0] == 0
    trainings_agree(undisturbed, workspace)


@pytest.mark.slow
def test_a_disk_that_runs_full_while_preparing_and_predicting(disk: Path, tmp_path: Path) -> None:
    workspace = raw_workspace(disk / "w")
    # The plan first: that the disk is too small is seen beforehand, and would be said instead.
    assert run(workspace, PLAN, {"at": "store write", "count": 9, "mode": "half"})[0] == -9
    ballast = fill(disk, 12_000)
    code, said, _ = run(workspace, PLAN, {})
    assert code == 2, said
    assert "Make room and run the same command again" in said or "too little for the prepared cases" in said
    check_whole(workspace)
    ballast.unlink()
    assert run(workspace, PLAN, {})[0] == 0
    check_whole(workspace)


@pytest.mark.slow
def test_a_disk_that_cannot_be_written(disk: Path) -> None:
    workspace = prepared_workspace(disk / "w")
    assert run(workspace, TRAIN, {})[0] == 0
    before = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for command in (PREDICT, PLAN, [*TRAIN, "--restart"]):
        code, said, _ = run(workspace, command, {"log": str(disk.parent / "doing.txt")})
        assert code == 2, said
        assert "Read-only file system. Check that it may be read and written, or use another folder" in said
        assert "Traceback" not in said
    assert {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_damaged_case_is_named_and_made_again(tmp_path: Path) -> None:
    workspace = raw_workspace(tmp_path / "w")
    assert run(workspace, PLAN, {})[0] == 0
    (image,) = workspace.glob(f"preprocessed/{NAME}/cases/*/case3/image.b2nd")
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(data)
    code, said, _ = run(workspace, ["train", "2d", "fold0..4", "--epochs", "1", "--iterations-per-epoch", "20", "--device", "cpu"], {})
    assert code == 2, said
    assert f"{image} is damaged: its checksum is" in said
    assert "run plan_and_preprocess again, it replaces the case" in said
    code, said, _ = run(workspace, PLAN, {})
    assert code == 0, said
    assert "Preparing 2d: 1 case in" in said
    check_whole(workspace)


@pytest.mark.slow
def test_a_second_command_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    from autoseg.io.locks import locked

    workspace = prepared_workspace(tmp_path / "w")
    with locked(fold_folder(workspace) / ".lock", "trained"):
        code, said, _ = run(workspace, TRAIN, {})
        assert code == 2
        assert f"{fold_folder(workspace)} is being trained by process" in said
        # Another fold is free, and reads the same prepared cases.
        other = ["fold1" if word == "fold0" else word for word in TRAIN]
        code, said, _ = run(workspace, other, {})
        assert code == 0, said
    with locked(workspace / "preprocessed" / NAME / ".lock", "planned and prepared"):
        code, said, _ = run(workspace, PLAN, {})
        assert code == 2
        assert "is being planned and prepared by process" in said
    out = workspace / "out"
    for held in (".predict.lock", ".predict-1-of-2.lock"):
        with locked(out / held, "predicted into"):
            code, said, _ = run(workspace, ["predict", "--folds", "fold1", "--device", "cpu", "-o", str(out)], {})
            assert code == 2
            assert "is being predicted into by process" in said
