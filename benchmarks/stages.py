"""Stages as the planner builds them, without a data set."""

from __future__ import annotations

import math

from autoseg.budget import Precision
from autoseg.plan import Memory, Network, Stage
from autoseg.recipe import LossName, Recipe

MAX_FEATURES = {2: 512, 3: 320}


def stage(
    patch: tuple[int, ...],
    batch: int,
    *,
    classes: int = 29,
    channels: int = 1,
    precision: Precision = "fp16",
    exclusive: bool = False,
    checkpointed: int = 0,
    cascade: bool = False,
) -> Stage:
    """A stage as the planner builds it: 32 features that double, pooled while the shortest edge stays at least 4; SGD."""
    axes = len(patch)
    depth = int(math.log2(min(patch) // 4)) + 1
    network = Network(
        in_channels=channels + classes * cascade,
        num_heads=classes + exclusive,
        features=tuple(min(MAX_FEATURES[axes], 32 * 2**level) for level in range(depth)),
        strides=((1,) * axes, *((2,) * axes,) * (depth - 1)),
        kernels=((3,) * axes,) * depth,
    )
    loss: LossName = "dice_ce" if exclusive else "dice_bce"
    return Stage(
        name={2: "2d_cascade" if cascade else "2d", 3: "3d_fullres"}[axes],
        spacing=(1.0,) * axes,
        resample=False,
        image_shape=patch,
        patch=patch,
        batch=batch,
        network=network,
        precision=precision,
        checkpointed_stages=checkpointed,
        memory=Memory(peak_bytes=0, budget_bytes=0),
        mirror_axes=tuple(range(axes)),
        rotation_degrees=30.0,
        iterations=1,
        iterations_per_epoch=1,
        recipe=Recipe(name="default", loss=loss, optimizer="sgd", lr=1e-2, schedule="poly"),
        priors=(0.01,) * classes,
        previous="2d_lowres" if cascade else None,
    )
