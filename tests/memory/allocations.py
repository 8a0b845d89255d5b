"""What torch's allocator hands out during a real step on a CPU, and small stages to try it on."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from autoseg.augment import make_batch
from autoseg.augment.synthetic import neutral_draw, synthetic_sample
from autoseg.memory.trace import traced_samples
from autoseg.plan import Network, Stage
from autoseg.recipe import Augmentation, LossName
from autoseg.step import Learner, build_learner, split_batch, training_step
from tests import small

RECIPE = small.recipe(augmentation=Augmentation())


def network(axes: int = 2, **changes: Any) -> Network:
    """Three stages of two convolutions, 8 to 24 features."""
    return small.network(axes, **{"features": (8, 16, 24), "convs": 2, **changes})


def stage(
    axes: int = 2, *, exclusive: bool = False, classes: int = 2, channels: int = 1, blocks: tuple[int, ...] = (), **changes: Any
) -> Stage:
    """Augmented in every way that a recipe has."""
    loss: LossName = "dice_ce" if exclusive else "dice_bce"
    given: dict[str, Any] = {
        "network": network(axes, num_heads=classes + exclusive, in_channels=channels, blocks=blocks), "priors": (0.5 / classes,) * classes,
        "recipe": replace(RECIPE, loss=loss),
    }  # fmt: skip
    return small.stage(axes, **{**given, **changes})


def allocated_peak(
    stage: Stage, *, exclusive: bool = False, precision: Any = "fp32", has_ignore: bool = False, micro_batch: int | None = None
) -> int:
    """Bytes at the peak of a real augmentation and step, those that were there before included."""
    torch.manual_seed(0)
    learner = build_learner(stage, small.CPU, exclusive=exclusive, precision=precision)
    smallest = replace(stage, patch=tuple(2 * m for m in stage.network.multiple), batch=1)
    training_step(learner, [make_batch([synthetic_sample(smallest, neutral_draw(smallest))], smallest.patch, device=small.CPU)])
    resting = resting_bytes(learner)
    samples = [replace(sample, image=noise(sample.image)) for sample in traced_samples(stage, has_ignore=has_ignore)]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        batch = make_batch(samples, stage.patch, device=small.CPU)
        training_step(learner, split_batch(batch, micro_batch or stage.batch))
    assert record.profiler is not None
    assert record.profiler.kineto_results is not None
    events = sorted((e.start_ns(), e.nbytes()) for e in record.profiler.kineto_results.events() if e.name() == "[memory]")
    changes = np.cumsum([change for _, change in events])
    return resting + int(changes.max())


def noise(like: Any) -> Any:
    """Random values: a constant image has no variance for gamma to keep."""
    return np.random.default_rng(0).integers(0, 255, like.shape).astype(like.dtype)


def resting_bytes(learner: Learner) -> int:
    """What lies there before a step: weights, the optimizer's states, the gradients of the step before."""
    states = [tensor for values in learner.optimizer.state.values() for tensor in values.values()]
    gradients = [parameter.grad for parameter in learner.net.parameters() if parameter.grad is not None]
    return sum(tensor.untyped_storage().nbytes() for tensor in (*learner.net.parameters(), *states, *gradients))
