"""What a small patch shows of a class."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.fingerprint.instance import VIEW_SIZE, View, largest_part, view_of
from autoseg.fingerprint.measure_case import measure_loaded
from tests.fingerprint.make import loaded


def see(image: NDArray[np.float32], masks: list[NDArray[np.bool_]], **changes: object) -> View:
    case = loaded("a", image, masks, **changes)
    return view_of(case, measure_loaded(case, Path("/made"))[0])


def box(shape: tuple[int, ...], *ranges: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[tuple(slice(a, b) for a, b in ranges)] = True
    return mask


def test_size_lengths_and_place_of_a_box() -> None:
    mask = box((64, 48), (10, 22), (6, 10))
    found = see(mask[None].astype(np.float32), [mask])
    # A uniform interval of length n has the deviation n / sqrt(12).
    np.testing.assert_allclose(found.shape[0], np.log([12 * 4, 12 / np.sqrt(12), 4 / np.sqrt(12)]), atol=1e-9)
    np.testing.assert_allclose(found.place[0], [16 / 64, 8 / 48])
    assert found.picture.shape == (VIEW_SIZE[2],) * 2


def test_lengths_are_in_mm() -> None:
    mask = box((16, 32, 32), (4, 8), (8, 16), (8, 16))
    found = see(mask[None].astype(np.float32), [mask], spacing=(2.0, 0.5, 0.5))
    np.testing.assert_allclose(found.shape[0], np.log([8 * 4 * 4, 8 / np.sqrt(12), 4 / np.sqrt(12), 4 / np.sqrt(12)]), atol=1e-9)


def test_intensity_inside_and_against_the_surround() -> None:
    mask = box((64, 64), (16, 48), (16, 48))
    image = np.where(mask, 30.0, 10.0).astype(np.float32)
    found = see(image[None], [mask])
    # A quarter of the image at 30, the rest at 10: mean 15, deviation 20 sqrt(3) / 4
    mean, std = 15, 20 * np.sqrt(3) / 4
    np.testing.assert_allclose(found.look[0, 0], [(30 - mean) / std, np.log(0.01), 20 / std], rtol=1e-6)
    # Brightness and gain of the file change nothing.
    np.testing.assert_allclose(see(7 + 3 * image[None], [mask]).look, found.look, rtol=1e-5)


@pytest.mark.parametrize("turned", ["quarter", "mirror"])
def test_turned_and_mirrored_images_look_the_same(turned: str) -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(48, 48)).astype(np.float32), box((48, 48), (10, 30), (20, 26)) | box((48, 48), (10, 16), (12, 26))
    other = (np.rot90(image), np.rot90(mask)) if turned == "quarter" else (image[:, ::-1], mask[:, ::-1])
    here, there = see(image[None], [mask]), see(np.ascontiguousarray(other[0])[None], [np.ascontiguousarray(other[1])])
    np.testing.assert_allclose(here.shape, there.shape, atol=1e-9)
    np.testing.assert_allclose(here.look, there.look, atol=1e-6)


def test_a_large_class_is_measured_on_a_grid() -> None:
    mask = box((600, 400), (50, 550), (100, 300))
    found = see(mask[None].astype(np.float32), [mask])
    np.testing.assert_allclose(found.shape[0], np.log([500 * 200, 500 / np.sqrt(12), 200 / np.sqrt(12)]), atol=0.03)
    np.testing.assert_allclose(found.place[0], [0.5, 0.5], atol=0.01)


def test_a_class_thinner_than_the_grid_is_measured_whole() -> None:
    # Every other row of the grid, none of which is seen with a step of 3
    mask = box((200, 200), (101, 102), (0, 200)) | box((200, 200), (0, 200), (101, 102))
    found = see(mask[None].astype(np.float32), [mask])
    assert np.isfinite(found.shape).all()
    assert np.isfinite(found.look).all()


def test_stray_pixels_do_not_count() -> None:
    mask = box((64, 64), (10, 20), (10, 20))
    stray = mask.copy()
    stray[60, 60] = True
    image = mask[None].astype(np.float32)
    np.testing.assert_allclose(see(image, [stray]).shape, see(image, [mask]).shape)
    np.testing.assert_allclose(see(image, [stray]).place, see(image, [mask]).place)


def test_largest_part_is_cropped() -> None:
    part, start = largest_part(box((20, 20), (0, 3), (0, 3)) | box((20, 20), (8, 18), (12, 16)), np.array([100, 200]))
    assert part.shape == (10, 4)
    assert part.all()
    assert start.tolist() == [108, 212]


def test_an_absent_class_is_nan_and_an_empty_image_is_zero() -> None:
    found = see(np.full((1, 64, 64), 9, np.float32), [box((64, 64), (10, 20), (10, 20)), np.zeros((64, 64), np.bool_)])
    assert np.isnan(found.shape[1]).all()
    assert np.isnan(found.look[0, 1]).all()
    np.testing.assert_allclose(found.picture, 0)
    np.testing.assert_allclose(found.look[0, 0], [0, np.log(0.01), 0])
