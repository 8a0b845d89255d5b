"""What happens to one sample, drawn from (seed, fold, iteration, sample) alone.

No generator lives from sample to sample: any worker draws any sample, a resumed run draws what the undisturbed one would have, and
splitting a batch changes nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autoseg.recipe import Augmentation

Operation = Literal["erosion", "dilation", "opening", "closing"]
OPERATIONS: tuple[Operation, ...] = ("erosion", "dilation", "opening", "closing")
#: Cells along each axis of a grid distortion.
GRID_CELLS = 5
#: Set the generators of later transforms apart: each has one of its own, so that none shifts another's draws.
ELASTIC_STREAM, GRID_STREAM, CLAHE_STREAM, DROPOUT_STREAM, WORKERS_STREAM = range(1, 6)
#: Other packages' transforms are set apart by their names, from here on.
ADDED_STREAMS = 2**32
#: An axis whose spacing is over this many times each of the others' is coarse: a turn out of the plane of the others, a scaling or a shift
#: along it would mix slices that have little to do with each other (nnU-Net's "dummy 2D" augmentation).
ANISOTROPY = 3.0
#: Share of the previous stage's classes that are changed in shape at a time, and of those that lose a component (nnU-Net).
RESHAPED_CLASSES, THINNED_CLASSES = 0.5, 0.5

#: Number standing for fold "all" where draws are seeded; folds proper count from 0.
FOLD_ALL = 1_000_000


def fold_number(fold: str) -> int:
    """The number that stands for a fold ("0" .. "4", "all") where draws are seeded."""
    return FOLD_ALL if fold == "all" else int(fold)


def sample_rng(seed: int, fold: str, iteration: int, sample: int) -> np.random.Generator:
    """The generator of one sample.

    Parameters
    ----------
    seed : int
        The run's.
    fold : str
        "0" .. "4" or "all".
    iteration, sample : int
        Position in the training, and in the batch.
    """
    return np.random.default_rng([seed, fold_number(fold), iteration, sample])


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A part of a patch that is blanked out: where it begins and ends along each axis, in shares of the patch's edge."""

    start: tuple[float, ...]
    stop: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A connected component that is taken out of a channel of the previous stage.

    Parameters
    ----------
    channel : int
        As it is stored.
    pick : float
        In [0, 1): which one, as a share of the components that may be taken, in the order of their first pixels.
    refill : int or None
        Another channel that gets it.
    """

    channel: int
    pick: float
    refill: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleDraw:
    """The parameters of one sample's augmentation; None, 0 or 1 where nothing was drawn.

    Parameters
    ----------
    matrix : array (A, A) or None
        Offset from the patch's centre -> offset in the source, in pixels, axes (z,) y, x. Rotation, scaling and nothing else; on a grid
        whose spacing is not the same everywhere a rotation in mm, which is none in pixels.
    flips : tuple of int
        Axes of the net that are reversed.
    noise_seed : int
        Seeds the device's generator for this sample.
    noise_std : float
        In units of the normalised image.
    blur_sigma : array (C,)
        In pixels; 0: none.
    brightness : array (C,)
        Factors.
    contrast : array (C,)
        Factors about the channel's mean, cut to its range.
    lowres : array (C,)
        Zoom in (0, 1]; 1: none.
    gamma_inverted, gamma : array (C,)
        Exponents; 1: none.
    previous_morphology : tuple of (class, operation, radius in pixels)
        What becomes of the shapes of the previous stage's channels.
    previous_removal : tuple of Removal
        Components that are taken out of the previous stage's channels where those are read.
    elastic : array (A, I + 3 for each axis) or None
        Shifts of the control points of cubic B-splines with I intervals along an axis of the patch, in units of an interval.
    grid : array (A, GRID_CELLS) or None
        Widths of the cells of a distorted grid, each axis's mean being 1.
    clahe_clip : float
        How often a grey value may occur in a tile, in multiples of the mean; 0: no histogram equalisation.
    dropout : tuple of Rectangle
        Filled with the image's mean.
    coarse_axis : int or None
        Is not seen at a low resolution: it has one already.
    added : tuple of (str, int)
        Other packages' transforms by name, and the seed of each.
    """

    matrix: NDArray[np.float64] | None
    flips: tuple[int, ...]
    noise_seed: int
    noise_std: float
    blur_sigma: NDArray[np.float64]
    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    lowres: NDArray[np.float64]
    gamma_inverted: NDArray[np.float64]
    gamma: NDArray[np.float64]
    previous_morphology: tuple[tuple[int, Operation, int], ...] = ()
    previous_removal: tuple[Removal, ...] = ()
    elastic: NDArray[np.float64] | None = None
    grid: NDArray[np.float64] | None = None
    clahe_clip: float = 0.0
    dropout: tuple[Rectangle, ...] = ()
    coarse_axis: int | None = None
    added: tuple[tuple[str, int], ...] = ()

    @property
    def is_warped(self) -> bool:
        """True if pixels do not lie on pixels."""
        return not (self.matrix is None and self.elastic is None and self.grid is None)


def draw_sample(
    rng: np.random.Generator,
    augmentation: Augmentation,
    *,
    num_channels: int,
    num_axes: int,
    mirror_axes: tuple[int, ...],
    rotation: float,
    spacing: Sequence[float] | None = None,
    num_previous: int = 0,
) -> SampleDraw:
    """Draw one sample's parameters; with backend "workers" those that are left to the device: flips and the previous stage's shapes.

    Parameters
    ----------
    rng : Generator
        See `sample_rng`.
    augmentation : Augmentation
        Probabilities and ranges.
    num_channels, num_axes : int
        Channels of the image, without the previous stage's.
    mirror_axes : tuple of int
        Axes that may be flipped.
    rotation : float
        Largest angle in degrees, both ways.
    spacing : sequence of float, optional
        Of the net's axes; equal on all if not given.
    num_previous : int
        Channels of the previous stage in a cascade.
    """
    a, coarse = augmentation, coarse_axis(spacing)
    matrix = _draw_matrix(rng, a, num_axes, rotation, spacing)
    flips = tuple(axis for axis in mirror_axes if rng.random() < a.flip_p)
    noise_seed, noisy, std = int(rng.integers(2**62)), rng.random() < a.noise_p, float(rng.uniform(*a.noise_std))
    # In the order in which they are drawn: what a version adds comes last, so that all others keep their values.
    drawn = SampleDraw(
        matrix=matrix,
        flips=flips,
        noise_seed=noise_seed,
        noise_std=std if noisy else 0.0,
        blur_sigma=_per_channel(rng, a.blur_p, a.blur_sigma, num_channels, neutral=0.0, channel_p=0.5),
        brightness=_per_channel(rng, a.brightness_p, a.brightness, num_channels, balanced=True),
        contrast=_per_channel(rng, a.contrast_p, a.contrast, num_channels, balanced=True),
        lowres=_per_channel(rng, a.lowres_p, a.lowres_scale, num_channels, channel_p=0.5),
        gamma_inverted=_per_channel(rng, a.gamma_inverted_p, a.gamma, num_channels, balanced=True),
        gamma=_per_channel(rng, a.gamma_p, a.gamma, num_channels, balanced=True),
        previous_morphology=_draw_morphology(rng, a, num_previous),
        previous_removal=_draw_removal(rng, a, num_previous),
        elastic=_draw_elastic(_own(noise_seed, ELASTIC_STREAM, a.elastic_p), a, num_axes, coarse),
        grid=_draw_grid(_own(noise_seed, GRID_STREAM, a.grid_distortion_p), a, num_axes),
        clahe_clip=_draw_clip(_own(noise_seed, CLAHE_STREAM, a.clahe_p), a),
        dropout=_draw_rectangles(_own(noise_seed, DROPOUT_STREAM, a.dropout_p), a, num_axes),
        coarse_axis=coarse,
        added=_draw_added(noise_seed, a),
    )
    return drawn if a.backend == "device" else _without_pixels(drawn)


def _without_pixels(draw: SampleDraw) -> SampleDraw:
    """What is left of a draw where workers change the pixels."""
    none, ones = np.zeros_like(draw.gamma), np.ones_like(draw.gamma)
    return replace(
        draw, matrix=None, noise_std=0.0, blur_sigma=none, brightness=ones, contrast=ones, lowres=ones, gamma_inverted=ones, gamma=ones,
        elastic=None, grid=None, clahe_clip=0.0, dropout=(),
    )  # fmt: skip


def _per_channel(
    rng: np.random.Generator,
    p: float,
    bounds: tuple[float, float],
    num: int,
    *,
    neutral: float = 1.0,
    channel_p: float = 1.0,
    balanced: bool = False,
) -> NDArray[np.float64]:
    # All numbers are drawn whether used or not, so that one transform's probability does not shift the draws of the next.
    on = rng.random() < p
    channels = rng.random(num) < channel_p
    values = rng.uniform(*bounds, num)
    return np.where(on & channels, _balanced(values, bounds) if balanced else values, neutral)


def _balanced(values: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.float64]:
    """Uniform values made to lie below and above 1 equally often, as nnU-Net draws factors and exponents, if the range has both sides."""
    low, high = bounds
    if not low < 1 < high:
        return values
    share = (values - low) / (high - low)
    return np.where(share < 0.5, low + 2 * share * (1 - low), 1 + (2 * share - 1) * (high - 1))


def _own(noise_seed: int, stream: int, p: float) -> np.random.Generator | None:
    """A transform's own generator, None if the transform is not drawn; a function of the sample's place, as the noise's seed is."""
    if p <= 0:
        return None
    rng = np.random.default_rng([noise_seed, stream])
    return rng if rng.random() < p else None


