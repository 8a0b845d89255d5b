"""The packed net against the net it was made of."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import autoseg.nets.packed as packed_module
from autoseg.nets import build_unet
from autoseg.nets.packed import PackedConv, PackedUNet
from autoseg.step import arrange
from tests import small

BF16 = pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor does not multiply bf16")
ANISOTROPIC: dict[str, Any] = {"strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3))}

RESIDUAL: dict[str, Any] = {"blocks": (1, 2, 3), "convs": 1}


def check(shape: Sequence[int], samples: int, axes: int, **changes: Any) -> None:
    """The packed net must be near the net under autocast, and about as near to fp32."""
    torch.manual_seed(0)
    net = build_unet(small.network(axes, **changes)).eval()
    for parameter in net.parameters():
        if parameter.ndim == 1:  # biases and norms that do something
            nn.init.normal_(parameter, std=0.5)
    arrange(net, "cpu", axes)
    x = torch.randn(samples, changes.get("in_channels", 1), *shape)
    with torch.inference_mode():
        exact = net(x)[0]
        with torch.autocast("cpu", torch.bfloat16):
            cast = net(x)[0]
    got = PackedUNet(net, shape)(x)[0]
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, cast, rtol=0.02, atol=0.06)
    assert (got - exact).abs().mean() < 2 * (cast - exact).abs().mean()


@BF16
@pytest.mark.parametrize(
    ("shape", "samples", "axes", "changes"),
    [
        ((16, 24), 1, 2, {}),
        ((16, 24), 3, 2, {"in_channels": 3, "num_heads": 5}),
        ((4, 4), 2, 2, {}),  # one pixel at the bottom
        ((18, 20), 1, 2, {"features": (8, 16), "strides": ((1, 1), (2, 2)), "kernels": ((5, 5), (3, 3))}),
        ((4, 8, 8), 2, 3, ANISOTROPIC),
        ((16, 24), 2, 2, RESIDUAL),
        ((4, 8, 8), 1, 3, {**ANISOTROPIC, **RESIDUAL}),
    ],
)
def test_the_packed_net_says_what_the_net_says(shape: tuple[int, ...], samples: int, axes: int, changes: dict[str, Any]) -> None:
    check(shape, samples, axes, **changes)


@BF16
def test_without_onednns_functions_it_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_module, "can_pack", lambda: False)
    check((16, 24), 2, 2)


@BF16
def test_inputs_of_other_shapes_and_batches_go_through_the_same_weights() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3, 2, 1)
    packed = PackedConv(conv, (32, 32))
    for shape in ((1, 3, 32, 32), (4, 3, 10, 18)):
        x = torch.randn(shape).bfloat16()
        with torch.no_grad():
            torch.testing.assert_close(packed(x), conv.bfloat16()(x), rtol=0.02, atol=0.02)
