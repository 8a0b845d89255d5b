"""The losses by name. Each serves exclusive and overlapping classes: the heads say which."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from autoseg.losses.border import border_weights
from autoseg.losses.cross_entropy import FOCAL_GAMMA, cross_entropy
from autoseg.losses.heads import Heads
from autoseg.losses.ms_ssim import ms_ssim_per_class
from autoseg.losses.overlap import TVERSKY_ALPHA, TVERSKY_BETA, dice_per_class, jaccard_per_class, tversky_per_class
from autoseg.losses.pieces import dice_cross_entropy_in_pieces
from autoseg.losses.targets import Targets

#: logits (N, H, ...) of any floating dtype, targets, heads -> fp32 scalar; at one scale
ScaleLoss = Callable[[Tensor, Targets, Heads], Tensor]


def dice_cross_entropy(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """Soft Dice of the classes (without background) plus cross-entropy (nnU-Net)."""
    entropy, probabilities = cross_entropy(logits, targets, heads)
    return entropy + _missing(dice_per_class, probabilities, targets, heads)


def dice_focal(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """Soft Dice of the classes plus focal loss."""
    entropy, probabilities = cross_entropy(logits, targets, heads, gamma=FOCAL_GAMMA)
    return entropy + _missing(dice_per_class, probabilities, targets, heads)


def focal(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """Focal loss: cross-entropy in which pixels count less the better they are predicted."""
    return cross_entropy(logits, targets, heads, gamma=FOCAL_GAMMA)[0]


def tversky(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """1 - Tversky index, in which a missed pixel costs more than a surplus one."""

    def index(p: Tensor, t: Tensor, weight: Tensor | None) -> Tensor:
        return tversky_per_class(p, t, weight, alpha=TVERSKY_ALPHA, beta=TVERSKY_BETA)

    return _missing(index, heads.probabilities(logits), targets, heads)


def jaccard(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """1 - intersection over union."""
    return _missing(jaccard_per_class, heads.probabilities(logits), targets, heads)


def ms_ssim(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """1 - multi-scale structural similarity (UNet 3+, Huang et al. 2020, arXiv 2004.08790)."""
    return _missing(ms_ssim_per_class, heads.probabilities(logits), targets, heads)


def border_ce(logits: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """Cross-entropy, higher between objects that nearly touch: by the targets' emphasis, which `PIXEL_WEIGHTS` makes."""
    return cross_entropy(logits, targets, heads)[0]


def _missing(similarity: Callable[[Tensor, Tensor, Tensor | None], Tensor], p: Tensor, targets: Targets, heads: Heads) -> Tensor:
    """What the classes' mean similarity lacks to 1."""
    return 1 - heads.mean(similarity(p, heads.classes(targets.channels), targets.weight))


#: dice_ce and dice_bce are one loss: for exclusive classes, and for overlapping ones.
LOSSES: dict[str, ScaleLoss] = {
    "dice_ce": dice_cross_entropy,
    "dice_bce": dice_cross_entropy,
    "dice_focal": dice_focal,
    "focal": focal,
    "tversky": tversky,
    "jaccard": jaccard,
    "ms_ssim": ms_ssim,
    "border_ce": border_ce,
}

#: Losses that can also be computed in pieces, which is faster on a CPU.
IN_PIECES: dict[str, ScaleLoss] = dict.fromkeys(("dice_ce", "dice_bce"), dice_cross_entropy_in_pieces)

#: Losses whose pixels count differently: weights from the targets at full resolution, which coarser scales average.
PIXEL_WEIGHTS: dict[str, Callable[[Targets, Heads], Tensor]] = {"border_ce": border_weights}
