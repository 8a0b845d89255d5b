"""What is free, from files as Linux writes them."""

from pathlib import Path

import pytest

from autoseg.io.ram import free_bytes, peak_bytes, workers_that_fit

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\n"


def machine(root: Path, **files: str) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def test_a_machine_without_limits(tmp_path: Path) -> None:
    assert free_bytes(machine(tmp_path)) == 20_000_000 * 1024
    unlimited = {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}
    assert free_bytes(machine(tmp_path, **unlimited)) == 20_000_000 * 1024


def test_a_cgroups_limit_without_what_the_system_gives_back(tmp_path: Path) -> None:
    files = {"memory.max": "8000\n", "memory.current": "5000\n", "memory.stat": "anon 1000\ninactive_file 3500\n"}
    assert free_bytes(machine(tmp_path, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()})) == 8000 - (5000 - 3500)


def test_the_first_version_of_cgroups(tmp_path: Path) -> None:
    files = {"limit_in_bytes": "8000", "usage_in_bytes": "5000", "stat": "total_inactive_file 1000\n"}
    there = {f"sys/fs/cgroup/memory/memory.{name}": text for name, text in files.items()}
    assert free_bytes(machine(tmp_path, **there)) == 4000


def test_nothing_says(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) is None


@pytest.mark.parametrize(("each", "free", "expected"), [(10, 100, 8), (25, 100, 3), (200, 100, 1), (0, 100, 8), (10, None, 8)])
def test_workers(each: int, free: int | None, expected: int) -> None:
    assert workers_that_fit(8, each, free) == expected


def test_this_process_has_held_memory() -> None:
    assert peak_bytes() > 10_000_000
