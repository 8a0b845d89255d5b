"""The U-Net: conv - instance norm - LeakyReLU, for 2 and 3 axes, with deep supervision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from autoseg.nets.blocks import CONVS, SLOPE, conv_stage, residual_stage
from autoseg.nets.up import UpConv2d, UpConv3d
from autoseg.plan import Network

TRANSPOSED: dict[int, Callable[..., nn.Module]] = {2: UpConv2d, 3: UpConv3d}


class UNet(nn.Module):
    """Encoder, decoder with skips, and a head per decoder resolution (the coarsest apart, whose loss weighs nothing).

    Parameters
    ----------
    encoder : list of modules
        Finest first.
    ups, decoder, heads : lists of modules
        Coarsest first: ups[i] doubles, decoder[i] merges with the skip, heads[i] belongs to decoder[i + 1].
    """

    def __init__(self, encoder: list[nn.Module], ups: list[nn.Module], decoder: list[nn.Module], heads: list[nn.Module]) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.ups = nn.ModuleList(ups)
        self.decoder = nn.ModuleList(decoder)
        self.heads = nn.ModuleList(heads)
        #: The finest so many stages recompute their activations in backward instead of keeping them.
        self.checkpointed_stages = 0
        #: Entered when they do. torch restores its own autocast there; memory/, which has another, puts it here.
        self.recompute_context: Callable[[], AbstractContextManager[object]] = nullcontext

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits (N, heads, ...), finest first: all scales in training, the finest alone otherwise."""
        skips = []
        for level, stage in enumerate(self.encoder):
            x = self._run(stage, level, x)
            skips.append(x)
        outputs = []
        skips.pop()
        first_head = len(self.decoder) - len(self.heads)
        for i, (up, stage) in enumerate(zip(self.ups, self.decoder, strict=True)):
            level = len(self.decoder) - 1 - i
            x = self._run(partial(merge, up, stage), level, x, skips.pop())
            if i >= first_head and (self.training or level == 0):
                outputs.append(self.heads[i - first_head](x))
        return outputs[::-1]

    def _run(self, part: Callable[..., Tensor], level: int, *inputs: Tensor) -> Tensor:
        if not (self.training and level < self.checkpointed_stages):
            return part(*inputs)

        def contexts() -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
            return nullcontext(), self.recompute_context()

        y: Tensor = checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
        return y


def merge(up: nn.Module, stage: nn.Module, x: Tensor, skip: Tensor) -> Tensor:
    """One decoder level: bring `x` to the skip's resolution, join them, convolve."""
    y: Tensor = stage(torch.cat([up(x), skip], dim=1))
    return y


def build_unet(network: Network) -> UNet:
    """The U-Net that a plan describes, with fresh weights (He; LeakyReLU 0.01) from torch's current random state.

    Example
    -------
    >>> net = build_unet(Network(in_channels=1, num_heads=3, features=(8, 16), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3))))
    >>> [tuple(y.shape) for y in net(torch.zeros(2, 1, 16, 16))]
    [(2, 3, 16, 16)]
    """
    n, axes = len(network.features), network.num_axes
    encoder: list[nn.Module] = _residual_encoder(network) if network.blocks else _plain_encoder(network)
    ups: list[nn.Module] = []
    decoder: list[nn.Module] = []
    for level in range(n - 2, -1, -1):
        stride, features = network.strides[level + 1], network.features[level]
        ups.append(TRANSPOSED[axes](network.features[level + 1], features, stride, stride))
        decoder.append(conv_stage(2 * features, features, network.kernels[level], (1,) * axes, network.convs_up))
    num_heads = max(1, len(decoder) - 1) if network.deep_supervision else 1
    levels = range(num_heads - 1, -1, -1)
    heads: list[nn.Module] = [CONVS[axes](network.features[level], network.num_heads, (1,) * axes) for level in levels]
    net = UNet(encoder, ups, decoder, heads)
    net.apply(_he_init)
    return net


def _plain_encoder(network: Network) -> list[nn.Module]:
    before = (network.in_channels, *network.features)
    stages = zip(before[:-1], network.features, network.kernels, network.strides, strict=True)
    return [conv_stage(channels, features, kernel, stride, network.convs) for channels, features, kernel, stride in stages]


def _residual_encoder(network: Network) -> list[nn.Module]:
    """A convolution to the first stage's channels, then residual blocks."""
    first, ones = network.features[0], (1,) * network.num_axes
    stem = conv_stage(network.in_channels, first, network.kernels[0], ones, 1)
    stages = zip((first, *network.features[:-1]), network.features, network.kernels, network.strides, network.blocks, strict=True)
    encoder: list[nn.Module] = [residual_stage(*stage) for stage in stages]
    return [nn.Sequential(stem, encoder[0]), *encoder[1:]]


def _he_init(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def start_heads_at_prior(net: UNet, priors: Sequence[float], *, exclusive: bool) -> None:
    """Set the heads so that an untrained net predicts each class's share of pixels.

    Parameters
    ----------
    priors : sequence of float
        Share of pixels of each class, without the background.
    exclusive : bool
        True for softmax heads with the background first.

    Notes
    -----
    Bias at the prior and small weights as in focal loss (Lin et al. 2017, arXiv 1708.02002, 4.1). A head that starts at 0.5
    spends its first hundreds of iterations unlearning 29 nearly empty maps.
    """
    shares = [min(max(p, 1e-5), 0.99) for p in priors]
    if exclusive:
        logits = [math.log(share) for share in (max(1e-5, 1.0 - sum(shares)), *shares)]
    else:
        logits = [math.log(share) - math.log1p(-share) for share in shares]
    with torch.no_grad():
        for head in net.heads:
            assert isinstance(head, (nn.Conv2d, nn.Conv3d))
            assert head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            head.bias.copy_(torch.tensor(logits))
