"""nnU-Net's names of weights, without nnU-Net."""

import re

import pytest
import torch
from torch import Tensor

from autoseg.nets import build_unet
from benchmarks.nnunet_weights import load_nnunet, our_name
from tests import small

NETWORK = small.network(features=(4, 8, 12, 16), strides=((1, 1), *((2, 2),) * 3), kernels=((3, 3),) * 4, convs=2)


def plain_conv_unet() -> dict[str, Tensor]:
    """The state dict of a PlainConvUNet of these stages, each tensor of random numbers; spelled out from dynamic_network_architectures."""
    torch.manual_seed(0)
    weights: dict[str, Tensor] = {}

    def block(name: str, channels_in: int, channels_out: int) -> None:
        shapes = {"conv.weight": (channels_out, channels_in, 3, 3), "conv.bias": (channels_out,), "norm.weight": (channels_out,),
                  "norm.bias": (channels_out,)}  # fmt: skip
        for i, (part, shape) in enumerate(shapes.items()):
            value = torch.randn(shape)
            weights[f"{name}.{part}"] = value
            weights[f"{name}.all_modules.{i // 2}.{part.split('.')[1]}"] = value

    features = NETWORK.features
    for level, channels in enumerate(features):
        block(f"encoder.stages.{level}.0.convs.0", features[level - 1] if level else 1, channels)
        block(f"encoder.stages.{level}.0.convs.1", channels, channels)
    weights |= {f"decoder.{name}": value for name, value in weights.items()}
    for i, level in enumerate((2, 1, 0)):
        channels = features[level]
        weights[f"decoder.transpconvs.{i}.weight"] = torch.randn(features[level + 1], channels, 2, 2)
        weights[f"decoder.transpconvs.{i}.bias"] = torch.randn(channels)
        block(f"decoder.stages.{i}.convs.0", 2 * channels, channels)
        block(f"decoder.stages.{i}.convs.1", channels, channels)
        weights[f"decoder.seg_layers.{i}.weight"] = torch.randn(2, channels, 1, 1)
        weights[f"decoder.seg_layers.{i}.bias"] = torch.randn(2)
    return weights


def test_every_weight_is_loaded_but_the_coarsest_head() -> None:
    theirs, net = plain_conv_unet(), build_unet(NETWORK)
    load_nnunet(net, theirs)
    ours = net.state_dict()
    kept = {name: value for name, value in theirs.items() if our_name(name, 1) is not None}
    assert {our_name(name, 1) for name in kept} == ours.keys()
    assert len(kept) == len(ours)
    assert torch.equal(ours["encoder.2.1.conv.weight"], theirs["encoder.stages.2.0.convs.1.conv.weight"])
    assert torch.equal(ours["decoder.0.0.norm.bias"], theirs["decoder.stages.0.convs.0.norm.bias"])
    assert torch.equal(ours["ups.2.bias"], theirs["decoder.transpconvs.2.bias"])
    assert torch.equal(ours["heads.1.weight"], theirs["decoder.seg_layers.2.weight"])


@pytest.mark.parametrize("name", ["encoder.stem.convs.0.conv.weight", "encoder.stages.0.blocks.0.conv1.conv.weight"])
def test_another_net_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name!r} is no weight of a PlainConvUNet")):
        our_name(name, 1)


def test_a_net_of_other_features_is_refused() -> None:
    net = build_unet(small.network(features=(4, 8, 12, 24), strides=NETWORK.strides, kernels=NETWORK.kernels, convs=2))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_nnunet(net, plain_conv_unet())
