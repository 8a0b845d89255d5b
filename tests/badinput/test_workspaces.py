"""Folders that are missing, taken, ambiguous or cannot be written."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from autoseg.cli.screen import Screen
from autoseg.workspace import Workspace
from tests.badinput.bad import (
    ENSEMBLE,
    TRAIN,
    TRAIN_2,
    check_refused,
)
from tests.cli.conftest import Autoseg


def test_a_place_that_cannot_be_written(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-o", file), f"-o {file}: is a file; name a folder")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-o", file / "deeper"), str(file), "Check that it may be read and written")
    assert file.read_text(encoding="utf-8") == "mine"
    os.rename(workspace / "results", workspace / "results elsewhere")
    (workspace / "results").write_text("", encoding="utf-8")
    check_refused(autoseg, workspace, TRAIN_2, str(workspace / "results"), "Check that it may be read and written")


def test_a_name_that_another_folder_has(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "HandBone"
    other.mkdir(parents=True)
    check_refused(autoseg, workspace, ("plan_and_preprocess", "-d", other), "the name HandBone is taken by", "rename one of them")


def test_several_data_sets_are_listed(autoseg: Autoseg, workspace: Path) -> None:
    (workspace / "raw/Second").mkdir()
    (workspace / "preprocessed/last_planned.txt").unlink()
    check_refused(autoseg, workspace, TRAIN_2, "holds several data sets: HandBone, Second. Name one: -d HandBone")


@pytest.mark.parametrize(("restart", "said"), [((), "continues from there.\n"), (("--restart",), "Leave out --restart then")])
def test_a_stop_is_no_error(
    autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch, restart: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(Screen, "step", lambda *arguments: signal.raise_signal(signal.SIGINT))
    done = autoseg(*TRAIN_2, *restart, "-w", workspace)
    assert done.code == 130
    assert done.err.startswith("Stopped at iteration 1; ")
    assert done.err.endswith(said) or said in done.err


def test_a_second_training_names_all_finished_folds_for_the_next_command(autoseg: Autoseg, workspace: Path) -> None:
    assert f"Next: autoseg predict --ensemble -w {workspace} (or first" in autoseg(*TRAIN_2, "-w", workspace).out
    assert f"Next: autoseg predict --folds all -w {workspace}" in autoseg(*TRAIN, "all", "-w", workspace).out
    second = workspace / "raw/Second"
    second.mkdir()
    Workspace(root=workspace).remember(second)
    done = autoseg(*TRAIN_2, "-d", "HandBone", "-w", workspace)
    assert f"Next: autoseg predict --ensemble -d HandBone -w {workspace} (or first" in done.out


def test_a_copied_workspace_is_a_workspace(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(workspace, tmp_path / "copy", copy_function=shutil.copy2)
    done = autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", copy)
    assert done.code == 0, done.err
    assert "Fingerprint: unchanged" in done.out
    assert "all 10 cases are there" in done.out
