"""Colours that differ, and pictures to look at."""

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.io.overlay import draw_overlay
from autoseg.io.palette import palette, seen


def test_lab_of_known_colours() -> None:
    """CIE: white is (100, 0, 0), black (0, 0, 0), sRGB's red (53.24, 80.09, 67.20)."""
    lab = seen(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]]))
    np.testing.assert_allclose(lab[0], np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]]), atol=0.02)
    np.testing.assert_allclose(lab[:, 0], np.tile([100.0, 0.0, 0.0], (4, 1)), atol=0.2)  # white is white for all eyes


@pytest.mark.parametrize(("num", "least"), [(7, 16.0), (29, 12.0), (64, 7.5)])
def test_colours_differ_for_all_eyes(num: int, least: float) -> None:
    """2.3 is a just noticeable difference in CIELAB."""
    lab = seen(np.array(palette(num)))
    distance = np.linalg.norm(lab[:, :, None] - lab[:, None], axis=-1)
    distance[:, np.arange(num), np.arange(num)] = np.inf
    assert distance.min() > least
    assert np.hypot(lab[0, :, 1], lab[0, :, 2]).min() > 25  # no greys: those are the image's


def test_the_first_colours_stay() -> None:
    assert palette(40)[:29] == palette(29)
    assert palette(3) == ((230, 159, 0), (86, 180, 233), (0, 158, 115))


def masks(*boxes: tuple[slice, slice]) -> list[NDArray[np.bool_]]:
    found = []
    for box in boxes:
        mask = np.zeros((40, 60), np.bool_)
        mask[box] = True
        found.append(mask)
    return found


def test_contours_and_fill() -> None:
    image = np.full((1, 40, 60), 1000, np.uint16)
    image[0, :, 30:] = 3000
    first, second, empty = masks(np.s_[5:25, 5:25], np.s_[0:10, 40:60], np.s_[0:0, 0:0])
    names = ["a", "b", "c"]
    picture = draw_overlay(image, zip(names, (first, second, empty), strict=True), names)
    assert picture.shape[1] > 60  # the legend
    orange, blue, _ = palette(3)
    assert tuple(picture[5, 5]) == tuple(picture[24, 15]) == orange  # the mask's outermost pixels
    assert tuple(picture[0, 59]) == blue  # the image's border is a contour, too
    assert picture[8, 8].tolist() == [round(0.3 * value) for value in orange]  # upon black
    assert picture[1, 41].tolist() == [round(0.7 * 255 + 0.3 * value) for value in blue]  # upon white
    np.testing.assert_array_equal(picture[30:40, :30], 0)
    np.testing.assert_array_equal(picture[30:40, 30:60], 255)
    assert all((picture[:, 60:] == colour).all(axis=-1).any() for colour in palette(3))


def test_colour_images_keep_their_colours() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 40, 60), np.uint8)
    before = image.copy()
    picture = draw_overlay(image, zip("a", masks(np.s_[0:0, 0:0]), strict=True), ["a"])
    np.testing.assert_array_equal(picture[:40, :60], np.moveaxis(image, 0, -1))
    np.testing.assert_array_equal(image, before)


def test_a_flat_image() -> None:
    picture = draw_overlay(np.full((1, 40, 60), 7.0), zip("a", masks(np.s_[5:9, 5:9]), strict=True), ["a"])
    np.testing.assert_array_equal(picture[20:40, :60], 0)
