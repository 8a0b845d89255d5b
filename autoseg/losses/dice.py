"""Dice with cross-entropy: softmax for exclusive classes, a sigmoid each for overlapping ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.losses.targets import Targets

#: logits (N, H, ...), targets, scales (H or K) -> scalar
ScaleLoss = Callable[[Tensor, Targets, Tensor], Tensor]

SMOOTH = 1e-5


def soft_dice_loss(probabilities: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """1 - mean over classes of the soft Dice, all samples of the batch taken together (nnU-Net's batch Dice).

    Parameters
    ----------
    probabilities, target : fp32 Tensor, (N, K, ...), in [0, 1]
    weight : fp32 Tensor, (N, 1, ...), or None
        Share of labelled pixels.

    Notes
    -----
    V-Net, arXiv 1606.04797, in the linear form 2 sum(pt) / (sum p + sum t).
    """
    axes = [0, *range(2, probabilities.ndim)]
    if weight is not None:
        probabilities, target = probabilities * weight, target * weight
    shared = (probabilities * target).sum(axes)
    total = probabilities.sum(axes) + target.sum(axes)
    return 1 - ((2 * shared + SMOOTH) / (total + SMOOTH)).mean()


def dice_bce(logits: Tensor, targets: Targets, scales: Tensor) -> Tensor:
    """Soft Dice plus binary cross-entropy of every class, each class's cross-entropy multiplied by its scale.

    Parameters
    ----------
    logits : Tensor, (N, K, ...), any floating dtype; computed in fp32
    targets : Targets
    scales : fp32 Tensor, (K,)
        See `entropy_scales`.
    """
    x = logits.float()
    entropy = F.binary_cross_entropy_with_logits(x, targets.channels, reduction="none")
    loss = _mean_per_channel(entropy, targets.weight) * scales
    return loss.mean() + soft_dice_loss(torch.sigmoid(x), targets.channels, targets.weight)


def dice_ce(logits: Tensor, targets: Targets, scales: Tensor) -> Tensor:
    """Soft Dice of the classes (without background) plus softmax cross-entropy with soft targets.

    Parameters
    ----------
    logits : Tensor, (N, 1 + K, ...), background first; computed in fp32
    targets : Targets
    scales : fp32 Tensor, (1,)
        See `entropy_scales`.
    """
    log_p = F.log_softmax(logits.float(), dim=1)
    entropy = -(log_p * targets.channels).sum(1, keepdim=True)
    loss = _mean_per_channel(entropy, targets.weight) * scales
    return loss.mean() + soft_dice_loss(log_p[:, 1:].exp(), targets.channels[:, 1:], targets.weight)


def _mean_per_channel(values: Tensor, weight: Tensor | None) -> Tensor:
    axes = [0, *range(2, values.ndim)]
    if weight is None:
        return values.mean(axes)
    return (values * weight).sum(axes) / weight.sum().clamp(min=1)


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


LOSSES: dict[str, ScaleLoss] = {"dice_bce": dice_bce, "dice_ce": dice_ce}
