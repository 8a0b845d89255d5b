"""Devices without one: torch's own signatures stand in for its CUDA functions, so that a wrong argument is an error here too."""

import importlib.util
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
import torch

from autoseg.budget import GIB, Precision
from benchmarks import devices
from benchmarks.clock import Clock
from benchmarks.devices import Cuda, covered_share, cuda_precisions, find_cuda, why_not_compiled
from benchmarks.peaks import peak_flops

CUDA = (
    "synchronize", "empty_cache", "reset_peak_memory_stats", "mem_get_info", "max_memory_allocated", "max_memory_reserved",
    "get_device_properties",
)  # fmt: skip


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """torch.cuda's functions with their signatures, of an 80 GiB device of capability 9.0."""
    fakes = {name: create_autospec(getattr(torch.cuda, name)) for name in (*CUDA, "set_per_process_memory_fraction")}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    fakes["get_device_properties"].return_value = SimpleNamespace(name="NVIDIA H100 80GB HBM3", major=9, minor=0, total_memory=80 * GIB)
    fakes["mem_get_info"].return_value = (50 * GIB, 80 * GIB)
    fakes["max_memory_allocated"].return_value, fakes["max_memory_reserved"].return_value = 20 * GIB, 25 * GIB
    monkeypatch.setattr(devices, "driver_bytes", lambda: 2 * GIB)
    return SimpleNamespace(**fakes)


def test_the_gpu_as_it_is(driver: SimpleNamespace) -> None:
    device = find_cuda(None)
    assert (device.place, device.precisions, device.tiny) == (torch.device("cuda", 0), ("bf16", "fp16", "fp32"), False)
    driver.set_per_process_memory_fraction.assert_not_called()
    device.reset()
    device.synchronize()
    # 30 GiB are given away, 2 of them were before.
    assert device.peaks() == (20 * GIB, 25 * GIB, 28 * GIB)
    assert device.peak_flops("bf16") == 989.4e12


def test_as_a_v100(driver: SimpleNamespace) -> None:
    device = find_cuda("v100-32gb")
    assert device.precisions == ("fp16",)
    assert "--as v100-32gb" in device.not_compiled
    ((fraction,), _) = driver.set_per_process_memory_fraction.call_args
    assert fraction == pytest.approx(32_510 / 1024 / 80)


def test_a_smaller_gpu_is_not_made_larger(driver: SimpleNamespace) -> None:
    driver.get_device_properties.return_value.total_memory = 16 * GIB
    find_cuda("v100-32gb")
    driver.set_per_process_memory_fraction.assert_called_once_with(1.0)


def test_utilisation_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = subprocess.Popen

    def sampler(command: list[str], **options: object) -> object:
        asked.append(command)
        return real(["sh", "-c", f"printf '5\\n80\\n90\\n'; touch {tmp_path}/printed; exec sleep 60"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", sampler)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    with Cuda().watch() as busy:
        while not (tmp_path / "printed").exists():
            time.sleep(0.01)
    assert busy.percent == 85
    assert asked[0][:2] == ["nvidia-smi", "--query-gpu=utilization.gpu"]
    assert "--id=3" in asked[0]


def test_without_nvidia_smi_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with Cuda().watch() as busy:
        pass
    assert busy.percent is None
    assert devices.driver_bytes() == 0


@pytest.mark.parametrize(
    ("capability", "best", "compiles"), [((6, 1), "fp32", False), ((7, 0), "fp16", False), ((7, 5), "fp16", True), ((9, 0), "bf16", True)]
)
def test_by_capability(capability: tuple[int, int], best: Precision, *, compiles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert cuda_precisions(capability)[0] == best
    assert (why_not_compiled(capability) == "") == compiles
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert why_not_compiled((9, 0)) == "Triton is not installed"


def test_spans_of_kernels() -> None:
    assert covered_share([]) is None
    assert covered_share([(5, 10), (0, 5)]) == 100
    assert covered_share([(0, 10), (2, 3), (30, 40)]) == 50


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("Tesla V100-SXM2-32GB", 125.0), ("Tesla V100-PCIE-32GB", 112.0), ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA A10", 125.0),
        ("NVIDIA L40S", 362.0), ("NVIDIA L4", 121.0), ("NVIDIA H100 PCIe", 756.0), ("NVIDIA H200", 989.4), ("Tesla T4", 65.0),
        ("NVIDIA RTX A1000 Laptop GPU", None), ("CPU", None),
    ],
)  # fmt: skip
def test_peaks_by_name(name: str, half: float | None) -> None:
    assert peak_flops(name, "fp16") == (None if half is None else half * 1e12)


def test_a_clock_keeps_time_for_the_longest_row(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("benchmarks.clock.time.monotonic", lambda: now[0])
    clock = Clock(10)
    assert clock.allows_another()
    now[0] = 4.0
    assert clock.allows_another()
    now[0] = 5.0
    # 4 s were the longest: with a reserve it would end at 10.2 s.
    assert not clock.allows_another()
    assert clock.left() == 5
