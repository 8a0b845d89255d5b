"""The patches and resolutions that a stage may come down to, largest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autoseg.plan import Stage
from autoseg.planners.topology import unet

#: No patch, and no low-resolution image, is smaller, by axes of the net.
MIN_PATCH = {2: 32, 3: 16}
#: Wished-for edges are tried in steps of this many pixels; each is brought to a multiple of what the net pools.
EDGE_STEP = 8
#: A low-resolution stage has at most half the pixels of the full one (nnU-Net: half the voxels), else it would be the same stage twice.
MIN_COARSENING = math.sqrt(2)
#: A first stage of volumes comes down to its resolution in such steps, and axes this much finer than the coarsest come first (nnU-Net).
RESOLUTION_STEP, FINE = 1.03, 2.0


def with_patch(stage: Stage, patch: Sequence[int]) -> Stage:
    """The stage with a patch of at least this size, and the net that belongs to it."""
    network = stage.network
    patch, network = unet(
        patch,
        stage.net_spacing,
        in_channels=network.in_channels,
        num_heads=network.num_heads,
        residual=bool(network.blocks),
        decoder_convs=network.decoder_convs,
    )
    return replace(stage, patch=patch, network=network)


def shrink(stage: Stage, edge: int) -> Stage:
    """The stage with patches of at most `edge` pixels of the finest axis, and on the others no longer in mm: long axes are cut, short ones
    stay (a square image keeps a square patch)."""
    finest = min(stage.net_spacing)
    longest = [max(1, round(edge * finest / spacing)) for spacing in stage.net_spacing]
    wanted = tuple(min(size, most) for size, most in zip(stage.patch, longest, strict=True))
    made = with_patch(stage, wanted)
    if any(p > w for p, w in zip(made.patch, wanted, strict=True)):
        # Rounding up to a multiple may exceed the wish; the next lower multiple fits the same net or a shallower one.
        lower = [max(m, (w // m) * m) for w, m in zip(wanted, made.network.multiple, strict=True)]
        made = with_patch(stage, lower)
    return made


def smaller_patches(stage: Stage) -> list[Stage]:
    """The stage with every smaller patch down to `MIN_PATCH`, one pooling multiple after the other."""
    finest = min(stage.net_spacing)
    longest = max(size * spacing / finest for size, spacing in zip(stage.patch, stage.net_spacing, strict=True))
    edges = range(math.ceil(longest) - 1, MIN_PATCH[len(stage.patch)] - 1, -1)
    steps = [edge for edge in edges if edge % EDGE_STEP == 0]
    return _distinct([shrink(stage, edge) for edge in steps], than=stage)


def coarser(stage: Stage) -> list[Stage]:
    """The stage at every coarser resolution, its patch the whole image each time, down to 32 pixels along the longest edge.

    Parameters
    ----------
    stage : Stage
        Whose patch shows the whole image.
    """
    size = max(stage.net_shape)
    edges = range(math.floor(size), MIN_PATCH[len(stage.patch)] - 1, -1)
    return _distinct([_at(stage, size / edge) for edge in edges if edge % EDGE_STEP == 0], than=stage)


def lower_resolutions(stage: Stage) -> list[Stage]:
    """The resolutions for a first stage before `stage`: those of `coarser` with at most half its pixels, or the coarsest there is."""
    found = coarser(stage)
    full = max(stage.net_spacing)
    return [candidate for candidate in found if max(candidate.net_spacing) >= MIN_COARSENING * full] or found[-1:]


def with_voxels(stage: Stage, most: int) -> Stage:
    """The stage at the finest resolution at which a median image has at most so many voxels, whole images as patches.

    nnU-Net's rule for its low resolution: fine axes first, until none is over twice as fine as the coarsest, then all alike.
    """
    spacing, shape = np.array(stage.spacing), np.array(stage.image_shape, np.float64)
    extent, axes = spacing * shape, list(stage.net_axes)
    while math.prod(_sizes(extent, spacing)[axis] for axis in axes) > most:
        coarsest = max(spacing[axis] for axis in axes)
        fine = [axis for axis in axes if FINE * spacing[axis] < coarsest]
        spacing[fine or axes] *= RESOLUTION_STEP
    return _on(stage, tuple(float(s) for s in spacing), _sizes(extent, spacing))


def _sizes(extent: NDArray[np.float64], spacing: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(max(1, int(n)) for n in np.round(extent / spacing))


def _at(stage: Stage, factor: float) -> Stage:
    """The stage at `factor` times its spacing, whole images as patches."""
    axes = stage.net_axes
    spacing = tuple(s * factor if axis in axes else s for axis, s in enumerate(stage.spacing))
    return _on(stage, spacing, tuple(max(1, round(n / factor)) if axis in axes else n for axis, n in enumerate(stage.image_shape)))


def _on(stage: Stage, spacing: tuple[float, ...], shape: tuple[int, ...]) -> Stage:
    """The stage on another grid, whole images as patches."""
    there = replace(stage, spacing=spacing, image_shape=shape, resample=True)
    return with_patch(there, there.net_shape)


def _distinct(stages: Sequence[Stage], *, than: Stage) -> list[Stage]:
    """Each patch once, the first of equals (the finest resolution), and only those with fewer pixels than the stage before."""
    kept: list[Stage] = []
    for stage in stages:
        if math.prod(stage.patch) < math.prod((kept[-1] if kept else than).patch):
            kept.append(stage)
    return kept
