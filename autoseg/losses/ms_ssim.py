"""Multi-scale structural similarity of probabilities and targets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg.losses.targets import POOLS

#: Exponents of the scales, finest first (Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity").
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: Edge of the uniform window, as scikit-image's structural_similarity has it. Means over windows are pooling: a Gaussian window would be a
#: convolution, which Ampere's TF32 computes with 10 bits, and a variance is a small difference of large numbers.
WINDOW = 7
#: (0.01 L) ** 2 and (0.03 L) ** 2 for values of range L = 1 (Wang et al. 2004).
C1, C2 = 1e-4, 9e-4
#: Below this the logarithm of a similarity is continued by its tangent: a similarity may be negative, and where it was cut nothing would be
#: learned any more.
LOWEST = 0.05


def ms_ssim_per_class(probabilities: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Multi-scale structural similarity of each class, mean over the samples.

    Parameters
    ----------
    probabilities, target : fp32 Tensor, (N, K, ...), in [0, 1]
    weight : fp32 Tensor, (N, 1, ...), or None
        Share of labelled pixels; windows count by it.

    Returns
    -------
    fp32 Tensor, (K,)
        1 is perfect.

    Notes
    -----
    The product over scales of the contrast and structure terms, each raised to its exponent, times the luminance of the coarsest. An axis
    is halved while the window still fits into the half; the exponents of the scales that there are sum to 1.
    """
    scales = strides_of(probabilities.shape[2:])
    exponents = [e / sum(EXPONENTS[: len(scales)]) for e in EXPONENTS[: len(scales)]]
    total = torch.zeros((), device=probabilities.device)
    for number, (stride, exponent) in enumerate(zip(scales, exponents, strict=True)):
        if number:
            probabilities, target, weight = _halved(probabilities, target, weight, stride)
        similarity = _similarity(probabilities, target, weight, luminance=number == len(scales) - 1)
        total = total + exponent * _log(similarity)
    return total.exp().mean(0)


def _log(similarity: Tensor) -> Tensor:
    tangent = math.log(LOWEST) + (similarity - LOWEST) / LOWEST
    return torch.where(similarity > LOWEST, similarity.clamp(min=LOWEST).log(), tangent)


def strides_of(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """By how much each scale is coarser than the one before, per axis; the first is all ones.

    Example
    -------
    >>> strides_of((16, 64))
    [(1, 1), (2, 2), (1, 2), (1, 2)]
    """
    strides, sizes = [(1,) * len(shape)], tuple(shape)
    while len(strides) < len(EXPONENTS):
        stride = tuple(2 if size // 2 >= WINDOW else 1 for size in sizes)
        if all(s == 1 for s in stride):
            break
        strides.append(stride)
        sizes = tuple(size // s for size, s in zip(sizes, stride, strict=True))
    return strides


def _halved(p: Tensor, t: Tensor, weight: Tensor | None, stride: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor | None]:
    pool = POOLS[len(stride)]
    if weight is None:
        return pool(p, stride, stride), pool(t, stride, stride), None
    share = pool(weight, stride, stride)
    norm = share.clamp(min=1e-6)
    return pool(p * weight, stride, stride) / norm, pool(t * weight, stride, stride) / norm, share


def _similarity(p: Tensor, t: Tensor, weight: Tensor | None, *, luminance: bool) -> Tensor:
    """Mean over windows, (N, K), of contrast and structure, and of the luminance if asked for."""
    window = tuple(min(WINDOW, size) for size in p.shape[2:])
    pool = POOLS[len(window)]
    share = None if weight is None else pool(weight, window, 1)

    def mean(values: Tensor) -> Tensor:
        return pool(values, window, 1) if weight is None or share is None else pool(values * weight, window, 1) / share.clamp(min=1e-6)

    mean_p, mean_t = mean(p), mean(t)
    variances = mean(p * p) + mean(t * t) - mean_p * mean_p - mean_t * mean_t
    similarity = (2 * (mean(p * t) - mean_p * mean_t) + C2) / (variances + C2)
    if luminance:
        similarity = similarity * (2 * mean_p * mean_t + C1) / (mean_p * mean_p + mean_t * mean_t + C1)
    if share is None:
        return similarity.flatten(2).mean(2)
    # What is missing to 1 is averaged: a sample without a labelled pixel misses nothing.
    return 1 - ((1 - similarity) * share).flatten(2).sum(2) / share.flatten(2).sum(2).clamp(min=1e-6)
