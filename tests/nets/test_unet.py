"""The U-Net against one written out here, and what it starts from."""

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.nets import NETS, UNet, build_unet
from autoseg.nets.unet import start_heads_at_prior
from tests import small

DEEP: dict[str, Any] = {"features": (4, 6, 8, 10), "strides": ((1, 1), (2, 2), (2, 2), (2, 2)), "kernels": ((3, 3),) * 4}
ANISOTROPIC: dict[str, Any] = {"strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3))}


def built(axes: int = 2, seed: int = 0, **changes: Any) -> UNet:
    torch.manual_seed(seed)
    return build_unet(small.network(axes, **changes))


def sizes(outputs: list[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(y.shape) for y in outputs]


def test_the_table_of_nets() -> None:
    assert isinstance(NETS["unet"](small.network()), UNet)


def test_every_scale_but_the_coarsest_has_a_head_in_training() -> None:
    net = built(**DEEP, num_heads=5)
    x = torch.randn(2, 1, 24, 32)
    assert sizes(net(x)) == [(2, 5, 24, 32), (2, 5, 12, 16)]
    assert sizes(net.eval()(x)) == [(2, 5, 24, 32)]


def test_two_stages_have_one_head() -> None:
    net = built(features=(4, 8), strides=((1, 1), (2, 2)), kernels=((3, 3),) * 2)
    assert sizes(net(torch.randn(1, 1, 6, 10))) == [(1, 2, 6, 10)]


def test_without_deep_supervision() -> None:
    assert sizes(built(**DEEP, deep_supervision=False)(torch.randn(1, 1, 16, 16))) == [(1, 2, 16, 16)]


def test_three_axes_with_thick_slices() -> None:
    net = built(3, **ANISOTROPIC, in_channels=3)
    assert sizes(net(torch.randn(1, 3, 6, 16, 8))) == [(1, 2, 6, 16, 8)]
    assert net.encoder[0][0].conv.kernel_size == (1, 3, 3)  # type: ignore[index]


def test_the_smallest_input_trains() -> None:
    # One pixel at the bottom.
    net = built()
    sum(y.mean() for y in net(torch.randn(2, 1, 4, 4))).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def plain_unet(net: UNet, x: Tensor, convs: int, decoder_convs: int) -> list[Tensor]:
    """A U-Net of three stages that pools by 2, in torch's own functions, with the weights of `net`: all scales, finest first."""
    w = dict(net.named_parameters())

    def block(name: str, x: Tensor, stride: int) -> Tensor:
        conv = F.conv2d if x.ndim == 4 else F.conv3d
        x = conv(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], stride=stride, padding=1)
        return F.leaky_relu(F.instance_norm(x, weight=w[f"{name}.norm.weight"], bias=w[f"{name}.norm.bias"], eps=1e-5), 0.01)

    def stage(name: str, x: Tensor, stride: int) -> Tensor:
        for i in range(convs if name.startswith("encoder") else decoder_convs):
            x = block(f"{name}.{i}", x, stride if i == 0 else 1)
        return x

    up = F.conv_transpose2d if x.ndim == 4 else F.conv_transpose3d
    fine = stage("encoder.0", x, 1)
    middle = stage("encoder.1", fine, 2)
    x = stage("encoder.2", middle, 2)
    x = stage("decoder.0", torch.cat([up(x, w["ups.0.weight"], w["ups.0.bias"], stride=2), middle], 1), 1)
    x = stage("decoder.1", torch.cat([up(x, w["ups.1.weight"], w["ups.1.bias"], stride=2), fine], 1), 1)
    head = F.conv2d if x.ndim == 4 else F.conv3d
    return [head(x, w["heads.0.weight"], w["heads.0.bias"])]


@pytest.mark.parametrize(
    ("axes", "convs", "decoder_convs"), [(2, 1, None), (2, 2, None), (2, 3, None), (3, 2, None), (2, 2, 1), (3, 2, 1), (2, 1, 3)]
)
def test_it_is_the_plain_unet(axes: int, convs: int, decoder_convs: int | None) -> None:
    net = built(axes, convs=convs, decoder_convs=decoder_convs)
    num = {half: {len(list(stage.children())) for stage in stages} for half, stages in (("down", net.encoder), ("up", net.decoder))}
    assert num == {"down": {convs}, "up": {decoder_convs or convs}}
    x = torch.randn((2, 1, *(16,) * axes), generator=torch.Generator().manual_seed(1))
    for ours, plain in zip(net(x), plain_unet(net, x, convs, decoder_convs or convs), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_weights_start_as_he_says() -> None:
    # Var = 2 / (1 + slope^2) / fan_in; 256 * 64 * 9 draws pin the deviation to a percent.
    net = built(features=(64, 256, 8))
    conv = net.encoder[1][0].conv  # type: ignore[index]
    expected = math.sqrt(2 / (1 + 0.01**2) / (64 * 9))
    assert conv.weight.detach().std().item() == pytest.approx(expected, rel=0.01)
    assert not conv.bias.any()


def test_weights_come_from_torchs_random_state() -> None:
    first, again, other = built(seed=3), built(seed=3), built(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("axes", [2, 3])
def test_checkpointed_stages_change_no_gradient(stages: int, axes: int) -> None:
    x = torch.randn((2, 1, *(8,) * axes), generator=torch.Generator().manual_seed(1))
    gradients = []
    for checkpointed in (0, stages):
        net = built(axes)
        net.checkpointed_stages = checkpointed
        sum(y.square().mean() for y in net(x)).backward()
        gradients.append([p.grad for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True) if a is not None and b is not None)


def test_checkpointed_stages_are_computed_again() -> None:
    net = built()
    net.checkpointed_stages = 2
    entered: list[int] = []
    net.recompute_context = lambda: entered.append(1) or nullcontext()  # type: ignore[func-returns-value]
    calls: list[int] = []
    net.encoder[0].register_forward_pre_hook(lambda *_: calls.append(0))
    net.encoder[2].register_forward_pre_hook(lambda *_: calls.append(2))
    sum(y.mean() for y in net(torch.randn(1, 1, 8, 8))).backward()
    assert calls == [0, 2, 0]
    assert len(entered) == 4  # two encoder and two decoder levels
    calls.clear()
    net.eval()(torch.randn(1, 1, 8, 8))
    assert calls == [0, 2]


PRIORS = (0.3, 0.01, 0.0005)


@pytest.mark.parametrize("axes", [2, 3])
def test_overlapping_heads_start_at_the_priors(axes: int) -> None:
    net = built(axes, num_heads=3)
    start_heads_at_prior(net, PRIORS, exclusive=False)
    for logits in net(torch.randn((2, 1, *(16,) * axes), generator=torch.Generator().manual_seed(1))):
        mean = torch.sigmoid(logits).mean([0, *range(2, logits.ndim)])
        torch.testing.assert_close(mean, torch.tensor(PRIORS), rtol=0.05, atol=0)


def test_exclusive_heads_start_at_the_priors() -> None:
    net = built(num_heads=4)
    start_heads_at_prior(net, PRIORS, exclusive=True)
    logits = net(torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1)))[0]
    mean = torch.softmax(logits, 1).mean([0, 2, 3])
    torch.testing.assert_close(mean, torch.tensor([1 - sum(PRIORS), *PRIORS]), rtol=0.05, atol=0)


@pytest.mark.parametrize("exclusive", [True, False])
def test_heads_of_absent_and_everywhere_classes_stay_finite(exclusive: bool) -> None:
    net = built(num_heads=2 + exclusive)
    start_heads_at_prior(net, (0.0, 1.0), exclusive=exclusive)
    assert all(torch.isfinite(p).all() for p in net.parameters())


RESIDUAL: dict[str, Any] = {
    "features": (4, 4, 6), "strides": ((1, 1), (2, 2), (2, 2)), "kernels": ((3, 3),) * 3, "blocks": (1, 2, 1),
    "convs": 1,
}  # fmt: skip


def test_a_residual_encoder_written_out() -> None:
    net = built(**RESIDUAL)

    def normed(x: Tensor, part: Any, stride: int = 1) -> Tensor:
        y = F.conv2d(x, part.conv.weight, part.conv.bias, stride, part.conv.padding)
        return F.instance_norm(y, weight=part.norm.weight, bias=part.norm.bias, eps=1e-5)

    def residual(x: Tensor, block: Any, stride: int = 1) -> Tensor:
        y = normed(F.leaky_relu(normed(x, block.first, stride), 0.01), block.second)
        way = F.avg_pool2d(x, stride) if stride > 1 else x
        projected = [part for part in block.skip if hasattr(part, "conv")]
        return F.leaky_relu(y + (normed(way, projected[0]) if projected else way), 0.01)

    x = torch.randn(2, 1, 16, 24)
    stages: list[Any] = list(net.encoder)
    stem, first = stages[0]
    a = residual(F.leaky_relu(normed(x, stem[0]), 0.01), first[0])
    b = residual(residual(a, stages[1][0], 2), stages[1][1])
    c = residual(b, stages[2][0], 2)
    for level, expected in enumerate((a, b, c)):
        got = x
        for stage in stages[: level + 1]:
            got = stage(got)
        torch.testing.assert_close(got, expected)
    # Equal channels are not projected, and only what strides is averaged.
    assert [len(stage[0].skip) for stage in (first, stages[1], stages[2])] == [0, 1, 2]


def test_a_residual_net_trains_in_volumes_and_with_recomputing() -> None:
    net = built(3, **ANISOTROPIC, blocks=(1, 2, 2), convs=1)
    x = torch.randn(1, 1, 4, 8, 8)
    plain = net(x)
    net.checkpointed_stages = 2
    for one, two in zip(plain, net(x), strict=True):
        torch.testing.assert_close(one, two)
    sum(y.square().mean() for y in plain).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_plan_must_say_how_many_blocks_each_stage_has() -> None:
    with pytest.raises(ValueError, match="blocks must be empty or hold at least 1 for each of 3 stages"):
        small.network(2, blocks=(1, 2))
