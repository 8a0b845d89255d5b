"""Seconds of a real training step on the device at hand."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from autoseg.augment import Intensity, RawSample, draw_sample, make_batch, sample_rng, source_box
from autoseg.plan import Stage
from autoseg.step import build_learner, training_step

WARM_UP_STEPS, TIMED_STEPS = 2, 5
#: Distinct sets in the synthetic code map: a hand of 29 bones has about 50.
SETS = 50


def measure_step(stage: Stage, device: torch.device, *, exclusive: bool) -> float:
    """Median seconds of a step on random images: augmentation on the device, forward, backward, update.

    Reading is not part of it: threads read ahead.
    """
    learner = build_learner(stage, device, exclusive=exclusive, precision=stage.precision)
    times = []
    for iteration in range(WARM_UP_STEPS + TIMED_STEPS):
        samples = [_random_sample(stage, iteration, index) for index in range(stage.batch)]
        begin = time.perf_counter()
        batch = make_batch(samples, stage.patch, device=device, swap=stage.mirror_swap)
        result = training_step(learner, [batch])
        float(result.loss)  # waits for the device
        times.append(time.perf_counter() - begin)
    return statistics.median(times[WARM_UP_STEPS:])


def _random_sample(stage: Stage, iteration: int, index: int) -> RawSample:
    rng = sample_rng(0, "0", iteration, index)
    channels = stage.network.in_channels
    draw = draw_sample(
        rng,
        stage.recipe.augmentation,
        num_channels=channels,
        num_axes=len(stage.patch),
        mirror_axes=stage.mirror_axes,
        rotation=stage.rotation_degrees,
    )
    box = source_box((0,) * len(stage.patch), stage.patch, draw.matrix)
    shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
    return RawSample(
        image=rng.integers(0, 255, (channels, *shape), dtype=np.uint8),
        codes=rng.integers(0, SETS, shape, dtype=np.uint8),
        table=rng.random((SETS, len(stage.priors))) < 0.1,
        ignore=np.zeros(SETS, np.bool_),
        intensity=Intensity.identity(channels),
        draw=draw,
        centre=box.centre,
    )
