"""Transposed convolutions whose bias may be added apart: oneDNN's gradient of it takes longer than all else they do."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class _Apart:
    """What both have beside torch's classes."""

    #: Set by `choose_kernels`: on a CPU the bias is added, and its gradient summed, by functions of torch's own.
    bias_apart = True

    def _add(self, y: Tensor, bias: Tensor | None) -> Tensor:
        assert bias is not None
        return y.add_(bias.to(y.dtype).view(-1, *[1] * (y.ndim - 2)))


class UpConv2d(_Apart, nn.ConvTranspose2d):
    """torch's transposed convolution for 2 axes, with the bias added apart where that is faster.

    Notes
    -----
    Measured with torch 2.13 on two cores with avx512_bf16, bf16, 2 x 128 x 128 x 128 to 64 channels at 256 x 256: the backward pass takes
    25 ms, 21 of them for the gradient of the bias, which a plain sum gives in 1 ms.
    """

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        """(N, C_in, Y, X) -> (N, C_out, ...), scaled up by the strides."""
        if not self.bias_apart:
            return super().forward(x, *args)
        return self._add(F.conv_transpose2d(x, self.weight, None, self.stride), self.bias)


class UpConv3d(_Apart, nn.ConvTranspose3d):
    """The same for 3 axes."""

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        """(N, C_in, Z, Y, X) -> (N, C_out, ...), scaled up by the strides."""
        if not self.bias_apart:
            return super().forward(x, *args)
        return self._add(F.conv_transpose3d(x, self.weight, None, self.stride), self.bias)
