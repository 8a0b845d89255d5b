"""Augmentation by batchgenerators' transforms, in the processes that read ahead (recipe.augmentation.backend = "workers").

The transforms and their order are nnU-Net's, probabilities and ranges the recipe's. They draw from the global generators of numpy and of
the standard library: each sample seeds both anew, so that it is the same in whichever process it is made. Flips are left to the device,
where they cost nothing and where classes that have sides change names with them; so is the shape of the previous stage's channels.

Shapes: C channels of the image, K classes, P the patch's axes, B the axes of the source box.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.augment import Intensity, RawSample, SourceBox
from autoseg.augment.draws import WORKERS_STREAM, coarse_axis, turning_matrix
from autoseg.plan import Stage
from autoseg.recipe import Augmentation

#: Angles of each rotation that are tried for how far a turned patch reaches; what lies between them is mirrored at the box's border.
TRIED_ANGLES = 9
#: Standard deviation of a cubic B-spline in units of its interval: batchgenerators' elastic field is smoothed by a Gaussian as wide.
SPLINE_DEVIATION = 1 / math.sqrt(3)
#: batchgenerators' largest elastic shift in units of that Gaussian's deviation.
ELASTIC_SHIFT = 0.5


def wide_box(corner: tuple[int, ...], stage: Stage) -> SourceBox:
    """The box of source pixels that any draw of a stage's workers reads, the patch in its middle.

    Parameters
    ----------
    corner : tuple of int
        First pixel of the unwarped patch, may be negative.
    stage : Stage
    """
    a = stage.recipe.augmentation
    margins = _margins(
        stage.patch,
        coarse_axis(stage.net_spacing),
        stage.rotation_degrees if a.rotation_p > 0 else 0.0,
        max(1.0, a.scaling[1]) if a.scaling_p > 0 else 1.0,
        ELASTIC_SHIFT * _deformation(a)[1] if a.elastic_p > 0 else 0.0,
    )
    return SourceBox(
        start=tuple(c - m for c, m in zip(corner, margins, strict=True)),
        stop=tuple(c + p + m for c, p, m in zip(corner, stage.patch, margins, strict=True)),
        centre=tuple(m + (p - 1) / 2 for p, m in zip(stage.patch, margins, strict=True)),
    )


@lru_cache(maxsize=64)
def _margins(patch: tuple[int, ...], coarse: int | None, degrees: float, scale: float, shift: float) -> tuple[int, ...]:
    """Pixels beyond the patch on each side of each axis; `shift` in shares of the patch's edge."""
    if coarse is not None:
        flat = _margins(tuple(p for axis, p in enumerate(patch) if axis != coarse), None, degrees, scale, shift)
        return (*flat[:coarse], 0, *flat[coarse:])
    half = (np.array(patch) - 1) / 2 + shift * np.array(patch)
    limit = math.radians(min(degrees, 90.0))
    turns = product(np.linspace(-limit, limit, TRIED_ANGLES), repeat=1 if len(patch) == 2 else 3)
    reach = scale * np.max([np.abs(turning_matrix(turn, len(patch), None)) @ half for turn in turns], axis=0)
    # One more pixel for interpolation, where anything is interpolated.
    return tuple(max(0, math.ceil(r - (p - 1) / 2)) + (r > (p - 1) / 2) for r, p in zip(reach.tolist(), patch, strict=True))


def transform_sample(raw: RawSample, stage: Stage) -> RawSample:
    """A sample as batchgenerators' transforms leave it.

    Parameters
    ----------
    raw : RawSample
        Of a `wide_box`; its draw changes no pixel but flips them.
    stage : Stage

    Returns
    -------
    RawSample
        image fp32 (C, P), normalised; codes (P) and previous (K, P) in the dtypes they had; the same draw.

    Notes
    -----
    Seeds the global generators of numpy and of the standard library, and leaves them so.
    """
    seeds = np.random.SeedSequence([raw.draw.noise_seed, WORKERS_STREAM]).generate_state(5)
    np.random.seed(seeds[:4])
    random.seed(int(seeds[4]))
    data, codes = _warp(raw, stage)
    num = len(raw.image)
    image = data[:num]
    for channel, mean, std in zip(image, raw.intensity.mean, raw.intensity.std, strict=True):
        channel -= mean
        channel /= std
    batch: dict[str, Any] = {"data": image[None]}
    for transform in _intensity_transforms(stage.recipe.augmentation, raw.draw.coarse_axis):
        batch = transform(**batch)
    return replace(
        raw,
        image=np.ascontiguousarray(batch["data"][0], np.float32),
        codes=codes,
        intensity=Intensity.identity(num),
        centre=tuple((p - 1) / 2 for p in stage.patch),
        previous=None if raw.previous is None else data[num:].round().astype(np.uint8),
    )


