"""Cross-entropy per pixel and its focal form: a softmax for exclusive classes, a sigmoid each for overlapping ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.losses.binary_entropy import binary_entropy, mean_binary_entropy
from autoseg.losses.heads import Heads
from autoseg.losses.targets import Targets

#: Focal loss's exponent (Lin et al. 2017, arXiv 1708.02002: 2 worked best).
FOCAL_GAMMA = 2.0


def cross_entropy(logits: Tensor, targets: Targets, heads: Heads, *, gamma: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy over labelled pixels, times the scales of the heads; and the probabilities of the classes on the way.

    Parameters
    ----------
    logits : Tensor, (N, H, ...), any floating dtype; computed in fp32
    targets : Targets
        Their emphasis, if any, multiplies the entropy of each pixel.
    heads : Heads
    gamma : float
        0: plain. Above: each channel's entropy is multiplied by |target - probability| ** gamma, the focal loss in the form that holds
        for targets between 0 and 1 as well (Li et al. 2020, arXiv 2006.04388); for 0 and 1 it is that of Lin et al. 2017.

    Returns
    -------
    loss : fp32 Tensor, scalar
    probabilities : fp32 Tensor, (N, K, ...)

    Notes
    -----
    The scales do what focal loss's alpha is for: they balance a class against its absence.
    """
    return (_softmax if heads.exclusive else _sigmoid)(logits.float(), targets, heads, gamma)


def _sigmoid(x: Tensor, targets: Targets, heads: Heads, gamma: float) -> tuple[Tensor, Tensor]:
    if not gamma and targets.emphasis is None:
        mean = mean_binary_entropy(x, targets.channels, targets.weight)
        return heads.mean(mean * heads.scales), torch.sigmoid(x)
    entropy, probabilities = binary_entropy(x, targets.channels), torch.sigmoid(x)
    if gamma:
        entropy = entropy * (targets.channels - probabilities).abs().pow(gamma)
    if targets.emphasis is not None:
        entropy = entropy * targets.emphasis
    return heads.mean(mean_per_channel(entropy, targets.weight) * heads.scales), probabilities


def _softmax(x: Tensor, targets: Targets, heads: Heads, gamma: float) -> tuple[Tensor, Tensor]:
    log_p = F.log_softmax(x, dim=1)
    weights = None
    if heads.weights is not None:
        weights = torch.cat([heads.weights.new_ones(1), heads.weights]).reshape(-1, *[1] * (x.ndim - 2))
    mean = mean_per_channel(_entropy(log_p, targets, weights, gamma), targets.weight)
    if weights is not None:
        # As torch's cross_entropy weighs: the mean over pixels, each counting by its class.
        mean = mean / mean_per_channel((targets.channels * weights).sum(1, keepdim=True), targets.weight).clamp(min=1e-6)
    return (mean * heads.scales).mean(), log_p[:, 1:].exp()


def _entropy(log_p: Tensor, targets: Targets, weights: Tensor | None, gamma: float) -> Tensor:
    """(N, 1, ...)"""
    parts = log_p * targets.channels
    if gamma:
        parts = parts * (targets.channels - log_p.exp()).abs().pow(gamma)
    if weights is not None:
        parts = parts * weights
    entropy = -parts.sum(1, keepdim=True)
    return entropy if targets.emphasis is None else entropy * targets.emphasis


def mean_per_channel(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over labelled pixels: (N, C, ...) and their labelled share (N, 1, ...), or None -> (C,); 0 if nothing is labelled."""
    axes = [0, *range(2, values.ndim)]
    if weight is None:
        return values.mean(axes)
    return (values * weight).sum(axes) / weight.sum().clamp(min=1)
