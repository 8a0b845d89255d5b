"""Dice with cross-entropy, computed piece by piece so that a processor's caches hold what lies between the logits and a few sums.

Shapes: N samples, H heads, K classes, P pixels of a piece, ... the spatial axes. A piece is (P, H), or (H, P) for a softmax of few heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.losses.heads import Heads
from autoseg.losses.overlap import SMOOTH
from autoseg.losses.targets import Targets

#: Numbers of a piece: 1 MiB in fp32; half and twice that measure alike with 1 MiB of second-level cache to each of two cores.
PIECE = 2**18
#: Pieces of a scale at most: each costs a score of calls, and a trace of the step makes them all.
MOST_PIECES = 32
#: Heads of a softmax from which on those of a pixel lie side by side, as in the logits. torch's softmax over fewer than 16 numbers in a row
#: is not vectorised: bringing each head's pixels together first makes the loss two to four times as fast (benchmarks/README.md).
MANY_HEADS = 16


def dice_cross_entropy_in_pieces(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """The value and the gradient of `dice_cross_entropy`, to rounding, without tensors of the logits' size beside the gradient itself.

    Parameters
    ----------
    logits : Tensor, (N, H, ...), any floating dtype; computed in fp32
    targets : Targets
        Without emphasis.
    heads : Heads

    Returns
    -------
    fp32 Tensor, scalar
    """
    assert targets.emphasis is None
    sums = _Sums.apply(logits, targets.channels, targets.weight, heads.exclusive)  # type: ignore[no-untyped-call]
    entropy, shared, predicted, true = sums
    pixels: Tensor | int = logits.numel() // logits.shape[1] if targets.weight is None else targets.weight.sum().clamp(min=1)
    dice = (2 * _of_classes(heads, shared) + SMOOTH) / (_of_classes(heads, predicted) + _of_classes(heads, true) + SMOOTH)
    if not heads.exclusive:
        mean = heads.mean(entropy / pixels * heads.scales)
    elif heads.weights is None:
        mean = (entropy.sum() / pixels * heads.scales).mean()
    else:
        weights = torch.cat([heads.weights.new_ones(1), heads.weights])
        mean = (entropy * weights).sum() / pixels / ((true * weights).sum() / pixels).clamp(min=1e-6) * heads.scales.mean()
    return mean + 1 - heads.mean(dice)


def _of_classes(heads: Heads, sums: Tensor) -> Tensor:
    """(H,) -> (K,)"""
    return sums[1:] if heads.exclusive else sums


class _Sums(torch.autograd.Function):
    """Sums over all pixels of the entropy, of probability x target, of the probability and of the target, (H,) each."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, channels: Tensor, weight: Tensor | None, exclusive: bool) -> tuple[Tensor, ...]:
        ctx.save_for_backward(logits, channels, weight)
        ctx.exclusive = exclusive
        axis = _axis_of_heads(logits, exclusive)
        sums = torch.zeros((4, logits.shape[1]), device=logits.device)
        for piece in _pieces(logits):
            x, t = _cut(logits, piece, axis), _cut(channels, piece, axis)
            w = None if weight is None else _cut(weight, piece, axis)
            entropy, p = _softmax(x, t, axis) if exclusive else _sigmoid(x, t)
            if w is not None:
                entropy, p, t = entropy.mul_(w), p.mul_(w), t * w
            for total, part in zip(sums, (entropy, p * t, p, t), strict=True):
                total += part.sum(1 - axis)
        ctx.mark_non_differentiable(sums[3])
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        logits, channels, weight = ctx.saved_tensors
        axis = _axis_of_heads(logits, ctx.exclusive)
        gradients = tuple(gradient.unsqueeze(1 - axis) for gradient in gradients)
        result = torch.empty_like(logits)
        for piece in _pieces(logits):
            x, t = _cut(logits, piece, axis), _cut(channels, piece, axis)
            w = None if weight is None else _cut(weight, piece, axis)
            gradient = _softmax_gradient(x, t, w, gradients, axis) if ctx.exclusive else _sigmoid_gradient(x, t, w, gradients)
            _paste(result, piece, gradient, axis)
        return result, None, None, None


#: A sample, and the part of its first spatial axis.
Piece = tuple[int, int, int]


def _pieces(logits: Tensor) -> Iterator[Piece]:
    line = logits.shape[1] * math.prod(logits.shape[3:])
    lines = max(1, PIECE // line, math.ceil(logits.shape[0] * logits.shape[2] / MOST_PIECES))
    for index in range(logits.shape[0]):
        for first in range(0, logits.shape[2], lines):
            yield index, first, min(first + lines, logits.shape[2])


def _axis_of_heads(logits: Tensor, exclusive: bool) -> int:
    """Of a piece."""
    return 0 if exclusive and logits.shape[1] < MANY_HEADS else 1


def _cut(values: Tensor, piece: Piece, axis: int) -> Tensor:
    """A piece of (N, C, ...) in fp32, (P, C) or (C, P); a view if it is fp32 and channels_last, and channels shall come last."""
    index, first, stop = piece
    part = values[index, :, first:stop]
    if axis == 1:
        return part.movedim(0, -1).reshape(-1, values.shape[1]).float()
    cut = torch.empty(part.shape, device=values.device)
    # One by one: torch copies a transposed matrix of a few columns four times slower.
    for target, channel in zip(cut, part, strict=True):
        target.copy_(channel)
    return cut.flatten(1)


def _paste(values: Tensor, piece: Piece, cut: Tensor, axis: int) -> None:
    """Put a piece in its place, whatever the layout there."""
    index, first, stop = piece
    part = values[index, :, first:stop]
    if axis == 1:
        part.movedim(0, -1).copy_(cut.view(*part.shape[1:], -1))
        return
    for target, channel in zip(part, cut, strict=True):
        target.copy_(channel.view(target.shape))


def _sigmoid(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy and probability of each head and pixel."""
    # log(1 + exp(x)) - x t
    return F.softplus(x).addcmul_(x, t, value=-1), torch.sigmoid(x)


def _softmax(x: Tensor, t: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    log_p = F.log_softmax(x, dim=axis)
    return (log_p * t).neg_(), log_p.exp_()


def _sigmoid_gradient(x: Tensor, t: Tensor, w: Tensor | None, gradients: tuple[Tensor, ...]) -> Tensor:
    entropy, shared, predicted, _ = gradients
    p = torch.sigmoid(x)
    slope = _slope(t, w, shared, predicted).mul_(torch.addcmul(p, p, p, value=-1))
    surplus = (p.sub_(t)).mul_(entropy)
    return slope.add_(surplus if w is None else surplus.mul_(w))


def _softmax_gradient(x: Tensor, t: Tensor, w: Tensor | None, gradients: tuple[Tensor, ...], axis: int) -> Tensor:
    entropy, shared, predicted, _ = gradients
    p = torch.softmax(x, dim=axis)
    slope = _slope(t, w, shared, predicted)
    wanted = t * entropy
    if w is not None:
        wanted.mul_(w)
    shift = wanted.sum(axis, keepdim=True).sub_((p * slope).sum(axis, keepdim=True))
    return slope.add_(shift).mul_(p).sub_(wanted)


def _slope(t: Tensor, w: Tensor | None, shared: Tensor, predicted: Tensor) -> Tensor:
    """Derivative of both of Dice's sums by the probability; both factors of the product carry the weight."""
    if w is None:
        return torch.addcmul(predicted, t, shared)
    return (t * w).mul_(shared).add_(predicted).mul_(w)
