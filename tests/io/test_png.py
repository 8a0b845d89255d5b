"""Pngs of ours, opened by pillow and SimpleITK."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from autoseg.io.png import encode_png


@given(arrays.arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_pillow_reads_what_was_written(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("png") / "x.png"
    path.write_bytes(encode_png(array))
    with Image.open(path) as picture:
        assert picture.mode == ("L" if array.dtype == np.uint8 else "I;16")
        np.testing.assert_array_equal(np.asarray(picture), array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_simpleitk_reads_it_too(tmp_path: Path, dtype: type) -> None:
    array: np.ndarray = (np.arange(300 * 70) % 251).astype(dtype).reshape(300, 70)[::2, ::-1]  # neither contiguous nor in order
    (tmp_path / "x.png").write_bytes(encode_png(array))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.png"))), array)


def test_a_mask_is_black_and_white(tmp_path: Path) -> None:
    mask = np.arange(600 * 5).reshape(600, 5) % 7 < 3
    (tmp_path / "x.png").write_bytes(encode_png(mask))
    with Image.open(tmp_path / "x.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), mask.astype(np.uint8) * 255)


def test_a_mask_takes_few_bytes() -> None:
    y, x = np.mgrid[:512, :512]
    disc = ((y - 200) ** 2 + (x - 300) ** 2 < 100**2).astype(np.uint8) * 255
    assert len(encode_png(disc)) < 512 * 512 / 50


@pytest.mark.parametrize("array", [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2)), np.zeros((2, 2), np.int32)])
def test_what_is_no_grey_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a png holds two axes of bool, uint8 or uint16"):
        encode_png(array)
