"""nnU-Net's plain net: with the same weights its outputs are ours."""

import pytest
import torch

from autoseg.nets import build_unet
from autoseg.nets.norm import choose_kernels
from benchmarks.nnunet_weights import load_nnunet
from benchmarks.plain_unet import PlainStep, PlainUNet, loss
from tests import small

NETWORK = small.network(features=(4, 8, 12, 16), strides=((1, 1), *((2, 2),) * 3), kernels=((3, 3),) * 4, convs=2)
SOLID = small.network(features=(4, 8, 12, 16), strides=((1,) * 3, *((2,) * 3,) * 3), kernels=((3,) * 3,) * 4, convs=2)


@pytest.mark.parametrize("shape", [(32, 24), (16, 24, 8)])
def test_the_topology_is_ours(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = NETWORK if len(shape) == 2 else SOLID
    plain, ours = PlainUNet(network), build_unet(network)
    load_nnunet(ours, plain.state_dict())
    choose_kernels(ours, "cuda")
    image = torch.randn(2, network.in_channels, *shape)
    theirs, found = plain(image), ours(image)
    # It has a head at the coarsest scale, too, whose loss weighs nothing.
    assert len(theirs) == len(found) + 1
    for a, b in zip(theirs, found, strict=False):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_the_loss_of_a_perfect_and_of_an_undecided_net() -> None:
    masks = torch.zeros(1, 1, 4, 4)
    masks[..., :2] = 1
    sizes = [masks, masks[:, :, ::2, ::2]]
    assert float(loss([200 * (mask - 0.5) for mask in sizes], sizes)) == pytest.approx(-1, abs=1e-5)
    # ln 2, and Dice of probabilities of a half: 2 x 8 x 0.5 / (8 + 8).
    assert float(loss([torch.zeros_like(mask) for mask in sizes], sizes)) == pytest.approx(0.6931 - 0.5, abs=1e-4)


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 1, 16, 16)
    masks = (images > 0.5).float().expand(-1, NETWORK.num_heads, -1, -1)
    step = PlainStep(NETWORK, images, masks, half=False)
    losses = [float(step()) for _ in range(12)]
    assert losses[-1] < losses[0] - 0.05
