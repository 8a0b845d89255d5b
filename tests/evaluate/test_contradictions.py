"""A case's labels beside its prediction, on squares whose overlaps are counted by hand."""

import numpy as np
import pytest

from autoseg.evaluate.contradictions import weigh
from autoseg.labels import Mask, encode_masks

SHAPE = (16, 16)


def square(top: int, left: int, side: int = 4) -> Mask:
    mask = np.zeros(SHAPE, np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def stored(*masks: Mask, value: int = 255) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([np.where(mask, np.uint8(value), np.uint8(0)) for mask in masks])


def test_overlaps_of_every_pair() -> None:
    truth = encode_masks([square(0, 0), square(0, 2)], SHAPE)
    found = weigh("a", stored(square(0, 0), square(8, 8)), truth, exclusive=False)
    assert found.overlap.tolist() == [[16, 8], [0, 0]]
    assert found.labelled.tolist() == [16, 16]
    assert found.dice.tolist() == [[1.0, 0.5], [0.0, 0.0]]


def test_a_moved_square_is_found_again() -> None:
    truth = encode_masks([square(2, 3)], SHAPE)
    found = weigh("a", stored(square(5, 1)), truth, exclusive=False)
    assert (found.middle - found.labelled_middle).tolist() == [[3.0, -2.0]]
    assert found.dice[0, 0] == 2 * 2 / 32  # one row of two pixels is in both
    assert found.moved_dice.tolist() == [1.0]


def test_what_leaves_the_image_is_missed() -> None:
    labels = square(12, 0) | square(12, 12)
    truth = encode_masks([labels], SHAPE)
    found = weigh("a", stored(square(12, 12)), truth, exclusive=False)
    # The middle moves from x 7.5 to 13.5, so that the left square lies where nothing is predicted and the right one beyond the image.
    assert found.moved_dice.tolist() == [0.0]


def test_nothing_there_has_no_middle() -> None:
    truth = encode_masks([np.zeros(SHAPE, np.bool_)], SHAPE)
    found = weigh("a", stored(square(0, 0)), truth, exclusive=False)
    assert found.dice.tolist() == [[0.0]]
    assert np.isnan(found.labelled_middle).all()
    assert np.isnan(found.moved_dice).all()
    empty = weigh("a", stored(np.zeros(SHAPE, np.bool_)), truth, exclusive=False)
    assert np.isnan(empty.dice).all()


def test_unlabelled_pixels_count_nowhere() -> None:
    truth = encode_masks([square(0, 0)], SHAPE, ignored=square(8, 8))
    found = weigh("a", stored(square(0, 0) | square(8, 8)), truth, exclusive=False)
    assert found.certainty.area.tolist() == [16.0]
    assert found.dice.tolist() == [[1.0]]


def test_exclusive_classes_are_decided_by_the_largest() -> None:
    truth = encode_masks([square(0, 0), np.zeros(SHAPE, np.bool_)], SHAPE)
    values = stored(square(0, 0), square(0, 0))
    values[0] //= 255  # 1 of 255 for the first class
    values[0] *= 120
    values[1] //= 255
    values[1] *= 100  # what is left for the background is 35
    found = weigh("a", values, truth, exclusive=True)
    assert found.certainty.area.tolist() == [16.0, 0.0]


def test_another_grid_is_refused() -> None:
    truth = encode_masks([square(0, 0)], SHAPE)
    with pytest.raises(ValueError, match="do not fit"):
        weigh("a", np.zeros((1, 8, 8), np.uint8), truth, exclusive=False)
