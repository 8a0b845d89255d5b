"""Losses, found by name: LOSSES maps a name to a function logits, targets, heads -> scalar, applied at every scale."""

from __future__ import annotations

from autoseg.losses.deep_supervision import DeepSupervision, scale_weights
from autoseg.losses.heads import Heads, entropy_scales
from autoseg.losses.named import LOSSES, PIXEL_WEIGHTS, ScaleLoss
from autoseg.losses.targets import Targets, expand_codes

__all__ = [
    "LOSSES",
    "PIXEL_WEIGHTS",
    "DeepSupervision",
    "Heads",
    "ScaleLoss",
    "Targets",
    "entropy_scales",
    "expand_codes",
    "scale_weights",
]
