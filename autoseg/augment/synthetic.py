"""Samples without a data set behind them, as heavy as real ones: for timing a step and for tracing its memory."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import product
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from autoseg.augment.draws import GRID_CELLS, SampleDraw, coarse_axis, draw_sample, turning_matrix, turning_planes
from autoseg.augment.normalization import Intensity
from autoseg.augment.samples import RawSample
from autoseg.augment.warp import source_box
from autoseg.plan import Stage
from autoseg.recipe import Augmentation

#: Distinct sets in the code map: a hand of 29 bones has about 50.
SETS = 50
#: Angles of each rotation that are tried for the largest source box: 0 is among them, and 45 degrees where 90 are allowed.
TRIED_ANGLES = 9
#: Share of the sets that a class is in.
MEMBERSHIP = 0.1


def stage_draw(stage: Stage, rng: np.random.Generator) -> SampleDraw:
    """What training draws for a sample of this stage."""
    return draw_sample(
        rng,
        stage.recipe.augmentation,
        num_channels=stage.num_image_channels,
        num_axes=len(stage.patch),
        mirror_axes=stage.mirror_axes,
        rotation=stage.rotation_degrees,
        spacing=stage.net_spacing,
        num_previous=stage.num_previous_channels,
    )


def neutral_draw(stage: Stage) -> SampleDraw:
    """The draw that changes nothing."""
    zeros, ones = np.zeros(stage.num_image_channels), np.ones(stage.num_image_channels)
    return SampleDraw(
        matrix=None, flips=(), noise_seed=0, noise_std=0.0, blur_sigma=zeros, brightness=ones, contrast=ones, lowres=ones,
        gamma_inverted=ones, gamma=ones,
    )  # fmt: skip


def heaviest_draw(stage: Stage) -> SampleDraw:
    """The draw that takes most memory: everything that the stage's augmentation may do, and the largest source box that it reads.

    A patch turned by t reads a box whose area grows with sin t cos t, up to 45 degrees, and with the square of the scaling. Of the
    previous stage's classes one is reshaped: they are worked on one after the other. Dropped rectangles take nothing.
    """
    a = stage.recipe.augmentation

    def channels(p: float, value: float, neutral: float) -> NDArray[np.float64]:
        return np.full(stage.num_image_channels, value if p > 0 else neutral)

    reshaped = stage.num_previous_channels > 0 and a.previous_morphology_p > 0
    return SampleDraw(
        matrix=_widest_matrix(stage),
        flips=stage.mirror_axes if a.flip_p > 0 else (),
        noise_seed=0,
        noise_std=a.noise_std[1] if a.noise_p > 0 else 0.0,
        blur_sigma=channels(a.blur_p, a.blur_sigma[1], 0.0),
        brightness=channels(a.brightness_p, a.brightness[1], 1.0),
        contrast=channels(a.contrast_p, a.contrast[1], 1.0),
        # The finest grid; at 1 nothing would be done.
        lowres=channels(a.lowres_p, float(np.nextafter(a.lowres_scale[1], 0.0)), 1.0),
        gamma_inverted=channels(a.gamma_inverted_p, a.gamma[1], 1.0),
        gamma=channels(a.gamma_p, a.gamma[1], 1.0),
        previous_morphology=((0, "closing", a.previous_radius[1]),) if reshaped else (),
        elastic=_widest_elastic(a, len(stage.patch), coarse_axis(stage.net_spacing)) if a.elastic_p > 0 else None,
        grid=np.ones((len(stage.patch), GRID_CELLS)) if a.grid_distortion_p > 0 else None,
        clahe_clip=a.clahe_clip[1] if a.clahe_p > 0 else 0.0,
        coarse_axis=coarse_axis(stage.net_spacing),
        added=tuple((name, 0) for name, p in a.transforms.items() if p > 0),
    )


def weigh_the_same(stage: Stage, other: Stage) -> bool:
    """True if both stages' heaviest draws are the same, so that memory need not be traced again where only their augmentation differs."""
    a, b = heaviest_draw(stage), heaviest_draw(other)
    pairs = ((np.asarray(getattr(a, field.name), object), np.asarray(getattr(b, field.name), object)) for field in fields(SampleDraw))
    return all(np.array_equal(mine, others) for mine, others in pairs)


