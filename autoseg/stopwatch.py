"""Seconds of a real training step on the device at hand."""

from __future__ import annotations

import logging
import math
import statistics
import time

import torch

from autoseg.augment import make_batch, sample_rng
from autoseg.augment.synthetic import stage_draw, synthetic_sample
from autoseg.plan import Stage
from autoseg.step import Learner, abandon_step, build_learner, is_out_of_memory, split_batch, training_step

logger = logging.getLogger(__name__)

WARM_UP_STEPS, TIMED_STEPS = 2, 5


def measure_step(stage: Stage, device: torch.device, *, exclusive: bool) -> float:
    """Median seconds of a step on random images: augmentation on the device, forward, backward, update.

    Reading is not part of it: threads read ahead. A step that runs out of memory is made again, and if it does so again, half as many
    samples are computed at a time, as in training: the time is then that of steps in parts.

    Raises
    ------
    RuntimeError
        torch's own, if memory runs out with a single sample.
    """
    learner = build_learner(stage, device, exclusive=exclusive, precision=stage.precision)
    size, has_failed = stage.batch, False
    times: list[float] = []
    while len(times) < WARM_UP_STEPS + TIMED_STEPS:
        taken = _timed_step(learner, stage, device, number=len(times), size=size, may_fail=size > 1 or not has_failed)
        if taken is not None:
            times.append(taken)
            continue
        # Only now, after the failed step's exception and all that its frames held are gone.
        abandon_step(learner)
        if has_failed:
            logger.warning("memory ran out with %d samples at a time: steps of %d in parts are timed", size, stage.batch)
            size = math.ceil(size / 2)
            times.clear()
        has_failed = not has_failed
    return statistics.median(times[WARM_UP_STEPS:])


def _timed_step(learner: Learner, stage: Stage, device: torch.device, *, number: int, size: int, may_fail: bool) -> float | None:
    """Seconds of a step with `size` samples at a time; None if memory ran out and it may."""
    generators = [sample_rng(0, "0", number, index) for index in range(stage.batch)]
    samples = [synthetic_sample(stage, stage_draw(stage, rng), rng) for rng in generators]
    begin = time.perf_counter()
    try:
        batch = make_batch(samples, stage.patch, device=device, swap=stage.mirror_swap)
        result = training_step(learner, split_batch(batch, size))
        float(result.loss)  # waits for the device
    except RuntimeError as error:
        if not may_fail or not is_out_of_memory(error):
            raise
        return None
    return time.perf_counter() - begin
