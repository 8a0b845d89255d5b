"""Plans that were edited wrongly, are newer, or are for another machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.io.json_files import load_json
from autoseg.plan import Plan
from autoseg.planners import PLANNERS
from tests.badinput.bad import PLAN, TRAIN_0, TRAIN_2, check_refused, edit
from tests.cli.conftest import Autoseg


def test_a_plan_for_a_gpu_without_a_gpu(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    edit(workspace / PLAN, lambda d: d["budget"].update(name="v100-32gb", kind="cuda"))
    check_refused(autoseg, workspace, TRAIN_2, "is for v100-32gb, and there is no GPU here", "--gpu cpu", "--device cpu")


def test_another_plan_of_the_same_name_is_announced(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_json(workspace / PLAN, Plan)
    twice = replace(plan.stages["2d"], batch=plan.stages["2d"].batch * 2)
    monkeypatch.setitem(PLANNERS, "default", lambda facts, budget, request: replace(plan, budget=budget, stages={"2d": twice}))
    done = autoseg("plan_and_preprocess", "--gpu-memory", 4, "--workers", 1, "-w", workspace)
    assert f"Plan: {workspace / PLAN} replaces the one for cpu; --plan NAME keeps both" in done.out
    check_refused(autoseg, workspace, (*TRAIN_0, "--device", "cpu"), "holds a run with other settings", "--restart", "--plan NAME")
