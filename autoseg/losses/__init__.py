"""Losses, found by name: LOSSES maps a name to a function logits, target, weight -> scalar, applied at every scale."""

from __future__ import annotations

from autoseg.losses.deep_supervision import DeepSupervision, scale_weights
from autoseg.losses.dice import LOSSES, ScaleLoss, entropy_scales
from autoseg.losses.targets import Targets, expand_codes

__all__ = ["LOSSES", "DeepSupervision", "ScaleLoss", "Targets", "entropy_scales", "expand_codes", "scale_weights"]
