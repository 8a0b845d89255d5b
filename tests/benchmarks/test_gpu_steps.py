"""What is timed: settings, operations, and what a row says that failed."""

import pytest
import torch
from torch import nn

from autoseg.nets import UNet
from autoseg.nets.norm import InstanceNorm
from autoseg.step import build_learner
from benchmarks import gpu_steps
from benchmarks.clock import Clock
from benchmarks.devices import Cuda, Device
from benchmarks.gpu_steps import HEAD, Setting, cells, lay_out, row, settings, stage_of, step_flops

ONE = Setting(edge=16, batch=2, precision="fp32")


def test_everything_that_was_asked_for_is_measured() -> None:
    found = list(settings(Cuda(precisions=("bf16", "fp16", "fp32"))))
    assert len(set(found)) == len(found)
    ours = {(one.patch, one.precision, one.channels_last) for one in found if not one.plain and not one.benchmark}
    sizes = [(512, 512), (1024, 1024), (2048, 2048), (128, 128, 128)]
    assert ours == {(size, p, c) for size in sizes for p in ("fp16", "bf16", "fp32") for c in (False, True)}
    assert {(one.patch, one.precision) for one in found if one.plain} == {(size, "fp16") for size in sizes}
    assert found[0] == Setting(edge=2048, batch=1, precision="bf16")
    assert {one.precision for one in settings(Cuda(precisions=("fp16",)))} == {"fp16"}


def test_operations_of_convolutions() -> None:
    # 8 x 8, two stages of 32 and 64 features, 3 heads, 2 samples: multiply-adds of each convolution, twice for multiplication and addition.
    encoder = 64 * 9 * (1 * 32 + 32 * 32) + 16 * 9 * (32 * 64 + 64 * 64)
    decoder = 64 * 64 * 32 + 64 * 9 * (64 * 32 + 32 * 32) + 64 * 32 * 3
    forward = 2 * 2 * (encoder + decoder)
    # Backward takes as much for the weights, and for the inputs but the image's, and for nothing else.
    first = 2 * 2 * 64 * 9 * 32
    assert step_flops(8, 2, tiny=True) == 3 * forward - first


def test_operations_of_a_volume() -> None:
    # The same in 8 x 8 x 8: kernels of 27, strides of 2 along three axes.
    encoder = 512 * 27 * (1 * 32 + 32 * 32) + 64 * 27 * (32 * 64 + 64 * 64)
    decoder = 512 * 64 * 32 + 512 * 27 * (64 * 32 + 32 * 32) + 512 * 32 * 3
    assert step_flops(8, 1, axes=3, tiny=True) == 3 * 2 * (encoder + decoder) - 2 * 512 * 27 * 32


def test_the_memory_format_and_norm_that_were_asked_for() -> None:
    setting = Setting(edge=16, batch=1, precision="fp32", channels_last=True, per_sample=True)
    given = stage_of(setting, Device())
    learner = build_learner(given, torch.device("cpu"), exclusive=False, precision="fp32")
    lay_out(learner, setting, given)
    inner = [m.weight for m in learner.net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) and m.in_channels > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in inner)
    assert all(learner.optimizer.state[weight]["momentum_buffer"].stride() == weight.stride() for weight in inner)
    assert norms(learner.net) == {True}
    lay_out(learner, ONE, given)
    assert all(weight.is_contiguous() for weight in inner)
    assert norms(learner.net) == {False}


def norms(net: UNet) -> set[bool]:
    return {module.per_sample for module in net.modules() if isinstance(module, InstanceNorm)}


@pytest.mark.parametrize(
    ("error", "says"),
    [(torch.OutOfMemoryError("CUDA out of memory"), "out of memory"), (RuntimeError("no kernel\nmore"), "failed: RuntimeError: no kernel")],
)
def test_a_row_that_failed_says_so(error: Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(gpu_steps, "build", fail)
    assert row(ONE, Device(), Clock(60)) == cells(ONE, says)
    assert len(cells(ONE, says)) == len(HEAD)
    assert not torch.backends.cudnn.benchmark


def test_a_row_in_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_steps, "measure", lambda setting, device: (0.5, 3 * 2**30))
    monkeypatch.setattr(gpu_steps, "step_flops", lambda edge, batch, axes, tiny: 10**13)
    setting = Setting(edge=16, batch=2, precision="fp16")
    found = dict(zip(HEAD, row(setting, Device(name="NVIDIA A100-SXM4-80GB"), Clock(60)), strict=True))
    # 20 TFLOP/s of 312.
    figures = {"ms a step": "500.0", "images/s": "4.0", "TFLOP/s": "20.0", "share of peak": "6%", "peak GiB": "3.00"}
    assert {name: found[name] for name in figures} == figures


def test_cudnns_search_is_on_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(gpu_steps, "build", lambda setting, device: lambda: seen.append(torch.backends.cudnn.benchmark))
    gpu_steps.measure(Setting(edge=16, batch=1, precision="fp32", benchmark=True), Device())
    assert set(seen) == {True}
    assert not torch.backends.cudnn.benchmark
