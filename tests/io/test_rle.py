import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autoseg.io.rle import decode_rle, encode_rle
from autoseg.labels import Mask

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(MASKS)
def test_decode_is_the_inverse(mask: Mask) -> None:
    np.testing.assert_array_equal(decode_rle(encode_rle(mask), (mask.shape[0], mask.shape[1])), mask)


@given(MASKS)
def test_encoding_equals_a_count_by_hand(mask: Mask) -> None:
    expected: list[int] = []
    for pixel, inside in enumerate(mask.ravel(), 1):
        if inside and expected and expected[-2] + expected[-1] == pixel:
            expected[-1] += 1
        elif inside:
            expected += [pixel, 1]
    assert encode_rle(mask) == " ".join(map(str, expected))


def test_runs_cross_the_end_of_a_row() -> None:
    assert encode_rle(np.array([[0, 0, 1], [1, 0, 0]], np.bool_)) == "3 2"


def test_empty_and_full() -> None:
    assert encode_rle(np.zeros((2, 3), np.bool_)) == ""
    assert encode_rle(np.ones((2, 3), np.bool_)) == "1 6"
    assert not decode_rle("", (2, 3)).any()


@pytest.mark.parametrize("text", ["1", "0 2", "1 0", "6 2", "1 3 2 1", "4 1 1 1", "a b", "1.5 2", "1 99999999999999999999"])
def test_wrong_runs_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"run lengths must|runs must ascend without overlap within 1 to 6"):
        decode_rle(text, (2, 3))


@given(st.text(max_size=20))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    try:
        mask = decode_rle(text, (3, 4))
    except ValueError:
        return
    assert mask.shape == (3, 4)
    assert decode_rle(encode_rle(mask), (3, 4)).tolist() == mask.tolist()
