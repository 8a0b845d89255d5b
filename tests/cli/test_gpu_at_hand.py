"""Planning and training for this machine's GPUs, which are made up here: which one is meant, and what is said of one that is of no use."""

from importlib import import_module
from pathlib import Path

import pytest
import torch

from autoseg import budget
from autoseg.cli import info
from autoseg.cli.budgets import choose_budget, device_at_hand
from autoseg.cli.train import warn_of_volumes
from autoseg.errors import DeviceError
from autoseg.fingerprint.hardware import Gpu, smallest_gpu
from autoseg.infer import devices
from autoseg.plan import Stage
from tests.infer.plans import OVERLAPPING, tiny_plan

# The package has a function of the same name.
HARDWARE = import_module("autoseg.fingerprint.hardware")
LARGE = Gpu(name="Large", memory_bytes=80 * 2**30, capability=(9, 0))
SMALL = Gpu(name="Small", memory_bytes=16 * 2**30, capability=(7, 0))
BUILT = ["sm_70", "sm_90"]


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A large GPU and, behind it, a small one, both of use."""
    found = (LARGE, SMALL)
    monkeypatch.setattr(HARDWARE, "_gpus", lambda: found)
    monkeypatch.setattr("autoseg.budget.DRIVER", tmp_path / "version")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: found[torch.device("cuda", device).index].capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: found[torch.device("cuda", device).index].name)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90501)
    devices.warn_once.cache_clear()


def test_steps_are_timed_on_the_gpu_that_is_planned_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert smallest_gpu() == (1, SMALL)
    budget = choose_budget(None, None, 2.0)
    assert (budget.name, budget.memory_bytes, budget.precision, budget.hours) == ("Small", SMALL.memory_bytes, "fp16", 2.0)
    assert device_at_hand(budget) == torch.device("cuda", 1)
    assert device_at_hand(choose_budget("v100-32gb", None, 2.0)) is None
    assert device_at_hand(choose_budget("cpu", None, 2.0)) == torch.device("cpu")
    assert "Warning" not in capsys.readouterr().out


def test_a_gpu_of_no_use_is_named_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    budget = choose_budget(None, None, 2.0)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_90"])
    capsys.readouterr()
    assert choose_budget(None, None, None).name == "Small"
    out = capsys.readouterr().out
    assert "Warning: the plan is made, but this GPU cannot train it: Small has compute capability 7.0, for which torch" in out
    # Nothing can be timed on it.
    with pytest.raises(DeviceError, match="Small has compute capability"):
        choose_budget(None, None, 2.0)
    with pytest.raises(DeviceError, match="Small has compute capability"):
        device_at_hand(budget)


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (False, "No GPU here: planning for v100-32gb. --gpu cpu plans"),
        (True, "Warning: NVIDIA's driver is here, but torch "),
    ],
)
def test_no_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, driver: bool, expected: str) -> None:
    monkeypatch.setattr(HARDWARE, "_gpus", lambda: ())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if driver:
        budget.DRIVER.write_text("NVRM version: ...")
    assert choose_budget(None, None, None).name == "v100-32gb"
    out = capsys.readouterr().out
    assert expected in out
    assert ("No GPU here" in out) is not driver


def stage_of(num_axes: int) -> Stage:
    (stage,) = tiny_plan(OVERLAPPING, num_axes=num_axes).stages.values()
    object.__setattr__(stage, "precision", "bf16")
    return stage


def test_a_training_in_3d_says_what_cudnn_does_to_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    gpus = (torch.device("cuda", 0), torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    warn_of_volumes(stage_of(2), gpus)
    assert not caplog.records
    warn_of_volumes(stage_of(3), gpus)
    (record,) = caplog.records
    assert "convolutions over three axes in bf16 are wrong at some sizes" in record.getMessage()


def test_info_says_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not any("three axes" in line for line in info.lines(info.gather(tmp_path)))
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    lines = [line for line in info.lines(info.gather(tmp_path)) if "three axes" in line]
    assert [line.partition(":")[0] + line.rpartition("Install")[2] for line in lines] == [
        "cuda torch 2.11 or newer.", "cuda torch 2.7 (constraints-torch-sm70.txt).",
    ]  # fmt: skip


def test_info_of_a_driver_and_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(HARDWARE, "_gpus", lambda: ())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    budget.DRIVER.write_text("NVRM version: ...")
    assert any(line.startswith("cpu: NVIDIA's driver is here, but torch") for line in info.lines(info.gather(tmp_path)))
