"""Instance norm of our own against torch's, with both kernels."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.nets.norm import InstanceNorm, choose_kernels

SHAPES = [(1, 3, 8, 8), (3, 2, 5, 7), (1, 2, 4, 4, 6), (2, 3, 1, 4, 4), (2, 3, 1, 2)]


def made(channels: int, device_type: str, seed: int = 0) -> InstanceNorm:
    norm = InstanceNorm(channels)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(channels, generator=generator))
        norm.bias.copy_(torch.randn(channels, generator=generator))
    choose_kernels(norm, device_type)
    return norm


def reference(norm: InstanceNorm, x: Tensor) -> Tensor:
    return F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-5)


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_kernels_are_instance_norm(shape: tuple[int, ...], device_type: str) -> None:
    norm = made(shape[1], device_type)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 5 + 3
    torch.testing.assert_close(norm(x), reference(norm, x))


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_instance_norm(shape: tuple[int, ...], device_type: str) -> None:
    norm = made(shape[1], device_type)
    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    gradients = []
    for y, given in zip((norm(inputs[0]), reference(norm, inputs[1])), inputs, strict=True):
        gradients.append(torch.autograd.grad((y * weight).sum(), [given, norm.weight, norm.bias]))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_bf16_keeps_its_dtype_and_fp32_statistics(batch: int) -> None:
    norm = made(4, "cpu")
    x = torch.randn((batch, 4, 64, 64), generator=torch.Generator().manual_seed(1)).bfloat16()
    y = norm(x)
    assert y.dtype == torch.bfloat16
    # One rounding to 8 bits of mantissa separates it from the same in fp32; statistics in bf16 would be off by a percent.
    torch.testing.assert_close(y.float(), reference(norm, x.float()), rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize("batch", [1, 2])
def test_sums_beyond_fp16_do_not_overflow(batch: int) -> None:
    # Sums of 65,536 pixels near 100: 6.5e6, of squares 6.5e8; fp16 ends at 65,504.
    norm = made(2, "cpu")
    x = (100 + torch.randn((batch, 2, 256, 256), generator=torch.Generator().manual_seed(1))).half()
    y = norm(x)
    assert y.dtype == torch.float16
    torch.testing.assert_close(y.float(), reference(norm, x.float()), rtol=2**-9, atol=5e-3)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 1, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_pixel_has_no_deviation(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    norm = made(3, "cpu")
    x = torch.full(shape, 5.0, dtype=dtype, requires_grad=True)
    y = norm(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y, norm.bias.to(dtype).reshape(1, 3, *[1] * (len(shape) - 2)).expand(shape))
    y.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_channels_last_stays_on_a_cpu() -> None:
    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    assert made(8, "cpu")(x).is_contiguous(memory_format=torch.channels_last)


def test_kernels_are_chosen_for_every_norm_of_a_net() -> None:
    net = nn.Sequential(InstanceNorm(1), nn.Sequential(InstanceNorm(2)))
    for device_type in ("cuda", "cpu"):
        choose_kernels(net, device_type)
        assert [m.per_sample for m in net.modules() if isinstance(m, InstanceNorm)] == [device_type == "cpu"] * 2
