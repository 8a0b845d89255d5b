"""Losses of overlap: Dice, Tversky, Jaccard. All samples of a batch are taken together (nnU-Net's batch Dice)."""

from __future__ import annotations

from torch import Tensor

SMOOTH = 1e-5
#: Weights of false positives and false negatives (Salehi et al. 2017, arXiv 1706.05721: best on small lesions).
TVERSKY_ALPHA, TVERSKY_BETA = 0.3, 0.7


def dice_per_class(probabilities: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Soft Dice of each class.

    Parameters
    ----------
    probabilities, target : fp32 Tensor, (N, K, ...), in [0, 1]
    weight : fp32 Tensor, (N, 1, ...), or None
        Share of labelled pixels.

    Returns
    -------
    fp32 Tensor, (K,)
        1 is perfect; also for a class that is nowhere and found nowhere.

    Notes
    -----
    V-Net, arXiv 1606.04797, in the linear form 2 sum(pt) / (sum p + sum t).
    """
    shared, predicted, true = _sums(probabilities, target, weight)
    return (2 * shared + SMOOTH) / (predicted + true + SMOOTH)


def tversky_per_class(probabilities: Tensor, target: Tensor, weight: Tensor | None, *, alpha: float, beta: float) -> Tensor:
    """Tversky index of each class, TP / (TP + alpha FP + beta FN); arguments and result as of `dice_per_class`.

    Notes
    -----
    alpha = beta = 1/2 is Dice, alpha = beta = 1 Jaccard (Salehi et al. 2017, arXiv 1706.05721).
    """
    shared, predicted, true = _sums(probabilities, target, weight)
    return (shared + SMOOTH) / (shared + alpha * (predicted - shared) + beta * (true - shared) + SMOOTH)


def jaccard_per_class(probabilities: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Intersection over union of each class, sum(pt) / (sum p + sum t - sum(pt)); arguments and result as of `dice_per_class`.

    Notes
    -----
    Rahman and Wang 2016, "Optimizing intersection-over-union in deep neural networks for image segmentation".
    """
    return tversky_per_class(probabilities, target, weight, alpha=1.0, beta=1.0)


def _sums(probabilities: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of products, of probabilities and of targets, (K,) each."""
    axes = [0, *range(2, probabilities.ndim)]
    if weight is not None:
        probabilities, target = probabilities * weight, target * weight
    return (probabilities * target).sum(axes), probabilities.sum(axes), target.sum(axes)
