"""Seconds of a real training step on the device at hand."""

from __future__ import annotations

import statistics
import time

import torch

from autoseg.augment import make_batch, sample_rng
from autoseg.augment.synthetic import stage_draw, synthetic_sample
from autoseg.plan import Stage
from autoseg.step import build_learner, training_step

WARM_UP_STEPS, TIMED_STEPS = 2, 5


def measure_step(stage: Stage, device: torch.device, *, exclusive: bool) -> float:
    """Median seconds of a step on random images: augmentation on the device, forward, backward, update.

    Reading is not part of it: threads read ahead.
    """
    learner = build_learner(stage, device, exclusive=exclusive, precision=stage.precision)
    times = []
    for iteration in range(WARM_UP_STEPS + TIMED_STEPS):
        generators = [sample_rng(0, "0", iteration, index) for index in range(stage.batch)]
        samples = [synthetic_sample(stage, stage_draw(stage, rng), rng) for rng in generators]
        begin = time.perf_counter()
        batch = make_batch(samples, stage.patch, device=device, swap=stage.mirror_swap)
        result = training_step(learner, [batch])
        float(result.loss)  # waits for the device
        times.append(time.perf_counter() - begin)
    return statistics.median(times[WARM_UP_STEPS:])
