"""The patches and resolutions that a stage may come down to, largest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from autoseg.plan import Stage
from autoseg.planners.topology import unet

#: No patch and no low-resolution image is smaller.
MIN_PATCH = 32
#: Wished-for edges are tried in steps of this many pixels; each is brought to a multiple of what the net pools.
EDGE_STEP = 8
#: A low-resolution stage has at most half the pixels of the full one (nnU-Net: half the voxels), else it would be the same stage twice.
MIN_COARSENING = math.sqrt(2)


def net_axes(stage: Stage) -> list[int]:
    """The axes of the data that the stage's net sees."""
    return [axis for axis in range(len(stage.spacing)) if axis != stage.slice_axis]


def net_spacing(stage: Stage) -> list[float]:
    """Spacing of the axes that the stage's net sees."""
    return [stage.spacing[axis] for axis in net_axes(stage)]


def net_shape(stage: Stage) -> tuple[int, ...]:
    """Median image of the axes that the stage's net sees."""
    return tuple(stage.image_shape[axis] for axis in net_axes(stage))


def with_patch(stage: Stage, patch: Sequence[int]) -> Stage:
    """The stage with a patch of at least this size, and the net that belongs to it."""
    network = stage.network
    patch, network = unet(patch, net_spacing(stage), in_channels=network.in_channels, num_heads=network.num_heads)
    return replace(stage, patch=patch, network=network)


def shrink(stage: Stage, edge: int) -> Stage:
    """The stage with patches of at most `edge`: long axes are cut, short ones stay (a square image keeps a square patch)."""
    wanted = tuple(min(size, edge) for size in stage.patch)
    made = with_patch(stage, wanted)
    if any(p > w for p, w in zip(made.patch, wanted, strict=True)):
        # Rounding up to a multiple may exceed the wish; the next lower multiple fits the same net or a shallower one.
        lower = [max(m, (w // m) * m) for w, m in zip(wanted, made.network.multiple, strict=True)]
        made = with_patch(stage, lower)
    return made


def smaller_patches(stage: Stage) -> list[Stage]:
    """The stage with every smaller patch down to 32, one pooling multiple after the other."""
    edges = range(max(stage.patch) - 1, MIN_PATCH - 1, -1)
    steps = [edge for edge in edges if edge % EDGE_STEP == 0]
    return _distinct([shrink(stage, edge) for edge in steps], than=stage)


def coarser(stage: Stage) -> list[Stage]:
    """The stage at every coarser resolution, its patch the whole image each time, down to 32 pixels along the longest edge.

    Parameters
    ----------
    stage : Stage
        Whose patch shows the whole image.
    """
    size = max(net_shape(stage))
    edges = range(math.floor(size), MIN_PATCH - 1, -1)
    return _distinct([_at(stage, size / edge) for edge in edges if edge % EDGE_STEP == 0], than=stage)


def lower_resolutions(stage: Stage) -> list[Stage]:
    """The resolutions for a first stage before `stage`: those of `coarser` with at most half its pixels, or the coarsest there is."""
    found = coarser(stage)
    full = max(net_spacing(stage))
    return [candidate for candidate in found if max(net_spacing(candidate)) >= MIN_COARSENING * full] or found[-1:]


def _at(stage: Stage, factor: float) -> Stage:
    """The stage at `factor` times its spacing, whole images as patches."""
    axes = net_axes(stage)
    spacing = tuple(s * factor if axis in axes else s for axis, s in enumerate(stage.spacing))
    shape = tuple(max(1, round(n / factor)) if axis in axes else n for axis, n in enumerate(stage.image_shape))
    there = replace(stage, spacing=spacing, image_shape=shape, resample=True)
    return with_patch(there, net_shape(there))


def _distinct(stages: Sequence[Stage], *, than: Stage) -> list[Stage]:
    """Each patch once, the first of equals (the finest resolution), and only those with fewer pixels than the stage before."""
    kept: list[Stage] = []
    for stage in stages:
        if math.prod(stage.patch) < math.prod((kept[-1] if kept else than).patch):
            kept.append(stage)
    return kept
