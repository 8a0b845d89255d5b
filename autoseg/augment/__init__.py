"""Augmentation: parameters are drawn on the CPU, one set per sample; a deterministic part applies them on the device."""

from __future__ import annotations

from autoseg.augment.draws import SampleDraw, draw_sample, sample_rng
from autoseg.augment.normalization import Intensity
from autoseg.augment.samples import Batch, RawSample, make_batch
from autoseg.augment.warp import SourceBox, source_box

__all__ = ["Batch", "Intensity", "RawSample", "SampleDraw", "SourceBox", "draw_sample", "make_batch", "sample_rng", "source_box"]