def _warp(raw: RawSample, stage: Stage) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Rotate, scale, deform and cut the patch out: fp32 (C + K, P) in the stored units, and codes (P)."""
    # fp32 before pixels are mixed: batchgenerators casts what it interpolates back to the dtype it was given.
    data = np.concatenate([raw.image] if raw.previous is None else [raw.image, raw.previous], dtype=np.float32, casting="unsafe")
    for channel, lower, upper in zip(data, raw.intensity.lower, raw.intensity.upper, strict=False):
        # Clipped before, too: what lies outside the limits is no grey value.
        channel.clip(lower, upper, out=channel)
    coarse = raw.draw.coarse_axis
    flat = tuple(p for axis, p in enumerate(stage.patch) if axis != coarse)
    warped = _spatial_transform(stage, flat)(data=_slices(data, coarse), seg=_slices(raw.codes[None], coarse))
    codes = _volume(warped["seg"], 1, coarse)[0]
    return _volume(warped["data"], len(data), coarse), codes.astype(raw.codes.dtype)


def _slices(array: NDArray[Any], coarse: int | None) -> NDArray[Any]:
    """(1, C, B): where an axis is coarse, its slices as channels, which all get the same warp in two dimensions."""
    if coarse is None:
        return array[None]
    array = np.moveaxis(array, coarse + 1, 1)
    return array.reshape(1, -1, *array.shape[2:])


def _volume(array: NDArray[Any], num: int, coarse: int | None) -> NDArray[Any]:
    """(C, P) of what `_slices` gave."""
    if coarse is None:
        return np.asarray(array[0])
    return np.moveaxis(array.reshape(num, -1, *array.shape[2:]), 1, coarse + 1)


def _deformation(a: Augmentation) -> tuple[float, float]:
    """batchgenerators' scale of a deformation, in shares of the patch's edge, that is as smooth as cubic B-splines with these intervals."""
    few, many = a.elastic_intervals
    return SPLINE_DEVIATION / many, SPLINE_DEVIATION / few


def _spatial_transform(stage: Stage, patch: tuple[int, ...]) -> Any:
    from batchgenerators.transforms.spatial_transforms import SpatialTransform_2

    a, turn = stage.recipe.augmentation, math.radians(stage.rotation_degrees)
    return SpatialTransform_2(
        patch,
        patch_center_dist_from_border=0,
        do_elastic_deform=a.elastic_p > 0,
        deformation_scale=_deformation(a),
        do_rotation=turn > 0 and a.rotation_p > 0,
        angle_x=(-turn, turn),
        angle_y=(-turn, turn),
        angle_z=(-turn, turn),
        do_scale=a.scaling_p > 0,
        scale=a.scaling,
        border_mode_data="mirror",
        order_data=1,
        border_mode_seg="mirror",
        order_seg=0,
        random_crop=False,
        p_el_per_sample=a.elastic_p,
        p_rot_per_sample=a.rotation_p,
        p_scale_per_sample=a.scaling_p,
    )


def _intensity_transforms(a: Augmentation, coarse: int | None) -> Iterator[Any]:
    """nnU-Net's, in its order; interpolation after the low resolution is linear as in nnU-Net 2.8.1."""
    from batchgenerators.transforms.color_transforms import BrightnessMultiplicativeTransform, ContrastAugmentationTransform, GammaTransform
    from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, GaussianNoiseTransform
    from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform

    yield GaussianNoiseTransform(noise_variance=a.noise_std, p_per_sample=a.noise_p)
    yield GaussianBlurTransform(a.blur_sigma, different_sigma_per_channel=True, p_per_sample=a.blur_p, p_per_channel=0.5)
    yield BrightnessMultiplicativeTransform(multiplier_range=a.brightness, p_per_sample=a.brightness_p)
    yield ContrastAugmentationTransform(contrast_range=a.contrast, p_per_sample=a.contrast_p)
    yield SimulateLowResolutionTransform(
        zoom_range=a.lowres_scale,
        per_channel=True,
        p_per_channel=0.5,
        order_downsample=0,
        order_upsample=1,
        p_per_sample=a.lowres_p,
        ignore_axes=None if coarse is None else (coarse,),
    )
    for inverted, p in ((True, a.gamma_inverted_p), (False, a.gamma_p)):
        yield GammaTransform(a.gamma, invert_image=inverted, per_channel=True, retain_stats=True, p_per_sample=p)
