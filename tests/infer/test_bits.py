"""Masks as bits against the masks themselves."""

import math

import numpy as np
import pytest

from autoseg.infer.bits import BitMasks


@pytest.mark.parametrize("num", [1, 7, 8, 9, 30])
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5)])
def test_masks_come_back(num: int, shape: tuple[int, ...]) -> None:
    expected = np.random.default_rng(num).random((num, *shape)) > 0.5
    masks = BitMasks.empty(num, shape)
    assert not np.asarray(masks).any()
    for row in range(shape[0]):
        masks.put((slice(row, row + 1),), expected[:, row : row + 1])
    np.testing.assert_array_equal(masks, expected)
    assert (masks.shape, len(masks), masks.planes.nbytes) == ((num, *shape), num, -(-num // 8) * math.prod(shape))
    np.testing.assert_array_equal(masks[num - 1], expected[-1])
    np.testing.assert_array_equal(masks[-1], expected[-1])


@pytest.mark.parametrize("is_inner", [False, True])
def test_a_part_replaces_what_was_there_and_nothing_else(is_inner: bool) -> None:
    expected = np.random.default_rng(0).random((10, 6, 7)) > 0.5
    masks = BitMasks.empty(10, (6, 7))
    masks.put((slice(0, 6), slice(0, 7)), expected)
    part = np.random.default_rng(1).random((10, 2, 3)) > 0.5
    expected[:, 3:5, 1:4] = part
    masks.put((slice(3, 5), slice(1, 4)), np.moveaxis(np.ascontiguousarray(np.moveaxis(part, 0, -1)), -1, 0) if is_inner else part)
    np.testing.assert_array_equal(masks, expected)


def test_one_class_is_replaced_and_no_other() -> None:
    expected = np.random.default_rng(0).random((10, 4, 4)) > 0.5
    masks = BitMasks.empty(10, (4, 4))
    masks.put((slice(0, 4),), expected)
    expected[3] = ~expected[3]
    masks.set(3, expected[3])
    np.testing.assert_array_equal(masks, expected)


def test_a_mask_is_a_copy() -> None:
    masks = BitMasks.empty(2, (2, 2))
    masks[0][:] = True
    assert not masks[0].any()


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(IndexError, match="there are 2 masks, no mask 2"):
        BitMasks.empty(2, (2, 2))[2]
    with pytest.raises(ValueError, match="9 masks need 2 planes, got 1"):
        BitMasks(np.zeros((1, 2, 2), np.uint8), 9)
