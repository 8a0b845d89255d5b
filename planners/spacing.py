"""The grid that cases are brought to, and the axis that a 2D net slices volumes along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.fingerprint import Fingerprint
from autoseg.geometry import SAME_SPACING

#: nnU-Net: an axis is coarse if its spacing is this many times the others' ...
ANISOTROPY = 3.0
#: ... and then its target is this percentile of the spacings, so that fine cases lose little.
COARSE_PERCENTILE = 10


@dataclass(frozen=True, kw_only=True)
class SpacingDecision:
    """The grid of a configuration.

    Parameters
    ----------
    spacing : tuple of float
        Target of all axes of the data, (z,) y, x.
    resample : bool
    slice_axis : int or None
    image_shape : tuple of int
        Median shape at the target spacing, all axes of the data, after cropping if cases are cropped.
    reasons : dict
        "spacing" and, where volumes are sliced, "slice_axis".
    """

    spacing: tuple[float, ...]
    resample: bool
    slice_axis: int | None
    image_shape: tuple[int, ...]
    reasons: dict[str, str]


def decide_spacing(fingerprint: Fingerprint, *, net_axes: int, crop: bool = False) -> SpacingDecision:
    """Target spacing, whether to resample, the slicing axis and the median shape.

    Parameters
    ----------
    fingerprint : Fingerprint
    net_axes : int
        2 for a 2D net (volumes are sliced, and not resampled across slices), 3 for a 3D net.
    crop : bool
        Cases are cut to their non-zero box first.
    """
    spacings = np.array([case.spacing for case in fingerprint.cases])
    shapes = shapes_of(fingerprint, crop=crop)
    slice_axis, reasons = None, {}
    if net_axes < fingerprint.num_axes:
        slice_axis, reasons["slice_axis"] = choose_slice_axis(np.median(spacings, axis=0), np.median(shapes, axis=0))
    target, resample, reasons["spacing"] = _target(fingerprint, spacings, slice_axis)
    shape = median_shape(fingerprint, shapes, [float(s) for s in target] if resample else None, slice_axis)
    return SpacingDecision(
        spacing=tuple(float(s) for s in target), resample=resample, slice_axis=slice_axis, image_shape=shape, reasons=reasons
    )


def shapes_of(fingerprint: Fingerprint, *, crop: bool) -> NDArray[np.float64]:
    """Shapes of the cases, (N, axes), cut to their non-zero boxes or whole."""
    return np.array([[b - a for a, b in case.nonzero_box] if crop else case.shape for case in fingerprint.cases], np.float64)


def median_shape(
    fingerprint: Fingerprint, shapes: NDArray[np.float64], spacing: Sequence[float] | None, slice_axis: int | None
) -> tuple[int, ...]:
    """Median of the shapes, resampled to a spacing (never across slices) or, for None, as they are."""
    if spacing is not None:
        scale = np.array([case.spacing for case in fingerprint.cases]) / np.array(spacing)
        if slice_axis is not None:
            scale[:, slice_axis] = 1.0
        shapes = shapes * scale
    return tuple(max(1, int(n)) for n in np.round(np.median(shapes, axis=0)))


def _target(fingerprint: Fingerprint, spacings: NDArray[np.float64], slice_axis: int | None) -> tuple[NDArray[np.float64], bool, str]:
    median = np.asarray(np.median(spacings, axis=0), np.float64)
    if fingerprint.unit == "pixel":
        return median, False, "pixels stay as they are: the files hold no physical size"
    compared = [axis for axis in range(spacings.shape[1]) if axis != slice_axis]
    if bool((np.abs(spacings - median)[:, compared] <= SAME_SPACING * median[compared]).all()):
        return median, False, f"all cases have a spacing of {_text(median)} mm already"
    coarse = int(np.argmax(median))
    others = np.delete(median, coarse)
    if slice_axis is None and len(median) == 3 and median[coarse] > ANISOTROPY * others.max():
        median[coarse] = max(float(np.percentile(spacings[:, coarse], COARSE_PERCENTILE)), float(others.max()))
        return median, True, f"{_text(median)} mm: median, axis {coarse} is coarse and takes the {COARSE_PERCENTILE}th percentile"
    return median, True, f"{_text(median)} mm: the median of all cases"


def choose_slice_axis(spacing: NDArray[np.float64], shape: NDArray[np.float64]) -> tuple[int, str]:
    """The axis across which volumes are cut into slices: the coarsest; among equals the one with the fewest slices.

    The coarsest axis loses least by being left out of the net's view, and its slices are the sharpest pictures. Equal spacings: the
    shortest axis leaves the largest pictures, which see most context.
    """
    coarsest = np.flatnonzero(spacing >= (1 - SAME_SPACING) * spacing.max())
    if len(coarsest) == 1:
        return int(coarsest[0]), f"slices across axis {coarsest[0]}, the coarsest: {_text(spacing)} mm"
    axis = int(coarsest[np.argmin(shape[coarsest])])
    return axis, f"slices across axis {axis}: spacing is equal, and the fewest slices ({shape[axis]:.0f}) are the largest pictures"


def _text(spacing: NDArray[np.float64]) -> str:
    return " x ".join(f"{s:.3g}" for s in spacing)
