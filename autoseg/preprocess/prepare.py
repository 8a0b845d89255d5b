"""Preparing one case as a plan says: crop, resample, order axes, choose the dtype, resolve the normalisation, draw points."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from autoseg.case import LoadedCase
from autoseg.errors import PlanError
from autoseg.fingerprint.measure_case import nonzero_box
from autoseg.io.tif_regions import TifRegions, regions_of
from autoseg.labels import CodeMap, Codes
from autoseg.plan import Normalization, Plan, Stage
from autoseg.preprocess.equalise import equalise
from autoseg.preprocess.moments import Moments, moments_of, moments_of_regions, pieces
from autoseg.preprocess.prepared import Prepared, PreparedMeta
from autoseg.preprocess.resample import resample_image, resample_labels

#: Coordinates kept per class: enough that no epoch of 250 iterations sees one twice as a rule, 12 KB a class.
MAX_POINTS = 1000

#: Full range of the integer types that colour pictures come in.
COLOUR_RANGE = {"uint8": 255.0, "uint16": 65535.0}


def _kind(channels: int, axes: int) -> str:
    """Such as "a picture of 3 channels"; of DICOM slices a volume is made where their folder is given."""
    return f"{'a volume' if axes == 3 else 'a picture (2D)'} of {channels} channel{'' if channels == 1 else 's'}"


def prepare(loaded: LoadedCase, plan: Plan, *, stage: Stage) -> Prepared:
    """One case as a net of this stage sees it, not yet normalised; channels of kind "clahe" are equalised, once and for all.

    Raises
    ------
    PlanError
        If the case has another number of channels or axes than the plan.
    """
    image, geometry, labels = loaded.image, loaded.geometry, loaded.labels
    if len(image) != len(plan.normalization) or geometry.num_axes != plan.num_axes:
        raise PlanError(
            f"{', '.join(map(str, loaded.case.images)) or loaded.case.name}: is {_kind(len(image), geometry.num_axes)}; "
            f"the plan {plan.name} is for {_kind(len(plan.normalization), plan.num_axes)}"
        )
    box = nonzero_box(image) if plan.crop_to_nonzero else tuple((0, n) for n in geometry.shape)
    shape = resampled_shape(tuple(stop - start for start, stop in box), geometry.spacing, stage=stage)
    regions = regions_of(image)
    if regions is not None and labels is None and not _changes(regions.window(box), shape, plan):
        return _prepare_regions(loaded, regions.window(box), plan, box)
    window = tuple(slice(start, stop) for start, stop in box)
    image = equalised(np.asarray(image)[(slice(None), *window)], plan.normalization)
    constants = [resolve_normalization(rule, channel) for rule, channel in zip(plan.normalization, image, strict=True)]
    if labels is not None:
        labels = labels.with_codes(labels.codes[window])
    if shape != image.shape[1:]:
        image = resample_image(image, shape, spacing=geometry.spacing)
        labels = resample_labels(labels, shape) if labels is not None else None
    axes = slice_first(geometry.num_axes, stage.slice_axis)
    image = np.ascontiguousarray(image.transpose(0, *(1 + a for a in axes)))
    if labels is not None:
        labels = labels.with_codes(cast(Codes, np.ascontiguousarray(labels.codes.transpose(axes))))
    points, pixels = draw_points(labels, seed=zlib.crc32(loaded.case.name.encode())) if labels is not None else ((), ())
    meta = PreparedMeta(
        name=loaded.case.name, geometry=geometry, box=box, resampled_shape=shape, axes=axes, sliced=stage.slice_axis is not None,
        class_pixels=pixels, **_by_name(constants),
    )  # fmt: skip
    return Prepared(image=smallest_dtype(image), labels=labels, points=points, meta=meta)


def _changes(regions: TifRegions, shape: tuple[int, ...], plan: Plan) -> bool:
    """True if other pixels are made of an image that is read by region: all of it is needed for that."""
    return shape != regions.shape[1:] or any(rule.kind == "clahe" for rule in plan.normalization)


def _prepare_regions(loaded: LoadedCase, regions: TifRegions, plan: Plan, box: tuple[tuple[int, int], ...]) -> Prepared:
    """An unlabelled image that is read by region, and stays so: its dtype, too."""
    measured = [k for k, rule in enumerate(plan.normalization) if _is_measured(rule, regions.dtype)]
    found = dict(zip(measured, moments_of_regions(regions.select(measured)), strict=True)) if measured else {}
    constants = [_constants(rule, regions.dtype, found.get(k)) for k, rule in enumerate(plan.normalization)]
    meta = PreparedMeta(
        name=loaded.case.name, geometry=loaded.geometry, box=box, resampled_shape=regions.shape[1:], axes=(0, 1), **_by_name(constants)
    )
    return Prepared(image=regions.as_array(), labels=None, points=(), meta=meta)


def _by_name(constants: Sequence[tuple[float, float, float, float]]) -> dict[str, Any]:
    """What `resolve_normalization` gives of each channel, as PreparedMeta has it."""
    return dict(zip(("lower", "upper", "mean", "std"), zip(*constants, strict=True), strict=True))


def resampled_shape(shape: tuple[int, ...], spacing: tuple[float, ...], *, stage: Stage) -> tuple[int, ...]:
    """Shape at the stage's spacing; the slicing axis keeps its slices, whatever their distance."""
    if not stage.resample:
        return shape
    sizes = [max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, stage.spacing, strict=True)]
    if stage.slice_axis is not None:
        sizes[stage.slice_axis] = shape[stage.slice_axis]
    return tuple(sizes)


