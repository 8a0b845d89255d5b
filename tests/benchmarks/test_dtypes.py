"""The table of casts beside what a device returns."""

import pytest
import torch

from benchmarks import dtypes


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_every_example_runs_by_the_table(half: torch.dtype) -> None:
    rows = {(row.function, row.given): row for row in dtypes.compare(half, dtypes.by_table(half))}
    assert len(rows) == 2 * len(dtypes.EXAMPLES)
    assert not any(row.differs or row.table.startswith("refused") for row in rows.values())
    short = {torch.float16: "fp16", torch.bfloat16: "bf16"}[half]
    expected = {"conv2d": (short, short), "group_norm": ("fp32", "fp32"), "leaky_relu": ("fp32", short), "cat, mixed": ("fp32", "fp32")}
    assert {name: tuple(rows[name, given].table for given in ("fp32", short)) for name in expected} == expected


def test_a_device_that_differs_is_seen() -> None:
    rows = list(dtypes.compare(torch.float16, lambda example, given: "fp32"))
    assert {row.function for row in rows if row.differs} >= {"conv2d", "leaky_relu"}
    assert not any(row.differs for row in rows if row.function == "group_norm")
