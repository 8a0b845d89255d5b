"""What U-Nets are made of: convolution and instance norm, with LeakyReLU or in residual blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from autoseg.nets.norm import InstanceNorm

SLOPE = 0.01
#: By number of axes; typed as factories, because torch types kernels of each as tuples of its own length.
CONVS: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
POOLS: dict[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


class NormedConv(nn.Module):
    """Convolution, instance norm. The convolution has a bias only for parity with nnU-Net's weights; the norm removes it."""

    def __init__(self, channels_in: int, channels_out: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        padding = tuple(k // 2 for k in kernel)
        self.conv = CONVS[len(kernel)](channels_in, channels_out, tuple(kernel), tuple(stride), padding)
        self.norm = InstanceNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...), strided."""
        y: Tensor = self.norm(self.conv(x))
        return y


class ConvBlock(NormedConv):
    """Convolution, instance norm, LeakyReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__(channels_in, channels_out, kernel, stride)
        self.act = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...), strided."""
        y: Tensor = self.act(super().forward(x))
        return y


class ResidualBlock(nn.Module):
    """Two convolutions with norms, the input added before the second LeakyReLU.

    He et al. 2016 (arXiv 1512.03385) in the form D of He et al. 2019 (arXiv 1812.01187): where the input is strided it is averaged, and
    where its channels change it is projected. nnU-Net's residual encoders are made of these (arXiv 2404.09556).

    Parameters
    ----------
    channels_in, channels_out : int
    kernel, stride : sequence of int
        One per axis; the first convolution and the input's average stride.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        axes = len(kernel)
        ones = (1,) * axes
        self.first = ConvBlock(channels_in, channels_out, kernel, stride)
        self.second = NormedConv(channels_out, channels_out, kernel, ones)
        way: list[nn.Module] = []
        if any(s != 1 for s in stride):
            way.append(POOLS[axes](tuple(stride), tuple(stride)))
        if channels_in != channels_out:
            way.append(NormedConv(channels_in, channels_out, ones, ones))
        self.skip = nn.Sequential(*way)
        self.act = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, ...) -> (N, C_out, ...), strided."""
        y: Tensor = self.act(self.second(self.first(x)) + self.skip(x))
        return y


def conv_stage(channels_in: int, channels_out: int, kernel: Sequence[int], stride: Sequence[int], num: int) -> nn.Sequential:
    """`num` ConvBlocks, the first one strided."""
    return _stage(ConvBlock, channels_in, channels_out, kernel, stride, num)


def residual_stage(channels_in: int, channels_out: int, kernel: Sequence[int], stride: Sequence[int], num: int) -> nn.Sequential:
    """`num` residual blocks, the first one strided."""
    return _stage(ResidualBlock, channels_in, channels_out, kernel, stride, num)


def _stage(
    block: Callable[..., nn.Module], channels_in: int, channels_out: int, kernel: Sequence[int], stride: Sequence[int], num: int
) -> nn.Sequential:
    ones = (1,) * len(kernel)
    later = [block(channels_out, channels_out, kernel, ones) for _ in range(num - 1)]
    return nn.Sequential(block(channels_in, channels_out, kernel, stride), *later)
