"""Nets that are damaged, of another version, of other data, or something else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.badinput.bad import ENSEMBLE, RUN, TRAIN_0, check_refused
from tests.cli.conftest import Autoseg


def cut(data: bytes) -> bytes:
    return data[:1000]


def flip(data: bytes) -> bytes:
    return data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:]


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_checkpoint(autoseg: Autoseg, workspace: Path, damage: Callable[[bytes], bytes]) -> None:
    file = workspace / RUN / "fold0/checkpoint_last.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    advice = "Delete it and train the fold again, or predict with other folds (--folds)"
    check_refused(autoseg, workspace, ENSEMBLE, str(file), "damaged", advice)
    assert autoseg("predict", "--folds", 1, "--device", "cpu", "-w", workspace).code == 0
    (file.parent / "summary.json").unlink()
    check_refused(autoseg, workspace, TRAIN_0, str(file), "damaged", advice)
    file.unlink()
    done = autoseg(*TRAIN_0, "-w", workspace)
    assert done.code == 0
    assert "fold0: patch" in done.out  # from the beginning


@pytest.mark.parametrize("name", ["run.json", "summary.json"])
def test_a_damaged_file_of_a_run(autoseg: Autoseg, workspace: Path, name: str) -> None:
    file = workspace / RUN / "fold0" / name
    file.write_text("{", encoding="utf-8")
    check_refused(autoseg, workspace, TRAIN_0, str(file), "is damaged or was edited wrongly")


def test_a_fold_without_its_net_is_not_finished(autoseg: Autoseg, workspace: Path) -> None:
    (workspace / RUN / "fold0/checkpoint_last.safetensors").unlink()
    assert "fold0: patch" in autoseg(*TRAIN_0, "-w", workspace).out


def test_nothing_trained_yet(autoseg: Autoseg, planned: Path) -> None:
    check_refused(autoseg, planned, ENSEMBLE, "results/HandBone", "Train first: autoseg train 2d fold0..4")