def _draw_elastic(rng: np.random.Generator | None, a: Augmentation, num_axes: int, coarse: int | None) -> NDArray[np.float64] | None:
    if rng is None:
        return None
    intervals = int(rng.integers(a.elastic_intervals[0], a.elastic_intervals[1] + 1))
    magnitude = rng.uniform(*a.elastic_magnitude)
    shifts = np.asarray(magnitude * rng.uniform(-1, 1, (num_axes, *[intervals + 3] * num_axes)))
    if coarse is not None:
        shifts[coarse] = 0
    return shifts


def _draw_grid(rng: np.random.Generator | None, a: Augmentation, num_axes: int) -> NDArray[np.float64] | None:
    if rng is None:
        return None
    widths = 1 + rng.uniform(*a.grid_distortion) * rng.uniform(-1, 1, (num_axes, GRID_CELLS))
    return np.asarray(widths / widths.mean(axis=1, keepdims=True))


def _draw_clip(rng: np.random.Generator | None, a: Augmentation) -> float:
    return 0.0 if rng is None else float(rng.uniform(*a.clahe_clip))


def _draw_rectangles(rng: np.random.Generator | None, a: Augmentation, num_axes: int) -> tuple[Rectangle, ...]:
    if rng is None:
        return ()
    num = int(rng.integers(a.dropout_rectangles[0], a.dropout_rectangles[1] + 1))
    edges = rng.uniform(*a.dropout_size, (num, num_axes))
    starts = rng.uniform(0, 1, (num, num_axes)) * (1 - edges)
    return tuple(Rectangle(start=tuple(s.tolist()), stop=tuple((s + e).tolist())) for s, e in zip(starts, edges, strict=True))


