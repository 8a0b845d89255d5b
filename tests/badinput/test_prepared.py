"""Damaged or missing files between the data and the nets: folds, fingerprint, prepared cases."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.badinput.bad import (
    PLAN,
    SPLITS,
    TRAIN,
    TRAIN_2,
    assert_refused,
    check_refused,
    edit,
)
from tests.cli.conftest import Autoseg


@pytest.mark.parametrize("file", [PLAN, SPLITS])
def test_a_damaged_file_of_the_plan(autoseg: Autoseg, workspace: Path, file: Path) -> None:
    (workspace / file).write_text('{"a": ', encoding="utf-8")
    check_refused(autoseg, workspace, TRAIN_2, str(workspace / file), "JSON")
    check_refused(autoseg, workspace, ("plan_and_preprocess", "--gpu", "cpu", "--workers", 1), str(workspace / file), "JSON", "Mend it")


def test_a_mistyped_case_in_the_splits_is_refused(autoseg: Autoseg, workspace: Path) -> None:
    edit(workspace / SPLITS, lambda d: d["folds"][2]["train"].append("nobody"))
    check_refused(autoseg, workspace, TRAIN_2, "fold2: nobody is not prepared. Run plan_and_preprocess again")
    done = autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace)
    assert done.code == 2
    assert "splits.json: its folds name cases that HandBone does not hold: nobody. Mend it, or delete it" in done.err


def test_splits_of_other_cases_are_kept_aside(autoseg: Autoseg, workspace: Path) -> None:
    def leave(content: dict[str, Any]) -> None:  # as if the data set had held one case more
        content["folds"][2]["train"].append("nobody")
        content["groups"].append(["nobody"])

    edit(workspace / SPLITS, leave)
    mine = (workspace / SPLITS).read_bytes()
    done = autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace)
    assert done.code == 0
    assert "splits_earlier.json" in done.out
    assert (workspace / SPLITS).with_name("splits_earlier.json").read_bytes() == mine


def test_a_damaged_fingerprint_is_measured_again(autoseg: Autoseg, workspace: Path) -> None:
    file = workspace / "preprocessed/HandBone/fingerprint.json"
    content = json.loads(file.read_bytes())
    file.write_text("garbage", encoding="utf-8")
    assert autoseg(*TRAIN_2, "-w", workspace).code == 0  # training reads the plan alone
    assert autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace).code == 0
    assert json.loads(file.read_bytes()) == content


def prepared_case(workspace: Path) -> Path:
    return sorted((workspace / "preprocessed/HandBone/cases").glob("*/*"))[0]


def test_a_prepared_case_cut_short(autoseg: Autoseg, workspace: Path) -> None:
    case = prepared_case(workspace)
    os.truncate(case / "image.b2nd", 10)
    check_refused(autoseg, workspace, (*TRAIN, "all"), f"fold_all: {case.name} is not prepared. Run plan_and_preprocess again")
    assert "1 case in" in autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace).out
    assert autoseg(*TRAIN, "all", "-w", workspace).code == 0


def test_prepared_cases_damaged_at_the_same_size(autoseg: Autoseg, workspace: Path) -> None:
    for file in (workspace / "preprocessed/HandBone/cases").rglob("codes.b2nd"):
        file.write_bytes(b"x" * file.stat().st_size)
    done = autoseg(*TRAIN_2, "-w", workspace)
    assert_refused(done, "codes.b2nd is damaged: its checksum is", "run plan_and_preprocess again, it replaces the case")
