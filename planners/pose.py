"""Which flips and rotations keep an image plausible, from the measured handedness and pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.fingerprint import Arrangement, Fingerprint, FlipLikeness, MirrorFit

#: Mirrored arrangements may lie this much farther from the other cases than unmirrored ones do. Measured on synthetic sets of 20 to 200
#: cases: up to 1.10 if both hands are equally frequent, 1.19 if one of ten is mirrored; 1.6 for one class off the middle among 24 pairs,
#: 3 and more for arrangements that have a handedness.
HARMLESS_RATIO = 1.25
#: The same for the worst single class; distances of one class scatter, the more the fewer the cases.
HARMLESS_CLASS_RATIO, CLASS_SCATTER = 1.3, 2.0
#: Cases below which nearest neighbours say nothing.
MIN_CASES = 4
#: Centroids this flat lie on a line or in a plane, which is its own mirror image.
MIN_FLATNESS = 0.1
#: Centroids spread less than this, in half class sizes, belong to texture: VNC 0.12, Hippocampus 0.59, bones above 2.
MIN_SPREAD = 0.2
#: Pictures of different cases that correlate less have no common order that a flip could disturb (VNC 0.10, nuclei 0.00, Hippocampus 0.62).
NO_ORDER = 0.15
#: Correlation that a flip may cost in a data set that has an order.
HARMLESS_LOSS = 0.05
#: The least rotation: every data set is photographed a little askew. The margin is added to what was measured.
MIN_ROTATION, ROTATION_MARGIN = 15.0, 5.0
#: Two uniformly random poses differ by 90 degrees in the median (126 in space); a spread of this much is called any pose.
ANY_POSE_MEDIAN = 75.0


@dataclass(frozen=True, kw_only=True)
class FlipDecision:
    """What augmentation and test-time augmentation may do to an image.

    Parameters
    ----------
    mirror_axes : tuple of int
        Axes of the net along which images may be flipped.
    mirror_swap : tuple of int
        The class whose place each class takes when an odd number of axes is flipped; empty: none change.
    rotation_degrees : float
        Rotations go this far both ways.
    reason : str
    """

    mirror_axes: tuple[int, ...]
    mirror_swap: tuple[int, ...]
    rotation_degrees: float
    reason: str


def decide_pose(fingerprint: Fingerprint, *, slice_axis: int | None = None) -> FlipDecision:
    """Flips and rotations for a net on all axes, or on slices across `slice_axis` (its axes are then the remaining ones, in order)."""
    net_axes = [axis for axis in range(fingerprint.num_axes) if axis != slice_axis]
    arrangement = fingerprint.arrangement
    if _tells_handedness(arrangement):
        axes, swap, why = _by_arrangement(arrangement, fingerprint.classes)
    else:
        axes, why = _by_likeness(fingerprint.flips)
        swap = ()
    allowed = tuple(net for net, axis in enumerate(net_axes) if axis in axes)
    degrees, turn = _rotation(fingerprint, free=len(allowed) == len(net_axes))
    return FlipDecision(mirror_axes=allowed, mirror_swap=swap if allowed else (), rotation_degrees=degrees, reason=f"{why}; {turn}")


def _tells_handedness(arrangement: Arrangement) -> bool:
    return (
        arrangement.cases >= MIN_CASES
        and bool(arrangement.fits)
        and arrangement.flatness >= MIN_FLATNESS
        and arrangement.spread >= MIN_SPREAD
    )


def _by_arrangement(arrangement: Arrangement, classes: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    class_limit = HARMLESS_CLASS_RATIO + CLASS_SCATTER / arrangement.cases**0.5
    fit = next((f for f in arrangement.fits if f.ratio <= HARMLESS_RATIO and f.worst_ratio <= class_limit), None)
    if fit is None:
        best = min(arrangement.fits, key=lambda f: f.ratio)
        return (), (), f"no flips: the mirrored arrangement of the classes {_misfit(best, classes, class_limit)}"
    reach = max(arrangement.turn_p95, MIN_ROTATION) + ROTATION_MARGIN
    free = arrangement.turn_median >= ANY_POSE_MEDIAN
    axes = tuple(axis for axis, degrees in enumerate(fit.flip_degrees) if free or degrees <= reach)
    turned = ", ".join(f"{degrees:.0f} along axis {axis}" for axis, degrees in enumerate(fit.flip_degrees))
    if fit.source == "as it stands":
        return (
            axes,
            (),
            f"flips are harmless: mirrored cases lie {fit.ratio:.2f} times as far from others as unmirrored ones (turned by {turned})",
        )
    pairs = ", ".join(f"{classes[k]} <-> {classes[p]}" for k, p in enumerate(fit.swap) if k < p)
    return axes, fit.swap, f"flips exchange {pairs} (pairs by {fit.source}): distance ratio {fit.ratio:.2f} (turned by {turned})"


def _misfit(fit: MirrorFit, classes: Sequence[str], class_limit: float) -> str:
    if fit.ratio > HARMLESS_RATIO:
        worst = f"worst is {classes[fit.worst_class]}"
        return f"lies {fit.ratio:.2f} times as far from the other cases as the unmirrored one (allowed {HARMLESS_RATIO}; {worst})"
    return f"misplaces {classes[fit.worst_class]}: {fit.worst_ratio:.2f} times as far off as unmirrored (allowed {class_limit:.2f})"


def _by_likeness(flips: Sequence[FlipLikeness]) -> tuple[tuple[int, ...], str]:
    """Where centroids can't tell: flip along an axis if that costs low-resolution pictures no likeness to other cases."""
    if not flips:
        return (), "no flips: too few independent cases to measure whether they are harmless"
    axes = tuple(flip.axis for flip in flips if _is_harmless(flip))
    numbers = "; ".join(
        f"axis {f.axis}: labels {f.labels:.2f} and flipped {f.labels_flipped:.2f}, images {f.image:.2f} and {f.image_flipped:.2f}"
        for f in flips
    )
    verdict = f"flips along {', '.join(map(str, axes))} are harmless" if axes else "no flips"
    return axes, f"{verdict}, by the correlation of different cases ({numbers})"


def _is_harmless(flip: FlipLikeness) -> bool:
    pairs = ((flip.labels, flip.labels_flipped, flip.label_error), (flip.image, flip.image_flipped, flip.image_error))
    return all(upright <= NO_ORDER or upright - flipped + 2 * error <= HARMLESS_LOSS for upright, flipped, error in pairs)


def _rotation(fingerprint: Fingerprint, *, free: bool) -> tuple[float, str]:
    arrangement = fingerprint.arrangement
    if arrangement.turn_cases >= MIN_CASES and arrangement.spread >= MIN_SPREAD:
        if arrangement.turn_median >= ANY_POSE_MEDIAN:
            return 180.0, f"any rotation: two cases differ by {arrangement.turn_median:.0f} degrees in the median"
        # Two poses differ by sqrt(2) times what one differs from the mean.
        spread = arrangement.turn_p95 / 2**0.5 + ROTATION_MARGIN
        degrees = round(min(180.0, max(MIN_ROTATION, spread)))
        return float(degrees), f"rotation up to {degrees} degrees: 95 % of cases are turned by less than {spread - ROTATION_MARGIN:.0f}"
    if free and all(flip.image <= NO_ORDER and flip.labels <= NO_ORDER for flip in fingerprint.flips):
        return 180.0, "any rotation: different cases share no orientation"
    return MIN_ROTATION, f"rotation up to {MIN_ROTATION:.0f} degrees: no pose could be measured"
