"""Which nets predict together, by the headers of their checkpoints."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.infer.alike import check_alike, differing, what_predicts
from autoseg.plan import Plan
from autoseg.workspace import CHECKPOINT
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, plant_run, tiny_plan


def change(plan: Plan, **fields: object) -> Plan:
    return replace(plan, stages={"2d": replace(plan.stages["2d"], **fields)})  # type: ignore[arg-type]


def test_what_differs_is_named_with_its_values() -> None:
    plan = tiny_plan(OVERLAPPING)
    network = replace(plan.stages["2d"].network, features=(8, 16))
    now = what_predicts(change(plan, patch=(32, 32), network=network), "2d")
    assert differing(what_predicts(plan, "2d"), now) == "patch (16, 16) -> (32, 32), network.features (4, 8) -> (8, 16)"
    assert differing(what_predicts(plan, "2d"), what_predicts(tiny_plan(EXCLUSIVE), "2d")).startswith("labels, network.num_heads")


def test_lengths_and_rates_of_training_may_differ() -> None:
    plan = tiny_plan(OVERLAPPING)
    longer = change(plan, iterations=99, batch=7, reasons={"why": "more hours"})
    assert what_predicts(longer, "2d") == what_predicts(plan, "2d")


def test_checkpoints_of_two_plans(tmp_path: Path) -> None:
    run = plant_run(tmp_path, tiny_plan(OVERLAPPING), "0", "1")
    plant_run(tmp_path, tiny_plan(OVERLAPPING, patch=32), "2")
    files = [run / f"fold{fold}" / CHECKPOINT for fold in range(3)]
    check_alike(files[:2])
    with pytest.raises(UsageError, match=r"fold2.*another plan than the folds before it \(patch \(16, 16\) -> \(32, 32\)\); .*--folds"):
        check_alike(files)
