"""Binary cross-entropy with logits that takes one tensor in forward and one in backward.

With 29 classes a tensor of the logits' size is a tenth of a step's memory. Torch's own function makes copies inside its kernels, which
a trace does not see, and works in place in backward, but not on tensor subclasses, so that a trace counts copies that are not made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class _Pixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(logits, target)
        return _entropy(logits, target)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, target = ctx.saved_tensors
        return torch.sigmoid(logits).sub_(target).mul_(gradients[0]), None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        ctx.save_for_backward(logits, target, weight)
        axes = [0, *range(2, logits.ndim)]
        entropy = _entropy(logits, target)
        if weight is None:
            return entropy.mean(axes)
        return entropy.mul_(weight).sum(axes) / weight.sum().clamp(min=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        logits, target, weight = ctx.saved_tensors
        pixels = logits[:, 0].numel() if weight is None else weight.sum().clamp(min=1)
        scale = (gradients[0] / pixels).reshape(1, -1, *[1] * (logits.ndim - 2))
        gradient = torch.sigmoid(logits).sub_(target).mul_(scale)
        return (gradient if weight is None else gradient.mul_(weight)), None, None


def _entropy(logits: Tensor, target: Tensor) -> Tensor:
    # log(1 + exp(x)) - x t, in one tensor; torch's own takes three on a CPU and two on CUDA.
    return F.softplus(logits).addcmul_(logits, target, value=-1)


def binary_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of each pixel: torch's binary_cross_entropy_with_logits without reduction.

    Parameters
    ----------
    logits, target : fp32 Tensor, (N, K, ...)
        The target in [0, 1]; of it there is no gradient.
    """
    entropy: Tensor = _Pixels.apply(logits, target)  # type: ignore[no-untyped-call]
    return entropy


def mean_binary_entropy(logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over labelled pixels of `binary_entropy`, of each class; 0 if nothing is labelled.

    Parameters
    ----------
    logits, target
        As of `binary_entropy`.
    weight : fp32 Tensor, (N, 1, ...), or None
        Share of labelled pixels.

    Returns
    -------
    fp32 Tensor, (K,)
    """
    mean: Tensor = _Mean.apply(logits, target, weight)  # type: ignore[no-untyped-call]
    return mean
