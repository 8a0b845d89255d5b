"""The machine at hand."""

import os
from pathlib import Path

import pytest

from autoseg.fingerprint import cpu_budget, hardware
from autoseg.fingerprint.hardware import count_cores, processor_has_bf16, usable_memory


def test_this_machine() -> None:
    found = hardware()
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.memory_bytes > 2**28
    assert count_cores() == found.cores


def test_cgroup_limit_counts(tmp_path: Path) -> None:
    second, first = tmp_path / "memory.max", tmp_path / "limit"
    whole = usable_memory(())
    second.write_text("max\n")
    assert usable_memory((str(second), str(first))) == whole
    second.write_text("1000000\n")
    assert usable_memory((str(second), str(first))) == 1_000_000
    first.write_text("9223372036854771712\n")  # version 1's "no limit"
    assert usable_memory((str(first),)) == whole


@pytest.mark.parametrize(("flags", "expected"), [("fpu avx512_bf16 sse", True), ("fpu amx_bf16", True), ("fpu avx512f", False)])
def test_bf16_by_flags(tmp_path: Path, flags: str, *, expected: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert processor_has_bf16(cpuinfo) is expected
    assert processor_has_bf16(tmp_path / "absent") is False


def test_cpu_budget() -> None:
    budget = cpu_budget(0.25)
    assert (budget.kind, budget.workers, budget.hours) == ("cpu", 1, 0.25)
    assert budget.precision in ("fp32", "bf16")
