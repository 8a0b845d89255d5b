"""What is planned on 6 to 80 GB: golden plans (tests/planners/budgets.json, made by benchmarks/budgets.py), each with its reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.planners.search import FILL, Traces
from autoseg.planners.view import shown
from tests.planners.bounds import at_least, at_most
from tests.planners.budgets import BUDGETS_GIB, Row, rows
from tests.planners.sets import SETS

GOLDEN: list[dict[str, Any]] = json.loads(Path(__file__).with_name("budgets.json").read_text())
#: A plan that fills less must show that nothing larger fits.
WELL_FILLED = 0.75


def check(row: Row) -> None:
    """The rules that hold for every plan, whatever its numbers."""
    assert row.fill <= FILL
    assert row.fill >= WELL_FILLED or row.capped or all(share > FILL for share in row.larger.values())
    assert row.capped or row.larger
    assert at_least(row.stage) <= row.stage.memory.peak_bytes <= at_most(row.stage)


def as_golden(row: Row) -> dict[str, Any]:
    stage = row.stage
    return {
        "data": row.data, "gib": row.gib, "stage": stage.name, "patch": list(stage.patch), "batch": stage.batch,
        "checkpointed_stages": stage.checkpointed_stages, "peak_bytes": stage.memory.peak_bytes,
    }  # fmt: skip


def golden(data: str, budgets: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key != "reason"} for row in GOLDEN if row["data"] == data and row["gib"] in budgets]


def compare(data: str, budgets: tuple[int, ...]) -> list[Row]:
    found = list(rows(data, budgets, TRACES))
    for row in found:
        check(row)
    assert [as_golden(row) for row in found] == golden(data, budgets)
    return found


TRACES: Traces = {}


def test_handbone_on_8_and_32_gb() -> None:
    found = {(row.gib, row.stage.name): row.stage for row in compare("HandBone", (8, 32))}
    # The whole hand at full resolution with three in a batch on a V100 ...
    large = found[32, "2d"]
    assert (large.patch, large.resample) == ((2048, 2048), False)
    assert large.batch >= 3
    assert not large.checkpointed_stages
    # ... and on 8 GB some stage still sees the whole hand.
    assert max(shown(stage) for (gib, _), stage in found.items() if gib == 8) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("data", SETS)
def test_the_whole_table(data: str) -> None:
    compare(data, BUDGETS_GIB)


def test_every_golden_plan_has_its_reason() -> None:
    assert {(row["data"], row["gib"]) for row in GOLDEN} == {(data, gib) for data in SETS for gib in BUDGETS_GIB}
    assert all(row["reason"] for row in GOLDEN)
