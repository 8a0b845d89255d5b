"""Devices as they are named, and what is said of those that torch cannot use: all GPUs here are made up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from autoseg import budget
from autoseg.budget import Precision
from autoseg.errors import DeviceError, UsageError
from autoseg.infer import devices
from autoseg.infer.devices import check_cuda, note_on_volumes, parse_devices, warn_of_volumes, why_no_gpu

GPU = torch.device("cuda", 0)
CU126 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
CU130 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
Machine = Callable[..., None]


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No driver, nothing hidden, nothing said yet."""
    monkeypatch.setattr("autoseg.budget.DRIVER", tmp_path / "version")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices.warn_once.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A GPU of a capability under a torch that was built for some architectures."""

    def make(capability: tuple[int, int], built: Sequence[str], cudnn: int = 92000, hip: str | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A card")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(built))
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
        monkeypatch.setattr(torch.version, "hip", hip)

    return make


@pytest.mark.parametrize(
    ("capability", "built"),
    [
        ((7, 5), CU130),
        ((8, 9), CU130),  # the binary of 8.6
        ((9, 0), ("sm_90a",)),
        ((9, 0), ("gfx90a", "sm_90")),
        ((10, 3), ("sm_100f",)),
        ((12, 1), CU130),
        ((13, 0), CU130),  # PTX of 12.0
        ((8, 6), ("compute_80",)),
    ],
)
def test_a_gpu_that_torch_has_code_for(machine: Machine, capability: tuple[int, int], built: Sequence[str]) -> None:
    machine(capability, built)
    check_cuda(GPU)
    assert parse_devices(None) == (GPU,)


@pytest.mark.parametrize(
    ("capability", "built", "advice"),
    [
        ((7, 0), CU130, "constraints-torch-sm70.txt"),
        ((6, 1), CU130, "constraints-torch-sm70.txt"),
        ((12, 0), CU126, "a newer one, or the same for a newer CUDA"),
        ((10, 3), ("sm_100a", "compute_100a"), "a newer one"),
        ((9, 0), ("sm_100f",), "a newer one"),
        ((8, 0), ("sm_86",), "a newer one"),
        ((8, 0), ("gfx90a", "gfx1100"), "a newer one"),
    ],
)
def test_a_gpu_that_torch_has_no_code_for(machine: Machine, capability: tuple[int, int], built: Sequence[str], advice: str) -> None:
    machine(capability, built)
    with pytest.raises(DeviceError, match=rf"A card has compute capability {capability[0]}\.{capability[1]}, for which torch") as caught:
        check_cuda(GPU)
    assert advice in str(caught.value)
    assert ("sm70" in str(caught.value)) == (capability < (7, 5))


def test_a_gpu_that_cudnn_has_no_code_for(machine: Machine) -> None:
    machine((7, 0), CU126, cudnn=91002)
    check_cuda(GPU)
    machine((7, 5), CU126, cudnn=91100)
    check_cuda(GPU)
    machine((7, 0), CU126, cudnn=91100)
    with pytest.raises(DeviceError, match=r"7\.0, for which cuDNN 9\.11\.0 of torch .* holds no code\. .* constraints-torch-sm70\.txt"):
        check_cuda(GPU)


def test_names_of_amds_architectures_are_no_capabilities(machine: Machine) -> None:
    machine((9, 0), ("gfx90a", "gfx1100"), cudnn=3_002_000, hip="6.4")
    check_cuda(GPU)


def test_a_gpu_that_is_not_there(machine: Machine) -> None:
    machine((8, 0), CU130)
    with pytest.raises(DeviceError, match="--device cuda:2: there are 1: cuda:0 to cuda:0"):
        parse_devices("cuda:0,2")
    with pytest.raises(UsageError, match="--device tpu is not understood"):
        parse_devices("tpu")


@pytest.mark.parametrize(
    ("num_axes", "precision", "cudnn", "warned"),
    [
        (3, "fp16", 91002, True), (3, "bf16", 91002, True), (3, "bf16", 90800, True), (3, "bf16", 91499, True),
        (2, "bf16", 91002, False), (3, "fp32", 91002, False), (3, "bf16", 90501, False), (3, "bf16", 91500, False), (3, "bf16", 0, False),
    ],
)  # fmt: skip
def test_cudnn_that_is_wrong_in_3d(machine: Machine, num_axes: int, precision: Precision, cudnn: int, *, warned: bool) -> None:
    machine((8, 0), CU130, cudnn=cudnn)
    note = note_on_volumes(num_axes, precision, (8, 0))
    assert bool(note) is warned
    assert not warned or "several times as long" in note
    assert not warned or note.endswith("Install torch 2.11 or newer.")


def test_it_is_said_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine((7, 0), CU126, cudnn=91002)
    with caplog.at_level(logging.WARNING):
        for device in (GPU, torch.device("cpu"), torch.device("cuda", 1)):
            warn_of_volumes(3, "fp16", device)
    (record,) = caplog.records
    assert "has cuDNN 9.10.2, whose convolutions over three axes in fp16 are wrong at some sizes" in record.getMessage()
    assert record.getMessage().endswith("Install torch 2.7 (constraints-torch-sm70.txt).")


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver, and a torch that finds no GPU."""
    budget.DRIVER.write_text("NVRM version: ...")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert why_no_gpu() == "there is no GPU here"
    with pytest.raises(DeviceError, match=r"--device cuda:0: there is no GPU here\. --device cpu"):
        parse_devices("cuda")
    assert parse_devices(None) == (torch.device("cpu"),)
    assert not caplog.records


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize(
    ("cuda", "words"), [(None, "was built without CUDA: install one"), ("13.0", "built for CUDA 13.0, finds no GPU: .* Update the driver")]
)
def test_a_driver_and_no_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cuda: str | None, words: str) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(DeviceError, match=f"--device cuda:0: NVIDIA's driver is here, but torch .* {words}"):
        parse_devices("cuda")
    assert parse_devices(None) == parse_devices(None) == (torch.device("cpu"),)
    (record,) = caplog.records
    assert "The processor computes." in record.getMessage()


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_somebody_hid(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert why_no_gpu() == "there is no GPU here"


@pytest.mark.parametrize(("code", "expected"), [(0, True), (9, False)])
def test_a_driver_that_only_nvidia_smi_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, *, expected: bool) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(tool))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.is_gpu_unseen() is expected
