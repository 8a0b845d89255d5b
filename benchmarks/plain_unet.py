"""nnU-Net's plain net, 2D and 3D, and its training step in torch's own functions: what it takes on a device without nnU-Net.

Topology, names of weights, loss for overlapping classes, optimizer and clipping are nnU-Net 2.8.1's (PlainConvUNet, DC_and_BCE_loss,
nnUNetTrainer.train_step); a test loads the same weights into both nets and compares their outputs.

Shapes: N samples, H heads, ... the spatial axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.plan import Network

MOMENTUM, WEIGHT_DECAY, RATE, CLIP_NORM = 0.99, 3e-5, 1e-2, 12.0
SMOOTH = 1e-5
#: Layers by the number of axes.
CONV, UP_CONV = {2: nn.Conv2d, 3: nn.Conv3d}, {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class Block(nn.Module):
    """Convolution with bias, instance norm, LeakyReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, *, axes: int) -> None:
        super().__init__()
        self.conv = CONV[axes](channels_in, channels_out, 3, stride, 1)
        self.norm = NORM[axes](channels_out, eps=1e-5, affine=True)
        self.nonlin = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...), strided."""
        y: Tensor = self.nonlin(self.norm(self.conv(x)))
        return y


class Blocks(nn.Module):
    """Two of them, the first one strided."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, *, axes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(Block(channels_in, channels_out, stride, axes=axes), Block(channels_out, channels_out, 1, axes=axes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...), strided."""
        y: Tensor = self.convs(x)
        return y


class Encoder(nn.Module):
    """Features of all stages, finest first."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        channels = (network.in_channels, *network.features)
        strides = [stride[0] for stride in network.strides]
        pairs = zip(channels[:-1], network.features, strides, strict=True)
        axes = network.num_axes
        self.stages = nn.Sequential(*(nn.Sequential(Blocks(before, after, stride, axes=axes)) for before, after, stride in pairs))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, ...) -> a list of (N, C_i, ...)."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class Decoder(nn.Module):
    """Transposed convolutions, skips, and a head at every scale, the coarsest's (of weight zero in the loss) too."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        pairs = list(pairwise(network.features[::-1]))
        axes = network.num_axes
        self.transpconvs = nn.ModuleList(UP_CONV[axes](below, here, 2, 2) for below, here in pairs)
        self.stages = nn.ModuleList(Blocks(2 * here, here, 1, axes=axes) for _, here in pairs)
        self.seg_layers = nn.ModuleList(CONV[axes](here, network.num_heads, 1) for _, here in pairs)

    def forward(self, skips: list[Tensor]) -> list[Tensor]:
        """Features, finest first -> logits (N, H, ...), finest first."""
        x, found = skips[-1], []
        for up, stage, head, skip in zip(self.transpconvs, self.stages, self.seg_layers, skips[-2::-1], strict=True):
            x = stage(torch.cat((up(x), skip), 1))
            found.append(head(x))
        return found[::-1]


class PlainUNet(nn.Module):
    """nnU-Net's PlainConvUNet with deep supervision; kernels of 3, strides of 2, two convolutions a stage."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.encoder = Encoder(network)
        self.decoder = Decoder(network)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, ...) -> logits (N, H, ...), finest first."""
        y: list[Tensor] = self.decoder(self.encoder(x))
        return y


def loss(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Binary cross-entropy and batch Dice at all scales but the coarsest, weighted 1, 1/2, 1/4, ...

    Parameters
    ----------
    logits, targets : sequences of Tensor, (N, H, ...), finest first
    """
    weights = [0.5**i for i in range(len(logits) - 1)]
    total = torch.zeros((), device=targets[0].device)
    for weight, x, t in zip(weights, logits, targets, strict=False):
        p = torch.sigmoid(x)
        axes = (0, *range(2, x.ndim))
        shared, size = (p * t).sum(axes), p.sum(axes) + t.sum(axes)
        dice = (2 * shared + SMOOTH) / (size + SMOOTH).clamp(min=1e-8)
        total = total + weight / sum(weights) * (F.binary_cross_entropy_with_logits(x, t) - dice.mean())
    return total


class PlainStep:
    """nnU-Net's train_step on data that lie on the device.

    Parameters
    ----------
    network : Network
    images : fp32 Tensor, (N, C, ...)
    masks : fp32 Tensor, (N, H, ...), 0 or 1
    half : bool
        fp16 with a scaler, as nnU-Net trains on CUDA; else fp32, as on a CPU.
    """

    def __init__(self, network: Network, images: Tensor, masks: Tensor, *, half: bool) -> None:
        self.images, self.half, self.kind = images, half, images.device.type
        self.net: nn.Module = PlainUNet(network).to(images.device)
        axes = network.num_axes
        self.targets = [masks[:, :, *[slice(None, None, 2**level)] * axes].contiguous() for level in range(len(network.features) - 1)]
        self.optimizer = torch.optim.SGD(self.net.parameters(), RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
        self.scaler = torch.amp.GradScaler(self.kind, enabled=half)

    def __call__(self) -> Tensor:
        """Forward, loss, backward, clip, update; the loss, on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.kind, torch.float16, enabled=self.half):
            value = loss(self.net(self.images), self.targets)
        torch.autograd.backward(self.scaler.scale(value))
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value.detach()
