"""Windows cut from pictures that can be integrated by hand, and named by hand."""

import numpy as np
import pytest

from autoseg.fingerprint.windows import cut_windows, name_windows


def test_cells_are_means_of_a_ramp() -> None:
    # The value of a pixel is its column: the mean over a cell is the cell's middle, less half a pixel.
    picture = np.broadcast_to(np.arange(128, dtype=np.float32), (1, 128, 128))
    places = np.array([[[0.5, 0.5], [0.3, 0.4]]])
    found = cut_windows(picture, places, shares=(0.25,))[0].reshape(2, 16, 16)
    for window, (_, x) in zip(found, places[0], strict=True):
        middles = 128 * x + (np.arange(16) + 0.5 - 8) * 2 - 0.5
        np.testing.assert_allclose(window, np.broadcast_to(middles, (16, 16)), rtol=1e-5)


def test_beyond_the_border_lies_the_mean_of_the_image() -> None:
    ones = np.ones((1, 128, 128), np.float32)
    window = cut_windows(ones, np.array([[[0.0, 0.5]]]), shares=(0.5,))[0].reshape(16, 16)
    np.testing.assert_allclose(window[:8], 0, atol=1e-6)
    np.testing.assert_allclose(window[8:], 1, atol=1e-6)


def test_the_whole_image_about_its_corner() -> None:
    ones = np.ones((1, 48, 48, 48), np.float32)
    window = cut_windows(ones, np.array([[[1.0, 1.0, 1.0]]]), shares=(1.0,))[0].reshape(8, 8, 8)
    assert window.sum() == pytest.approx(4**3)
    assert window[:4, :4, :4].min() == pytest.approx(1)


def test_no_window_about_an_absent_class() -> None:
    found = cut_windows(np.ones((1, 128, 128), np.float32), np.array([[[0.5, 0.5], [np.nan, np.nan]]]), shares=(0.25,))[0]
    assert np.isnan(found[0, 1]).all()
    assert not np.isnan(found[0, 0]).any()


def test_the_most_similar_window_of_each_class_in_partners() -> None:
    # Windows of 4 cells about two classes of three cases; the second case is no partner of the first.
    up, down, across = [1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4]
    windows = np.array([[up, down], [up, up], [across, down]], np.float32)
    partners = np.array([[False, False, True], [False, False, True], [True, True, False]])
    found = name_windows(windows, np.ones((3, 2), np.bool_), partners)
    # Correlations of ranks: (1, 2, 3, 4) with (1, 3, 2, 4) is 0.8
    np.testing.assert_allclose(found[0], [[0.8, -1.0], [-0.8, 1.0]], atol=1e-6)
    np.testing.assert_allclose(found[2], [[0.8, 0.8], [-1.0, 1.0]], atol=1e-6)


def test_a_class_without_a_partner_has_no_likeness() -> None:
    windows = np.arange(16, dtype=np.float32).reshape(2, 2, 4)
    present = np.array([[True, True], [True, False]])
    found = name_windows(windows, present, ~np.eye(2, dtype=np.bool_))
    assert np.isnan(found[0, :, 1]).all()
    assert np.isnan(found[1, 1]).all()
    assert not np.isnan(found[0, :, 0]).any()