def _widest_elastic(a: Augmentation, num_axes: int, coarse: int | None) -> NDArray[np.float64]:
    # The fewer the intervals, the more pixels a shift is: the box is largest. The splines' weights are small beside any image.
    shifts = np.full((num_axes, *[a.elastic_intervals[0] + 3] * num_axes), a.elastic_magnitude[1])
    if coarse is not None:
        shifts[coarse] = 0
    return shifts


def _widest_matrix(stage: Stage) -> NDArray[np.float64] | None:
    a, axes = stage.recipe.augmentation, len(stage.patch)
    rotated, scaled = a.rotation_p > 0 and stage.rotation_degrees > 0, a.scaling_p > 0
    if not rotated and not scaled:
        return None
    coarse = coarse_axis(stage.net_spacing)
    num_turns = len(turning_planes(axes, coarse))
    limit = math.radians(min(stage.rotation_degrees, 90.0)) if rotated else 0.0
    # Turns about three axes add up in ways that no formula is short for: nine angles of each are tried.
    turns = product(np.linspace(-limit, limit, TRIED_ANGLES) if limit else [0.0], repeat=num_turns)
    matrices = [turning_matrix(turn, axes, stage.net_spacing) for turn in turns]
    widest = max(matrices, key=lambda matrix: float(np.prod(np.abs(matrix) @ np.array(stage.patch))))
    factors = [a.scaling[1] if scaled and axis != coarse else 1.0 for axis in range(axes)]
    return np.asarray(widest * np.array(factors))


def _untouched(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros straight from the system: numpy's own take memory that a process has kept (`step.keep_freed_memory`), and clear it first."""
    return np.frombuffer(mmap(-1, max(1, math.prod(shape) * dtype.itemsize)), dtype, math.prod(shape)).reshape(shape)


def synthetic_sample(
    stage: Stage,
    draw: SampleDraw,
    rng: np.random.Generator | None = None,
    *,
    dtype: DTypeLike = np.uint8,
    sets: int = SETS,
    has_ignore: bool = False,
) -> RawSample:
    """A crop of the size that a draw reads.

    Parameters
    ----------
    stage : Stage
    draw : SampleDraw
        What is to be done to it.
    rng : Generator or None
        Fills the arrays; None leaves them zero, which costs neither time nor memory until someone writes to them.
    dtype : dtype
        Of the stored image, an unsigned integer.
    sets : int
        Rows of the code table, at most 256.
    has_ignore : bool
        The last set is unlabelled.
    """
    box = source_box((0,) * len(stage.patch), stage.patch, draw)
    shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))

    def filled(shape: tuple[int, ...], high: int, kind: DTypeLike = np.uint8) -> NDArray[Any]:
        return _untouched(shape, np.dtype(kind)) if rng is None else rng.integers(0, high, shape, dtype=kind)

    num_classes, num_previous = len(stage.priors), stage.num_previous_channels
    ignore = np.zeros(sets, np.bool_)
    ignore[-1] = has_ignore
    table = np.zeros((sets, num_classes), np.bool_) if rng is None else rng.random((sets, num_classes)) < MEMBERSHIP
    table[ignore] = False
    return RawSample(
        image=filled((stage.num_image_channels, *shape), np.iinfo(np.dtype(dtype)).max, dtype),
        codes=filled(shape, sets),
        table=table,
        ignore=ignore,
        intensity=Intensity.identity(stage.num_image_channels),
        draw=draw,
        centre=box.centre,
        previous=filled((num_previous, *shape), 256) if num_previous else None,
    )