def _draw_added(noise_seed: int, a: Augmentation) -> tuple[tuple[str, int], ...]:
    streams = {name: ADDED_STREAMS + zlib.crc32(name.encode()) for name in sorted(a.transforms)}
    drawn = {name: _own(noise_seed, stream, a.transforms[name]) for name, stream in streams.items()}
    return tuple((name, int(rng.integers(2**62))) for name, rng in drawn.items() if rng is not None)


def _draw_morphology(rng: np.random.Generator, a: Augmentation, num: int) -> tuple[tuple[int, Operation, int], ...]:
    on, chosen = rng.random() < a.previous_morphology_p, rng.random(num) < RESHAPED_CLASSES
    operations = rng.integers(0, len(OPERATIONS), num)
    radii = rng.integers(a.previous_radius[0], a.previous_radius[1] + 1, num)
    return tuple((k, OPERATIONS[operations[k]], int(radii[k])) for k in range(num) if on and chosen[k])


def _draw_removal(rng: np.random.Generator, a: Augmentation, num: int) -> tuple[Removal, ...]:
    on, chosen, picks = rng.random() < a.previous_removal_p, rng.random(num) < THINNED_CLASSES, rng.random(num)
    refilled, steps = rng.random(num) < a.previous_refill_p, rng.integers(1, max(2, num), num)
    others = [int(k + steps[k]) % num if num > 1 and refilled[k] else None for k in range(num)]
    return tuple(Removal(channel=k, pick=float(picks[k]), refill=others[k]) for k in range(num) if on and chosen[k])