def slice_first(num_axes: int, slice_axis: int | None) -> tuple[int, ...]:
    """Order of the axes with the slicing axis in front.

    Examples
    --------
    >>> slice_first(3, 1), slice_first(3, None)
    ((1, 0, 2), (0, 1, 2))
    """
    if slice_axis is None:
        return tuple(range(num_axes))
    return (slice_axis, *(a for a in range(num_axes) if a != slice_axis))


def equalised(image: NDArray[Any], rules: Sequence[Normalization]) -> NDArray[Any]:
    """The image (C, ...) with the channels whose rule is "clahe" equalised, to values of 0 to 255; the others as they are."""
    if all(rule.kind != "clahe" for rule in rules):
        return image
    return np.stack([equalise(channel) if rule.kind == "clahe" else channel for rule, channel in zip(rules, image, strict=True)])


def resolve_normalization(rule: Normalization, channel: NDArray[Any]) -> tuple[float, float, float, float]:
    """lower, upper, mean, std for one channel of one case, computed at its own resolution.

    y = (clip(x, lower, upper) - mean) / std. The clip range of "zscore" and "unit" is that of the values, so that it only cuts what cubic
    interpolation overshoots. The values of "clahe" are equalised already.
    """
    return _constants(rule, channel.dtype, moments_of(channel) if _is_measured(rule, channel.dtype) else None)


def _is_measured(rule: Normalization, dtype: np.dtype[Any]) -> bool:
    """True if the rule needs the moments of a channel: not where it says all itself, or the dtype does."""
    return rule.kind != "ct" and not (rule.kind == "unit" and dtype.name in COLOUR_RANGE)


def _constants(rule: Normalization, dtype: np.dtype[Any], found: Moments | None) -> tuple[float, float, float, float]:
    """What `resolve_normalization` says; `found` is there if the rule `_is_measured`."""
    if rule.kind == "ct":
        if rule.lower is None or rule.upper is None or rule.mean is None or rule.std is None:
            raise PlanError("a normalization of kind ct needs lower, upper, mean and std")
        return rule.lower, rule.upper, rule.mean, rule.std
    if rule.kind == "unit":
        full = COLOUR_RANGE[dtype.name] if found is None else max(found.high, 1.0)
        return 0.0, full, full / 2, full
    assert found is not None, "others are measured"
    # A constant image has no deviation; dividing by 1 leaves it at zero.
    return found.low, found.high, found.mean, found.std if found.std > 0 else 1.0


def smallest_dtype(image: NDArray[Any]) -> NDArray[Any]:
    """The image in the smallest dtype that loses nothing: whole numbers as integers of 8 or 16 bit, the rest as float32.

    Whole numbers beyond 16 bit become float32, exact up to 2 ** 24.
    """
    if image.dtype in (np.uint8, np.int8):
        return image
    if image.dtype == np.bool_:
        return image.astype(np.uint8)
    low, high = float(image.min()), float(image.max())
    if image.dtype.kind == "f" and any(not np.array_equal(part, np.rint(part)) for channel in image for part in pieces(channel)):
        return image.astype(np.float32, copy=False)
    for dtype in (np.uint8, np.int8, np.uint16, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return image.astype(dtype, copy=False)
    return image.astype(np.float32, copy=False)


def draw_points(labels: CodeMap, *, seed: int) -> tuple[tuple[NDArray[np.int32], ...], tuple[int, ...]]:
    """Random coordinates of each class, (n, num_axes) with n up to `MAX_POINTS`, and the number of pixels of each class.

    The background is set aside once, so that K classes cost little more than one.
    """
    rng = np.random.default_rng(seed)
    flat = labels.codes.ravel()
    somewhere = np.flatnonzero(flat)
    codes = flat[somewhere]
    points: list[NDArray[np.int32]] = []
    pixels: list[int] = []
    for k in range(labels.num_classes):
        where = somewhere[labels.table[:, k][codes]]
        pixels.append(len(where))
        if len(where) > MAX_POINTS:
            where = where[rng.integers(0, len(where), MAX_POINTS)]
        points.append(np.stack(np.unravel_index(where, labels.codes.shape), axis=1).astype(np.int32))
    return tuple(points), tuple(pixels)


def normalise(image: NDArray[Any], meta: PreparedMeta, *, channels: Sequence[int] | None = None) -> NDArray[np.float32]:
    """What a net sees, float32, (C, *spatial); the reference for the version on the device."""
    out = np.empty(image.shape, np.float32)
    for i, c in enumerate(channels if channels is not None else range(len(image))):
        out[i] = (np.clip(image[i].astype(np.float32), meta.lower[c], meta.upper[c]) - meta.mean[c]) / meta.std[c]
    return out
