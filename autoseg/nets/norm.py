"""Instance normalisation with statistics in fp32; the kernel is chosen per device."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.nets.up import UpConv2d, UpConv3d

EPS = 1e-5


class InstanceNorm(nn.Module):
    """Each channel of each sample to zero mean and unit variance, then scaled and shifted.

    Works on (N, C, (Z,) Y, X) of any floating dtype and returns the same dtype. Statistics are accumulated in fp32 inside the
    kernels: the sum of squares over 2048 x 2048 overflows fp16.

    Notes
    -----
    On a CPU `batch_norm` on one sample at a time equals instance norm and keeps channels_last, which `instance_norm` does not
    (it returns contiguous tensors, and every convolution then reorders its input). On CUDA `instance_norm` is cuDNN's. The
    kernel follows the device that is planned for, not the one at hand: memory/ traces CUDA's choice on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.per_sample = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        if x.shape[2:].numel() == 1:
            # One pixel has no variance, which both kernels refuse; its deviation from the mean is zero.
            axes = (1, -1, *[1] * (x.ndim - 2))
            return (x - x) * self.weight.to(x.dtype).view(axes) + self.bias.to(x.dtype).view(axes)
        if self.per_sample:
            return _per_sample_batch_norm(x, self.weight, self.bias)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPS)


def choose_kernels(net: nn.Module, device_type: str) -> None:
    """Let every norm and transposed convolution of a net use the kernels that are best on this type of device ("cpu" or "cuda")."""
    for module in net.modules():
        if isinstance(module, InstanceNorm):
            module.per_sample = device_type == "cpu"
        elif isinstance(module, (UpConv2d, UpConv3d)):
            module.bias_apart = device_type == "cpu"


def _per_sample_batch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if x.shape[0] == 1:
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPS)
    samples = [F.batch_norm(sample, None, None, weight, bias, training=True, eps=EPS) for sample in torch.split(x, 1)]
    return torch.cat(samples)
