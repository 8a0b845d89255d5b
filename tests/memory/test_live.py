"""Live bytes are counted once and forgotten when they are freed; kernels' own buffers as they were measured."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from autoseg.memory import CUDA_ROUNDING, LiveBytes
from autoseg.memory.live import copied_gradient, cpu_workspace


def test_live_bytes() -> None:
    with LiveBytes(1) as counter:
        a = torch.empty(1000)
        b = a.view(10, 100)  # the same storage
        c = torch.empty(500)
        assert counter.now == 6000
        del c
        assert (counter.now, counter.peak) == (4000, 6000)
        del a
        assert counter.now == 4000
        del b
        assert counter.now == 0


def test_cudas_blocks_are_rounded() -> None:
    with LiveBytes(CUDA_ROUNDING) as counter:
        kept = [torch.empty(1), torch.empty(128), torch.empty(129)]
        assert counter.now == 512 + 512 + 1024
    assert len(kept) == 3


@pytest.mark.parametrize("fake", [False, True])
def test_arrays_count_where_they_are_copied(fake: bool) -> None:
    array = np.zeros(100, np.int32)
    for arrays, expected in ((False, 400), (True, 800)):
        with FakeTensorMode() if fake else nullcontext(), LiveBytes(1, arrays=arrays) as counter:
            torch.from_numpy(array).float()
        assert (counter.now, counter.peak) == (0, expected)


def test_a_kernels_workspace_counts_while_it_runs() -> None:
    with LiveBytes(1, lambda func, args: 1000 if func is torch.ops.aten.neg.default else 0) as counter:
        x = torch.ones(10)
        torch.neg(x)
    assert counter.peak == 40 + 40 + 1000
    assert counter.now == 40


def transient(dtype: torch.dtype, shape: tuple[int, ...], channels: int, kernel: int) -> tuple[int, int]:
    """Bytes beside its results that a convolution's backward takes: as the profiler sees them, and as `cpu_workspace` says."""
    conv = {4: F.conv2d, 5: F.conv3d}[len(shape)]
    last = {4: torch.channels_last, 5: torch.channels_last_3d}[len(shape)]
    x = torch.randn(shape, dtype=dtype).contiguous(memory_format=last).requires_grad_()
    weight = torch.randn(channels, shape[1], *(kernel,) * (len(shape) - 2), dtype=dtype).contiguous(memory_format=last).requires_grad_()
    y = conv(x, weight, padding=kernel // 2)
    gradient = torch.randn_like(y)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        results = torch.autograd.grad(y, (x, weight), gradient)
    assert len(results) == 2
    assert record.profiler is not None
    assert record.profiler.kineto_results is not None
    events = sorted((e.start_ns(), e.nbytes()) for e in record.profiler.kineto_results.events() if e.name() == "[memory]")
    now = peak = 0
    for _, change in events:
        now += change
        peak = max(peak, now)
    arguments = (gradient, x, weight, None, None, None, None, False, None, 1, (True, True, False))
    return peak - now, cpu_workspace(torch.ops.aten.convolution_backward.default, arguments)


needs_bf16 = pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor does not multiply bf16")


@needs_bf16
@pytest.mark.parametrize(
    ("shape", "channels", "kernel"),
    [((1, 32, 96, 96), 32, 3), ((3, 32, 96, 96), 32, 3), ((2, 64, 96, 96), 32, 3), ((2, 32, 96, 96), 29, 1), ((2, 32, 8, 32, 32), 16, 3)],
)
def test_what_onednn_takes_for_a_gradient_in_bf16(shape: tuple[int, ...], channels: int, kernel: int) -> None:
    seen, expected = transient(torch.bfloat16, shape, channels, kernel)
    assert expected == pytest.approx(seen, rel=0.15)


def test_what_a_small_sample_takes_in_fp32() -> None:
    pixels = 8 * 16 * 32 * 32
    seen, expected = transient(torch.float32, (1, 8, 16, 32, 32), 8, 3)
    # 27 columns of every channel, and the gradient: such a convolution gives contiguous tensors whatever it is given.
    assert expected == 27 * pixels * 4 + pixels * 4
    assert expected == pytest.approx(seen, rel=0.01)
    seen, expected = transient(torch.float32, (2, 8, 16, 32, 32), 8, 3)
    assert expected == 0
    assert seen < pixels


@pytest.mark.parametrize("last", [False, True])
def test_a_gradient_in_another_layout_is_copied(last: bool) -> None:
    layout, other = torch.contiguous_format, torch.channels_last
    if last:
        layout, other = other, layout
    x = torch.zeros(2, 3, 4, 4).contiguous(memory_format=layout)
    func = torch.ops.aten.convolution_backward.default
    assert copied_gradient(func, (x, x)) == 0
    assert copied_gradient(func, (x.contiguous(memory_format=other), x)) == x.numel() * 4
    assert copied_gradient(func, (torch.zeros(2, 6, 4, 4).contiguous(memory_format=layout)[:, 3:], x)) == x.numel() * 4
    assert copied_gradient(torch.ops.aten.add.Tensor, (x.contiguous(memory_format=other), x)) == 0
