"""Overlap counts and scores in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.labels import CodeMap, Mask, encode_masks
from autoseg.metrics.overlap import Counts, count_codes, count_masks, dice, iou, precision, recall


def square(top: int, left: int, size: int) -> Mask:
    mask = np.zeros((16, 16), np.bool_)
    mask[top : top + size, left : left + size] = True
    return mask


def truth_of(*masks: Mask, ignored: Mask | None = None) -> CodeMap:
    return encode_masks(masks, masks[0].shape, ignored)


NOTHING = square(0, 0, 0)


def test_two_squares_that_share_a_quarter() -> None:
    counts = count_masks([square(0, 0, 4)], truth_of(square(2, 2, 4)))
    assert (counts.hit.tolist(), counts.extra.tolist(), counts.missed.tolist()) == ([4], [12], [12])
    assert dice(counts)[0] == 2 * 4 / 32
    assert iou(counts)[0] == 4 / 28
    assert precision(counts)[0] == recall(counts)[0] == 4 / 16


def test_overlapping_classes_are_scored_each_by_itself() -> None:
    truth = truth_of(square(0, 0, 8), square(4, 4, 8))
    counts = count_masks([square(0, 0, 8), square(4, 4, 4)], truth)
    assert dice(counts).tolist() == [1.0, 2 * 16 / (16 + 64)]


def test_empty_masks_follow_the_stated_rules() -> None:
    truth = truth_of(NOTHING, NOTHING, square(0, 0, 2))
    counts = count_masks([NOTHING, square(0, 0, 2), NOTHING], truth)
    np.testing.assert_array_equal(dice(counts), [np.nan, 0, 0])
    np.testing.assert_array_equal(iou(counts), [np.nan, 0, 0])
    np.testing.assert_array_equal(precision(counts), [np.nan, 0, np.nan])
    np.testing.assert_array_equal(recall(counts), [np.nan, np.nan, 0])


def test_unlabelled_pixels_count_nowhere() -> None:
    truth = truth_of(square(0, 0, 4), ignored=square(0, 2, 8))
    counts = count_masks([square(0, 0, 8)], truth)
    # Columns 0 and 1 alone are labelled: 8 of the 16 predicted pixels there are in the truth.
    assert (counts.hit.tolist(), counts.extra.tolist(), counts.missed.tolist()) == ([8], [8], [0])


def test_counts_add_up_over_cases() -> None:
    one = Counts(hit=np.array([1]), extra=np.array([2]), missed=np.array([3]))
    assert (one + one).missed.tolist() == [6]


@pytest.mark.parametrize("masks", [[], [NOTHING, NOTHING], [np.zeros((4, 4), np.bool_)]])
def test_masks_that_do_not_fit_are_refused(masks: list[Mask]) -> None:
    with pytest.raises(ValueError, match="class"):
        count_masks(masks, truth_of(NOTHING))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([(7, 9), (4, 5, 6)]))
def test_code_maps_and_masks_count_alike(seed: int, num: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    said, there = rng.random((2, num, *shape)) < 0.4
    ignored = rng.random(shape) < 0.2
    truth = encode_masks(there, shape, ignored)
    plain = Counts(
        hit=(said & there & ~ignored).reshape(num, -1).sum(axis=1),
        extra=(said & ~there & ~ignored).reshape(num, -1).sum(axis=1),
        missed=(~said & there & ~ignored).reshape(num, -1).sum(axis=1),
    )
    for counts in (count_masks(said, truth), count_codes(encode_masks(said, shape), truth)):
        for name in ("hit", "extra", "missed"):
            np.testing.assert_array_equal(getattr(counts, name), getattr(plain, name))


def test_code_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 classes does not fit"):
        count_codes(truth_of(NOTHING, NOTHING), truth_of(NOTHING))
