"""A U-Net for prediction alone, on a CPU in bf16: weights cast and laid out for oneDNN once, norms and activations in place.

What it computes is the net under autocast, but for one rounding less in each transposed convolution, whose bias is added before it.
benchmarks/README.md, "Prediction beside nnU-Net's", has the times of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.nets.blocks import SLOPE, ConvBlock, NormedConv, ResidualBlock
from autoseg.nets.norm import EPS
from autoseg.nets.unet import UNet

CAST = torch.bfloat16
LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


class PackedConv(nn.Module):
    """A convolution whose weights lie as oneDNN multiplies them, which otherwise reorders them in every call.

    Parameters
    ----------
    conv : Conv2d or Conv3d
    shape : sequence of int
        Spatial shape of its usual input, from which oneDNN chooses the order; others are computed as well.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        assert isinstance(conv, (nn.Conv2d, nn.Conv3d))
        axes = len(shape)
        self.stride, self.padding, self.ones = list(conv.stride), [int(p) for p in conv.padding], [1] * axes
        self.shape = (conv.out_channels, *conv.kernel_size)
        weight = conv.weight.detach().to(CAST).contiguous(memory_format=LAYOUTS[axes])
        self.is_packed = axes == 2 and can_pack()
        if self.is_packed:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            weight = pack(weight, self.padding, self.stride, self.ones, 1, [1, conv.in_channels, *shape])
        # No parameters: oneDNN's own order can be neither moved nor saved.
        self.weight = weight
        self.bias = None if conv.bias is None else conv.bias.detach().to(CAST)
        self.convolve = F.conv2d if axes == 2 else F.conv3d

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...), bf16, channels last."""
        if not self.is_packed:
            return self.convolve(x, self.weight, self.bias, self.stride, self.padding)
        run = torch.ops.mkldnn._convolution_pointwise
        y: Tensor = run(x, self.weight, self.bias, self.padding, self.stride, self.ones, 1, "none", [], "")
        return y


class PackedBlock(nn.Module):
    """`NormedConv` or `ConvBlock`, with norm and activation in the convolution's own result."""

    def __init__(self, block: NormedConv, shape: Sequence[int]) -> None:
        super().__init__()
        self.is_active = isinstance(block, ConvBlock)
        self.conv = PackedConv(block.conv, shape)
        self.weight, self.bias = block.norm.weight.detach(), block.norm.bias.detach()
        self.norm = block.norm

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...)."""
        y = self.conv(x)
        if y.shape[2:].numel() == 1:
            y = self.norm(y)
            return F.leaky_relu_(y, SLOPE) if self.is_active else y
        mean, std = y.new_empty(y.shape[1], dtype=torch.float32), y.new_empty(y.shape[1], dtype=torch.float32)
        for sample in y.split(1):
            # The kernel reads each value once more after the statistics and writes it in its place.
            torch.native_batch_norm(sample, self.weight, self.bias, None, None, True, 0.1, EPS, out=(sample, mean, std))
        return F.leaky_relu_(y, SLOPE) if self.is_active else y


class PackedPool(nn.Module):
    """An average, in fp32: torch has no other one for three axes on a CPU."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...), smaller."""
        y: Tensor = self.pool(x.float()).to(CAST)
        return y


