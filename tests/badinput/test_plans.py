"""Plans that cannot be: one message, exit code 2, nothing already made is touched."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoseg.io.json_files import load_json
from autoseg.plan import Plan
from autoseg.planners import PLANNERS
from tests.badinput.bad import PLAN, TRAIN_2, assert_refused, check_refused, contents, edit, stage
from tests.cli.conftest import Autoseg

PLANNING = ("plan_and_preprocess", "--gpu-memory", 4, "--workers", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2d.patch", "say PATH=VALUE, such as 2d.batch=4"),
        ("2d.pach=64,64", "there is no field 2d.pach; the nearest are 2d.patch"),
        ("2d.batch=four", "--set 2d.batch=four: must be a valid integer"),
        ("2d.memory.peak_bytes=1", "2d.memory.peak_bytes cannot be set: it is measured"),
    ],
)
def test_overrides_are_refused_before_anything_is_measured(autoseg: Autoseg, tmp_path: Path, text: str, said: str) -> None:
    # There is no data set: the option is looked at first.
    assert_refused(autoseg(*PLANNING, "--set", text, "-w", tmp_path), said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2d.patch=100,64", "--set 2d.patch=100,64: the net for it pools by 16 x 16; the nearest patches are 96,64 and 112,64"),
        ("2d_lowres.batch=4", "the plan has no configuration 2d_lowres; it has 2d"),
        ("2d.batch=100000", "but 4 GiB has 4.0 GiB. Set a smaller patch or batch"),
        ("2d.precision=bf16", "4 GiB computes in fp16 or fp32, got bf16"),
    ],
)
def test_overrides_that_cannot_be_built(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    plan = load_json(workspace / PLAN, Plan)
    monkeypatch.setitem(PLANNERS, "default", lambda facts, budget, request: replace(plan, budget=budget))
    mine = (workspace / PLAN).read_bytes()
    assert_refused(autoseg(*PLANNING, "--configs", "2d", "--set", text, "-w", workspace), said)
    assert (workspace / PLAN).read_bytes() == mine


def test_a_budget_too_small_for_any_net(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg("plan_and_preprocess", "--gpu-memory", 0.5, "--workers", 1, "-w", workspace)
    assert_refused(done, "a budget of 0.5 GiB is too small: the smallest net needs", "--gpu-memory", "--gpu cpu")


def rename_a_class(plan: dict[str, Any]) -> None:
    plan["labels"]["classes"][0] = "thumb"


def exchange_classes(plan: dict[str, Any]) -> None:
    names = plan["labels"]["classes"]
    names[0], names[1] = names[1], names[0]


def take_three_channels(plan: dict[str, Any]) -> None:
    plan["normalization"] *= 3
    plan["stages"]["2d"]["network"]["in_channels"] = 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_a_class, "classes: 29 in the plan, 29 in the data; only in the plan thumb, only in the data finger-1"),
        (exchange_classes, "classes: in another order; number 1 is finger-2 in the plan and finger-1 in the data"),
        (take_three_channels, "channels: 3 in the plan, 1 in the data"),
    ],
)
def test_a_plan_for_other_data(autoseg: Autoseg, workspace: Path, change: Any, said: str) -> None:
    edit(workspace / PLAN, change)
    check_refused(autoseg, workspace, TRAIN_2, "is for other data than HandBone holds", said, "--plan NAME")
    check_refused(autoseg, workspace, PLANNING, "is for other data than HandBone holds", said, "Delete it to plan anew", "--plan NAME")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(bogus=1), "bogus: unknown key"),
        (lambda d: d.update(version=99, bogus=1), "is of version 99, newer than this autoseg"),
    ],
)
@pytest.mark.parametrize("command", [("plan", "show"), ("plan", "diff", "default", "default"), TRAIN_2, PLANNING])
def test_a_plan_file_of_another_kind(autoseg: Autoseg, workspace: Path, change: Any, said: str, command: tuple[Any, ...]) -> None:
    edit(workspace / PLAN, change)
    check_refused(autoseg, workspace, command, str(workspace / PLAN), said)


def test_looking_changes_nothing(autoseg: Autoseg, trained: Path) -> None:
    before = contents(trained)
    for words in ("show", "list", "diff default default", "schema"):
        place = () if words == "schema" else ("-w", trained)
        assert autoseg("plan", *words.split(), *place).code == 0
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (stage(mirror_axes=[5]), "stages.2d: mirror_axes must name axes of the net"),
        (stage(recipe__augmentation__scaling=[2, 0.5]), "recipe.augmentation.scaling must be two ascending numbers"),
        (stage(recipe__augmentation__scaling=[0, 1]), "recipe.augmentation.scaling must be above 0"),
        (stage(recipe__augmentation__lowres_scale=[0.5, 4]), "recipe.augmentation.lowres_scale shrinks"),
        (stage(rotation_degrees=4000), "rotation_degrees must lie in 0 to 180"),
        (stage(spacing=[0, 1]), "spacing must be positive"),
    ],
)
def test_numbers_that_no_training_can_use(autoseg: Autoseg, workspace: Path, change: Any, said: str) -> None:
    edit(workspace / PLAN, change)
    check_refused(autoseg, workspace, TRAIN_2, "was edited wrongly", said)
