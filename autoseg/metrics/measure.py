"""Everything that is measured of a case: overlap, volume, surfaces and objects of each class.

Stated rules, the same for every score: where truth and prediction are both empty there is nothing to measure, all scores are NaN, and
means leave them out. Where one of the two is empty, Dice, IoU, surface Dice and object F1 are 0; HD95 and the mean surface distance are
NaN, since there is no distance to nothing: a class that is missed shows in its Dice, not in its distances. Precision is NaN where nothing
was predicted; recall and the relative volume difference are NaN where nothing was there. Unlabelled pixels count nowhere.

Shapes: K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from autoseg.labels import CodeMap, Mask
from autoseg.metrics.boxes import Box, class_boxes, grown, join_boxes, mask_box
from autoseg.metrics.objects import object_f1
from autoseg.metrics.overlap import OVERLAP_METRICS, Counts, Score
from autoseg.metrics.surface import surface_scores

#: Keys of a full measurement, in the order of tables. Volumes are in the spacing's unit to the power of the axes, predicted minus true.
MEASURES = (
    *OVERLAP_METRICS,
    *("volume_difference", "relative_volume_difference", "hd95", "mean_surface_distance", "nsd", "object_f1"),
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What scores depend on besides the masks.

    Parameters
    ----------
    tolerance : float
        Of the normalised surface Dice, at least 0: in mm, or in pixels where an image has no physical size.
    object_iou : float
        IoU from which a predicted object counts as found, in (0, 1].
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    tolerance: float = 1.0
    object_iou: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < math.inf:
            raise ValueError(f"tolerance must be finite and at least 0, got {self.tolerance}")
        if not 0 < self.object_iou <= 1:
            raise ValueError(f"object_iou must lie above 0 and up to 1, got {self.object_iou}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A case, measured.

    Parameters
    ----------
    counts : Counts
    scores : dict of str -> array of float64, shape (K,)
        A row for each of `MEASURES`, NaN where undefined.
    """

    counts: Counts
    scores: dict[str, Score]


def measure(prediction: CodeMap | Iterable[Mask], truth: CodeMap, spacing: Sequence[float], rules: Rules) -> Measured:
    """Measure one case on the truth's grid, class by class, each cut to the box around its two masks.

    Parameters
    ----------
    prediction : CodeMap, or iterable of arrays of bool, each of the truth's shape
        One mask per class in order, read one at a time.
    truth : CodeMap
    spacing : sequence of float
        (z,) y, x.
    rules : Rules

    Raises
    ------
    ValueError
        If a mask has another shape, or there are more or fewer masks than classes.
    """
    boxes, num = class_boxes(truth), truth.num_classes
    if len(spacing) != truth.codes.ndim:
        raise ValueError(f"spacing must have {truth.codes.ndim} values, got {tuple(spacing)}")
    counted = np.zeros((3, num), np.int64)
    scores = {name: np.full(num, math.nan) for name in MEASURES}
    seen = 0
    for k, (mask, box) in enumerate(_with_boxes(prediction)):
        if mask.shape != truth.codes.shape or k >= num:
            raise ValueError(f"mask {k} of shape {mask.shape} does not fit {num} classes of shape {truth.codes.shape}")
        seen = k + 1
        around = join_boxes(boxes[k], box)
        if around is not None:
            if truth.ignore.any():
                around = grown(around, truth.codes.shape)  # unlabelled neighbours decide what is surface
            counted[:, k] = _measure_class(k, mask[around], truth.with_codes(truth.codes[around]), spacing, rules, scores)
    if seen != num:
        raise ValueError(f"{seen} masks for {num} classes")
    counts = Counts(hit=counted[0], extra=counted[1], missed=counted[2])
    for name, score in OVERLAP_METRICS.items():
        scores[name] = score(counts)
    return Measured(counts=counts, scores=scores)


def _with_boxes(prediction: CodeMap | Iterable[Mask]) -> Iterator[tuple[Mask, Box | None]]:
    if isinstance(prediction, CodeMap):
        for k, box in enumerate(class_boxes(prediction)):
            yield prediction.mask(k), box
    else:
        for mask in prediction:
            yield mask, mask_box(mask)


def _measure_class(
    k: int, said: Mask, truth: CodeMap, spacing: Sequence[float], rules: Rules, scores: dict[str, Score]
) -> tuple[int, int, int]:
    """Fill in column `k` of the scores but for the overlap's; the pixels hit, extra and missed, of which those follow."""
    there = truth.mask(k)
    unlabelled = truth.ignored() if truth.ignore.any() else None
    if unlabelled is not None:
        said = said & ~unlabelled
    hit, num_said, num_there = (int(np.count_nonzero(mask)) for mask in (said & there, said, there))
    if num_said or num_there:
        surfaces = surface_scores(said, there, spacing, tolerance=rules.tolerance, unlabelled=unlabelled)
        scores["volume_difference"][k] = (num_said - num_there) * math.prod(spacing)
        scores["relative_volume_difference"][k] = (num_said - num_there) / num_there if num_there else math.nan
        scores["hd95"][k], scores["mean_surface_distance"][k] = surfaces.hd95, surfaces.mean_distance
        scores["nsd"][k] = surfaces.nsd
        scores["object_f1"][k] = object_f1(said, there, iou=rules.object_iou)
    return hit, num_said - hit, num_there - hit
