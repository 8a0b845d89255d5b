"""Large images are measured in pieces, with the numbers of the whole."""

import numpy as np
import pytest

from autoseg.preprocess import moments
from autoseg.preprocess.moments import Moments, moments_of, pieces
from autoseg.preprocess.prepare import smallest_dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_moments(monkeypatch: pytest.MonkeyPatch, dtype: type[np.generic]) -> None:
    image = (np.random.default_rng(0).random((37, 11)) * 250).astype(dtype)
    monkeypatch.setattr(moments, "PIECE", 25)
    assert len(pieces(image)) > 10
    got = moments_of(image)
    assert (got.low, got.high) == (image.min(), image.max())
    np.testing.assert_allclose((got.mean, got.std), (image.mean(dtype=np.float64), image.std(dtype=np.float64)), rtol=1e-12)


def test_a_constant_has_no_deviation() -> None:
    assert moments_of(np.full((3, 3), 7, np.float32)) == Moments(low=7, high=7, mean=7, std=0)
    assert moments_of(np.full((3, 3), 7, np.uint16)) == Moments(low=7, high=7, mean=7, std=0)


def test_pieces_are_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "PIECE", 8)
    array = np.arange(30).reshape(10, 3)
    assert [len(part) for part in pieces(array)] == [2] * 5
    np.testing.assert_array_equal(np.concatenate(pieces(array)), array)
    assert len(pieces(np.zeros((3, 100)))) == 3


def test_one_fraction_in_the_last_piece_keeps_the_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "PIECE", 8)
    image = np.ones((1, 10, 3))
    assert smallest_dtype(image).dtype == np.uint8
    image[0, 9, 2] = 1.5
    assert smallest_dtype(image).dtype == np.float32


def test_what_has_its_dtype_is_not_copied() -> None:
    image = np.full((1, 4, 4), 300, np.uint16)
    assert smallest_dtype(image) is image
