"""All scores of a case together: cut to boxes, class by class."""

import math
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.labels import Mask, encode_masks
from autoseg.metrics.measure import MEASURES, Rules, measure
from autoseg.metrics.objects import object_f1
from autoseg.metrics.overlap import count_masks
from autoseg.metrics.surface import surface_scores
from tests.metrics.make import box

SHAPE = (24, 24)
NOTHING = np.zeros(SHAPE, np.bool_)
A, B = box(SHAPE, (4, 12), (4, 12)), box(SHAPE, (4, 12), (5, 13))


def values(masks: list[Mask], truth: list[Mask], spacing: tuple[float, ...] = (1, 1), rules: Rules | None = None) -> dict[str, list[float]]:
    found = measure(iter(masks), encode_masks(truth, truth[0].shape), spacing, rules or Rules())
    return {name: score.tolist() for name, score in found.scores.items()}


def test_every_measure_has_a_row() -> None:
    assert tuple(sorted(values([A], [A]))) == tuple(sorted(MEASURES))


def test_a_perfect_prediction() -> None:
    found = values([A], [A])
    assert {name: score for name, (score,) in found.items()} == {
        "dice": 1, "iou": 1, "precision": 1, "recall": 1, "volume_difference": 0, "relative_volume_difference": 0,
        "hd95": 0, "mean_surface_distance": 0, "nsd": 1, "object_f1": 1,
    }  # fmt: skip


def test_empty_masks_follow_the_stated_rules() -> None:
    found = values([NOTHING, A, NOTHING], [NOTHING, NOTHING, A])
    nan = math.nan
    expected = {
        "dice": [nan, 0, 0], "iou": [nan, 0, 0], "precision": [nan, 0, nan], "recall": [nan, nan, 0],
        "volume_difference": [nan, 64, -64], "relative_volume_difference": [nan, nan, -1],
        "hd95": [nan] * 3, "mean_surface_distance": [nan] * 3, "nsd": [nan, 0, 0], "object_f1": [nan, 0, 0],
    }  # fmt: skip
    for name in MEASURES:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_volumes_are_in_the_spacing_s_unit() -> None:
    cube = box((8, 8, 8), (2, 4), (2, 4), (2, 4))
    bigger = box((8, 8, 8), (2, 5), (2, 4), (2, 4))
    found = values([bigger], [cube], (2.0, 0.5, 0.5))
    assert found["volume_difference"] == [4 * 0.5]
    assert found["relative_volume_difference"] == [0.5]
    assert values([cube], [bigger], (2.0, 0.5, 0.5))["volume_difference"] == [-2.0]


def test_overlapping_classes_are_measured_each_by_itself() -> None:
    found = values([A, B], [A, A])
    assert found["dice"] == [1, 2 * 56 / 128]
    assert found["hd95"] == [0, 1]


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_the_order_of_the_classes_makes_no_difference(order: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    said, there = rng.random((2, 3, *SHAPE)) < 0.3
    straight = values(list(said), list(there))
    turned = values([said[k] for k in order], [there[k] for k in order])
    for name, score in straight.items():
        np.testing.assert_array_equal(turned[name], [score[k] for k in order])


@given(st.integers(0, 2**32 - 1), st.sampled_from([(13, 17), (6, 7, 8)]), st.floats(0.01, 0.5))
def test_boxes_and_code_maps_change_nothing(seed: int, shape: tuple[int, ...], density: float) -> None:
    rng = np.random.default_rng(seed)
    said, there = rng.random((2, 3, *shape)) < density
    unlabelled = rng.random(shape) < 0.1
    truth = encode_masks(there, shape, unlabelled)
    spacing = tuple(rng.uniform(0.3, 3, len(shape)))
    rules = Rules(tolerance=1.2, object_iou=0.4)
    found = [measure(iter(said), truth, spacing, rules), measure(encode_masks(said, shape), truth, spacing, rules)]
    for measured in found:
        counts = count_masks(said, truth)
        for name in ("hit", "extra", "missed"):
            np.testing.assert_array_equal(getattr(measured.counts, name), getattr(counts, name))
        for k in range(3):
            a, b = said[k] & ~unlabelled, there[k] & ~unlabelled
            whole = surface_scores(a, b, spacing, tolerance=1.2, unlabelled=unlabelled)
            np.testing.assert_allclose(measured.scores["hd95"][k], whole.hd95)
            np.testing.assert_allclose(measured.scores["mean_surface_distance"][k], whole.mean_distance)
            np.testing.assert_allclose(measured.scores["nsd"][k], whole.nsd)
            np.testing.assert_allclose(measured.scores["object_f1"][k], object_f1(a, b, iou=0.4))


def test_masks_are_taken_one_at_a_time() -> None:
    given: list[weakref.ref[Mask]] = []

    def masks() -> Iterator[Mask]:
        for _ in range(6):
            # The last one may still be held by the loop that asks for the next.
            assert sum(mask() is not None for mask in given) <= 1
            mask = A.copy()
            given.append(weakref.ref(mask))
            yield mask
            del mask

    measure(masks(), encode_masks([A] * 6, SHAPE), (1, 1), Rules())
    assert len(given) == 6


@pytest.mark.parametrize("masks", [[], [A, A], [A[:4]]])
def test_masks_that_do_not_fit_are_refused(masks: list[Mask]) -> None:
    with pytest.raises(ValueError, match="class"):
        measure(iter(masks), encode_masks([A], SHAPE), (1, 1), Rules())


def test_spacing_needs_a_value_per_axis() -> None:
    with pytest.raises(ValueError, match="spacing must have 2 values"):
        measure(iter([A]), encode_masks([A], SHAPE), (1, 1, 1), Rules())


@pytest.mark.parametrize(
    "wrong", [{"tolerance": -1.0}, {"tolerance": math.nan}, {"tolerance": math.inf}, {"object_iou": 0.0}, {"object_iou": 1.5}]
)
def test_rules_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rules(**wrong)
