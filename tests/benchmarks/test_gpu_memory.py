"""Traced beside measured memory."""

from dataclasses import replace

import pytest
import torch

from autoseg.budget import GIB
from benchmarks import gpu_memory
from benchmarks.clock import Clock
from benchmarks.devices import Cuda, Device
from benchmarks.gpu_memory import HEAD, STAGES, TINY_STAGES, Measured, cells


class Told(Device):
    """A device whose memory is as said."""

    def peaks(self) -> tuple[int, int, int]:
        return 10 * GIB, 11 * GIB, 12 * GIB


def test_each_stage_is_traced_and_run() -> None:
    rows = [dict(zip(HEAD, row, strict=True)) for row in gpu_memory.rows(Told(), Clock(600))]
    assert [(row["stage"], row["patch"], row["recomputed"]) for row in rows] == [
        ("flat", "8 x 8", "0"), ("cascade", "8 x 8", "0"), ("solid", "8 x 8 x 8", "1"),
    ]  # fmt: skip
    for row in rows:
        assert (row["allocated"], row["reserved"], row["driver"], row["planned covers"]) == ("10.00", "11.00", "12.00", "no")
        assert float(row["planned"]) == pytest.approx(float(row["traced"]) + 1012 / 1024, abs=0.011)


def test_a_row_that_ran_out_of_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*arguments: object, **options: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu_memory, "run_steps", too_much)
    row = gpu_memory.measure("flat", TINY_STAGES["flat"], Device())
    assert "out of memory" in cells(row)
    assert len(cells(row)) == len(HEAD)
    assert row.traced > 0


def test_a_row_in_figures() -> None:
    row = Measured(
        name="x", stage=replace(TINY_STAGES["flat"], batch=7), traced=9 * GIB, planned=13 * GIB, allocated=10 * GIB, reserved=11 * GIB,
        driver=12 * GIB, step_ms=123.4,
    )  # fmt: skip
    assert cells(row) == ("x", "8 x 8", "7", "2", "fp32", "0", "9.00", "10.00", "0.900", "11.00", "12.00", "13.00", "yes", "123")


def test_the_stages_are_those_that_matter() -> None:
    whole = STAGES["HandBone"]
    assert (whole.patch, whole.batch, whole.network.num_heads) == ((2048, 2048), 3, 29)
    assert whole.network.features == (32, 64, 128, 256, 512, 512, 512, 512, 512, 512)
    assert STAGES["volume"].network.features == (32, 64, 128, 256, 320, 320)
    assert STAGES["HandBone, cascade"].num_previous_channels == 29
    assert {at.precision for at in STAGES.values()} == {"fp16", "bf16", "fp32"}


def test_what_a_device_does_not_compute_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(gpu_memory.rows(Cuda(precisions=("fp16",)), Clock(-1)))
    assert {row[4] for row in rows} == {"fp16"}
    assert len(rows) == sum(at.precision == "fp16" for at in STAGES.values())
