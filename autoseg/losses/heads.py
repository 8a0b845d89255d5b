"""What the output channels of a net stand for, as losses need it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """The heads of a net: H = 1 + K channels with the background first if classes are exclusive, else H = K.

    Parameters
    ----------
    exclusive : bool
        A softmax over all heads; else a sigmoid each.
    scales : fp32 Tensor, (1,) if exclusive, else (K,)
        Factors of the cross-entropy, see `entropy_scales`.
    weights : fp32 Tensor, (K,), or None
        How much each class counts, relative to the others and, in a softmax, to the background's 1. None: all alike.
    """

    exclusive: bool
    scales: Tensor
    weights: Tensor | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, H, ...) of any floating dtype -> fp32 (N, K, ...), background left out."""
        x = logits.float()
        return torch.softmax(x, dim=1)[:, 1:] if self.exclusive else torch.sigmoid(x)

    def classes(self, channels: Tensor) -> Tensor:
        """(N, H, ...) -> (N, K, ...): the channels of the classes, background left out."""
        return channels[:, 1:] if self.exclusive else channels

    def mean(self, values: Tensor) -> Tensor:
        """Weighted mean over the classes of (K,) numbers."""
        if self.weights is None:
            return values.mean()
        return (values * self.weights).sum() / self.weights.sum()


def entropy_scales(priors: Sequence[float], *, exclusive: bool) -> Tensor:
    """Factors that make the cross-entropy of an untrained net, which predicts the priors, equal to 1 as its Dice loss is.

    Parameters
    ----------
    priors : sequence of float
        Share of pixels of each class.

    Returns
    -------
    fp32 Tensor, (K,), or (1,) if exclusive

    Notes
    -----
    A class that covers 0.1 % of the pixels has an entropy of 0.008: averaged over pixels its cross-entropy vanishes beside the
    Dice term from the first step on, and with 29 such classes training stalls. Dividing by the entropy of the prior weighs the
    two terms alike for every class, whatever its size.
    """
    share = [min(max(p, 1e-5), 0.5) for p in priors]
    if exclusive:
        background = max(1e-5, 1 - sum(share))
        return torch.tensor([1 / -sum(p * math.log(p) for p in [background, *share])])
    return torch.tensor([1 / -(p * math.log(p) + (1 - p) * math.log1p(-p)) for p in share])
