"""What happens to one sample, drawn from (seed, fold, iteration, sample) alone.

No generator lives from sample to sample: any worker draws any sample, a resumed run draws what the undisturbed one would have, and
splitting a batch changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autoseg.recipe import Augmentation

Operation = Literal["erosion", "dilation", "opening", "closing"]
OPERATIONS: tuple[Operation, ...] = ("erosion", "dilation", "opening", "closing")
#: Share of the previous stage's classes that are changed in shape at a time, and the largest share that is removed.
RESHAPED_CLASSES, REMOVED_CLASSES = 0.5, 0.25

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


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleDraw:
    """The parameters of one sample's augmentation; None, 0 or 1 where nothing was drawn.

    Parameters
    ----------
    matrix : array (A, A) or None
        Offset from the patch's centre -> offset in the source, axes (z,) y, x. Rotation, scaling and nothing else.
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
    previous_removal : tuple of int
        Classes whose previous channel is emptied.
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
    previous_removal: tuple[int, ...] = ()


def draw_sample(
    rng: np.random.Generator,
    augmentation: Augmentation,
    *,
    num_channels: int,
    num_axes: int,
    mirror_axes: tuple[int, ...],
    rotation: float,
    num_previous: int = 0,
) -> SampleDraw:
    """Draw one sample's parameters.

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
    num_previous : int
        Channels of the previous stage in a cascade.
    """
    a = augmentation
    matrix = _draw_matrix(rng, a, num_axes, rotation)
    flips = tuple(axis for axis in mirror_axes if rng.random() < a.flip_p)
    noise_seed, noisy, variance = int(rng.integers(2**62)), rng.random() < a.noise_p, rng.uniform(*a.noise_variance)
    # In the order in which they are drawn: what a version adds comes last, so that all others keep their values.
    return SampleDraw(
        matrix=matrix,
        flips=flips,
        noise_seed=noise_seed,
        noise_std=math.sqrt(variance) if noisy else 0.0,
        blur_sigma=_per_channel(rng, a.blur_p, a.blur_sigma, num_channels, neutral=0.0, channel_p=0.5),
        brightness=_per_channel(rng, a.brightness_p, a.brightness, num_channels),
        contrast=_per_channel(rng, a.contrast_p, a.contrast, num_channels),
        lowres=_per_channel(rng, a.lowres_p, a.lowres_scale, num_channels, channel_p=0.5),
        gamma_inverted=_per_channel(rng, a.gamma_inverted_p, a.gamma, num_channels),
        gamma=_per_channel(rng, a.gamma_p, a.gamma, num_channels),
        previous_morphology=_draw_morphology(rng, a, num_previous),
        previous_removal=_draw_removal(rng, a, num_previous),
    )


def _per_channel(
    rng: np.random.Generator, p: float, bounds: tuple[float, float], num: int, *, neutral: float = 1.0, channel_p: float = 1.0
) -> NDArray[np.float64]:
    # All numbers are drawn whether used or not, so that one transform's probability does not shift the draws of the next.
    on = rng.random() < p
    channels = rng.random(num) < channel_p
    values = rng.uniform(*bounds, num)
    return np.where(on & channels, values, neutral)


def _draw_morphology(rng: np.random.Generator, a: Augmentation, num: int) -> tuple[tuple[int, Operation, int], ...]:
    on, chosen = rng.random() < a.previous_morphology_p, rng.random(num) < RESHAPED_CLASSES
    operations = rng.integers(0, len(OPERATIONS), num)
    radii = rng.integers(a.previous_radius[0], a.previous_radius[1] + 1, num)
    return tuple((k, OPERATIONS[operations[k]], int(radii[k])) for k in range(num) if on and chosen[k])


def _draw_removal(rng: np.random.Generator, a: Augmentation, num: int) -> tuple[int, ...]:
    on, order = rng.random() < a.previous_removal_p, rng.permutation(num)
    removed = int(rng.integers(1, max(1, int(REMOVED_CLASSES * num)) + 1))
    return tuple(sorted(int(k) for k in order[:removed])) if on else ()


def _draw_matrix(rng: np.random.Generator, a: Augmentation, num_axes: int, rotation: float) -> NDArray[np.float64] | None:
    rotate, scale = rng.random() < a.rotation_p and rotation > 0, rng.random() < a.scaling_p
    angles = np.radians(rng.uniform(-rotation, rotation, 3))
    factor = rng.uniform(*a.scaling)
    if not rotate and not scale:
        return None
    matrix = np.eye(num_axes)
    if rotate:
        planes = [(0, 1)] if num_axes == 2 else [(1, 2), (0, 2), (0, 1)]
        for angle, plane in zip(angles, planes, strict=False):
            matrix = matrix @ rotation_matrix(num_axes, plane, float(angle))
    return matrix * factor if scale else matrix


def rotation_matrix(num_axes: int, plane: tuple[int, int], angle: float) -> NDArray[np.float64]:
    """Rotation by `angle` (radians) in the plane of two axes."""
    matrix = np.eye(num_axes)
    i, j = plane
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
    return matrix