class PackedResidual(nn.Module):
    """`ResidualBlock`, the sum in the second convolution's own result."""

    def __init__(self, block: ResidualBlock, shape: Sequence[int]) -> None:
        super().__init__()
        self.first = PackedBlock(block.first, shape)
        inner = left_of(shape, self.first)
        self.second = PackedBlock(block.second, inner)
        self.skip = nn.Sequential(*(PackedBlock(part, inner) if isinstance(part, NormedConv) else PackedPool(part) for part in block.skip))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...)."""
        return F.leaky_relu_(self.second(self.first(x)).add_(self.skip(x)), SLOPE)


class PackedMerge(nn.Module):
    """A transposed convolution and its concatenation with the skip.

    Its kernel is as large as its stride, so it is one matrix product whose result is written straight into its half of the concatenation.
    """

    def __init__(self, up: nn.Module) -> None:
        super().__init__()
        assert isinstance(up, (nn.ConvTranspose2d, nn.ConvTranspose3d))
        assert up.bias is not None
        self.stride, self.out_channels = tuple(up.stride), up.out_channels
        self.weight = up.weight.detach().movedim(1, -1).reshape(up.in_channels, -1).to(CAST).contiguous()
        self.bias = up.bias.detach().to(CAST).repeat(math.prod(self.stride))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, C_in, ...) and (N, C, ...) -> (N, 2 C, ...), twice as large, channels last."""
        samples, channels, *shape = x.shape
        large = [n * s for n, s in zip(shape, self.stride, strict=True)]
        flat = torch.addmm(self.bias, x.movedim(1, -1).reshape(-1, channels), self.weight)
        joined = torch.empty(samples, *large, 2 * self.out_channels, dtype=CAST)
        # (n, y, x, sy, sx, c) goes to (n, y, sy, x, sx, c).
        places = [size for pair in zip(shape, self.stride, strict=True) for size in pair]
        axes = len(shape)
        order = [0, *(axis for i in range(axes) for axis in (1 + i, 1 + axes + i)), 1 + 2 * axes]
        target = joined.view(samples, *places, 2 * self.out_channels)[..., : self.out_channels]
        target.copy_(flat.view(samples, *shape, *self.stride, self.out_channels).permute(order))
        joined[..., self.out_channels :] = skip.movedim(1, -1)
        return joined.movedim(-1, 1)


class PackedUNet(nn.Module):
    """A trained `UNet` for CPUs that multiply bf16: half the memory for weights and a tenth less time than the net under autocast.

    Parameters
    ----------
    net : UNet
        Its weights are copied; a later change does not reach the copy.
    patch : sequence of int
        The usual spatial shape of the input; others of the same multiple are computed as well.
    """

    def __init__(self, net: UNet, patch: Sequence[int]) -> None:
        super().__init__()
        shapes = [tuple(patch)]
        encoder: list[nn.Module] = []
        for stage in net.encoder:
            blocks, shape = _pack_stage(stage, shapes[-1])
            encoder.append(blocks)
            shapes.append(shape)
        decoder = [_pack_stage(stage, shape)[0] for stage, shape in zip(net.decoder, shapes[-2:0:-1], strict=True)]
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.merges = nn.ModuleList(PackedMerge(up) for up in net.ups)
        self.head = PackedConv(net.heads[-1], patch)
        self.layout = LAYOUTS[len(patch)]
        self.eval()

    @torch.inference_mode()
    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits (N, heads, ...), bf16, of the finest scale alone."""
        x = x.to(CAST).contiguous(memory_format=self.layout)
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for merge, stage in zip(self.merges, self.decoder, strict=True):
            x = stage(merge(x, skips.pop()))
        return [self.head(x)]


def can_pack() -> bool:
    """True if this torch has the functions that `PackedConv` needs; they are not documented."""
    ops = torch.ops.mkldnn
    return bool(torch._C._has_mkldnn) and hasattr(ops, "_convolution_pointwise") and hasattr(ops, "_reorder_convolution_weight")


def left_of(shape: Sequence[int], block: PackedBlock) -> list[int]:
    """The spatial shape that a block leaves of one."""
    return [math.ceil(n / s) for n, s in zip(shape, block.conv.stride, strict=True)]


def _pack_stage(stage: nn.Module, shape: Sequence[int]) -> tuple[nn.Sequential, tuple[int, ...]]:
    """A stage's blocks, and the shape that they leave of an input of `shape`."""
    blocks: list[nn.Module] = []
    for block in stage.children():
        if isinstance(block, nn.Sequential):  # a residual encoder's first stage: what comes before its blocks, and they
            packed, shape = _pack_stage(block, shape)
            blocks.append(packed)
        elif isinstance(block, ResidualBlock):
            residual = PackedResidual(block, shape)
            blocks.append(residual)
            shape = left_of(shape, residual.first)
        else:
            assert isinstance(block, ConvBlock)
            plain = PackedBlock(block, shape)
            blocks.append(plain)
            shape = left_of(shape, plain)
    return nn.Sequential(*blocks), tuple(shape)
