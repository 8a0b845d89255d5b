"""Boxes of masks and of classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.labels import encode_masks
from autoseg.metrics.boxes import class_boxes, grown, join_boxes, mask_box


def test_a_box_in_three_axes() -> None:
    mask = np.zeros((4, 5, 6), np.bool_)
    mask[1, 2, 3] = mask[2, 2, 5] = True
    assert mask_box(mask) == (slice(1, 3), slice(2, 3), slice(3, 6))
    assert mask_box(np.zeros((4, 5), np.bool_)) is None


def test_joined_and_grown() -> None:
    a, b = (slice(0, 2), slice(3, 4)), (slice(1, 5), slice(0, 2))
    assert join_boxes(a, b) == (slice(0, 5), slice(0, 4))
    assert join_boxes(None, b) == join_boxes(b, None) == b
    assert join_boxes(None, None) is None
    assert grown((slice(0, 2), slice(3, 4)), (5, 4)) == (slice(0, 3), slice(2, 4))


@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 7)])
@given(seed=st.integers(0, 2**32 - 1))
def test_classes_have_the_boxes_of_their_masks(shape: tuple[int, ...], seed: int) -> None:
    masks = np.random.default_rng(seed).random((4, *shape)) < 0.03
    assert class_boxes(encode_masks(masks, shape)) == [mask_box(mask) for mask in masks]
