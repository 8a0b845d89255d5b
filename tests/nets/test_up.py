"""Transposed convolutions with their bias apart against torch's own."""

from typing import Any

import pytest
import torch

from autoseg.nets.unet import TRANSPOSED
from autoseg.nets.up import UpConv2d, UpConv3d


def made(axes: int, *, bias_apart: bool) -> UpConv2d | UpConv3d:
    torch.manual_seed(0)
    up: Any = TRANSPOSED[axes](6, 4, (2,) * axes, (2,) * axes)
    up.bias_apart = bias_apart
    return up  # type: ignore[no-any-return]


@pytest.mark.parametrize("axes", [2, 3])
def test_the_bias_apart_changes_neither_result_nor_gradients(axes: int) -> None:
    found = []
    x = torch.randn((2, 6, *(5,) * axes), generator=torch.Generator().manual_seed(1))
    for bias_apart in (False, True):
        up, given = made(axes, bias_apart=bias_apart), x.clone().requires_grad_()
        y = up(given)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
        found.append([y.detach(), *torch.autograd.grad((y * weight).sum(), [given, *up.parameters()])])
    for ours, torchs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-5)


def test_bf16_stays_bf16_and_the_bias_is_rounded_once_more() -> None:
    up, x = made(2, bias_apart=True), torch.randn((2, 6, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        y = up(x)
    assert y.dtype == torch.bfloat16
    # Inputs, weights, their product and the sum: four roundings to 8 bits of mantissa of numbers of order 1.
    torch.testing.assert_close(y.float(), made(2, bias_apart=False)(x), rtol=2**-7, atol=2**-7)


def test_names_of_weights_are_those_of_torch() -> None:
    assert made(2, bias_apart=True).state_dict().keys() == torch.nn.ConvTranspose2d(6, 4, 2, 2).state_dict().keys()