def _draw_matrix(
    rng: np.random.Generator, a: Augmentation, num_axes: int, rotation: float, spacing: Sequence[float] | None
) -> NDArray[np.float64] | None:
    rotate, scale = rng.random() < a.rotation_p and rotation > 0, rng.random() < a.scaling_p
    angles = np.radians(rng.uniform(-rotation, rotation, 3))
    factor = rng.uniform(*a.scaling)
    if not rotate and not scale:
        return None
    coarse = coarse_axis(spacing)
    matrix = turning_matrix(angles if rotate else (), num_axes, spacing)
    factors = [1.0 if axis == coarse else factor for axis in range(num_axes)]
    return matrix * np.array(factors) if scale else matrix


def coarse_axis(spacing: Sequence[float] | None) -> int | None:
    """The axis of three whose spacing is over `ANISOTROPY` times that of each other one; None if there is none.

    Examples
    --------
    >>> coarse_axis((5.0, 0.7, 0.7)), coarse_axis((1.0, 1.0, 2.5))
    (0, None)
    """
    if spacing is None or len(spacing) < 3:
        return None
    _, finer, coarse = np.argsort(spacing)
    return int(coarse) if spacing[coarse] > ANISOTROPY * spacing[finer] else None


def turning_planes(num_axes: int, coarse: int | None) -> list[tuple[int, int]]:
    """The planes in which a net's images are turned: all, or the one beside the coarse axis."""
    planes = [(0, 1)] if num_axes == 2 else [(1, 2), (0, 2), (0, 1)]
    return [plane for plane in planes if coarse not in plane]


def turning_matrix(angles: Iterable[float], num_axes: int, spacing: Sequence[float] | None) -> NDArray[np.float64]:
    """Rotation by `angles` (radians), one for each of `turning_planes` or more, in pixels of this spacing."""
    matrix = np.eye(num_axes)
    for angle, plane in zip(angles, turning_planes(num_axes, coarse_axis(spacing)), strict=False):
        matrix = matrix @ rotation_matrix(num_axes, plane, float(angle))
    if spacing is None or len(set(spacing)) == 1:
        return matrix
    mm = np.asarray(spacing, np.float64)
    return np.asarray(matrix * mm / mm[:, None])


def rotation_matrix(num_axes: int, plane: tuple[int, int], angle: float) -> NDArray[np.float64]:
    """Rotation by `angle` (radians) in the plane of two axes."""
    matrix = np.eye(num_axes)
    i, j = plane
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
    return matrix
