from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon as reference

from autoseg.errors import DataError
from autoseg.io.polygons import Polygon, draw_class, fill_polygon, read_polygons
from autoseg.labels import Mask
from tests.io.make import write_json

COORDINATE = st.integers(-5000, 30000).map(lambda thousandth: thousandth / 1000)


def fill(points: list[list[float]], shape: tuple[int, int] = (12, 16)) -> Mask:
    mask = np.zeros(shape, np.bool_)
    fill_polygon(mask, np.array(points, np.float64))
    return mask


def test_a_rectangle_holds_its_edges() -> None:
    expected = np.zeros((12, 16), np.bool_)
    expected[2:6, 3:9] = True
    np.testing.assert_array_equal(fill([[3, 2], [8, 2], [8, 5], [3, 5]]), expected)


def test_pixel_centres_lie_at_whole_numbers() -> None:
    assert fill([[2.6, 3.6], [3.4, 3.6], [3.4, 4.4], [2.6, 4.4]]).nonzero() == (np.array([4]), np.array([3]))
    assert not fill([[2.1, 3.1], [2.9, 3.1], [2.9, 3.9]]).any()


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=9, unique=True))
def test_sub_pixel_polygons_equal_skimage(points: list[tuple[float, float]]) -> None:
    # Moved off the grid: on an edge that crosses itself skimage leaves out single pixels.
    array = np.array(points) + np.sqrt(2) / 10000
    mask = np.zeros((20, 24), np.bool_)
    if (array.min(axis=0) < (23.5, 19.5)).all() and (array.max(axis=0) > -0.5).all():
        fill_polygon(mask, array)
    expected = np.zeros_like(mask)
    expected[reference(array[:, 1], array[:, 0], mask.shape)] = True
    np.testing.assert_array_equal(mask, expected)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 9), st.integers(1, 9))
def test_whole_number_triangles_hold_their_edges_like_skimage(x: int, y: int, width: int, height: int) -> None:
    points = np.array([[x, y], [x + width, y], [x + width // 2, y + height]], np.float64)
    expected = np.zeros((20, 24), np.bool_)
    expected[reference(points[:, 1], points[:, 0], expected.shape)] = True
    np.testing.assert_array_equal(fill(points.tolist(), (20, 24)), expected)


@given(st.integers(3, 80), st.floats(20, 60))
def test_the_area_of_a_disc(corners: int, radius: float) -> None:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    points = np.stack([64 + radius * np.cos(angles), 64 + radius * np.sin(angles)], axis=1)
    area = corners / 2 * radius**2 * np.sin(2 * np.pi / corners)
    # Pixels on the outline are what separates count and area: at most its length and a few.
    assert abs(int(fill(points.tolist(), (128, 128)).sum()) - area) <= 2 * np.pi * radius + 4


def test_what_lies_beyond_the_image_is_cut_off() -> None:
    np.testing.assert_array_equal(fill([[-50, -50], [99, -50], [99, 99], [-50, 99]]), np.ones((12, 16), np.bool_))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[1, 1], [2, 2]], "at least 3 points"),
        ([[1, 1], [2, 2], [1, 1], [2, 2]], "fewer than 3 of its points differ"),
        ([[1, 1], [2, float("nan")], [3, 1]], "not finite"),
        ([[20, 1], [30, 1], [30, 5]], r"x 20 to 30, y 1 to 5 lies outside the image of 16x12 pixels"),
    ],
)
def test_what_is_no_polygon_is_refused(points: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fill(points)


def test_several_polygons_of_a_class_are_joined() -> None:
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    polygons = [Polygon(label="a", points=corners), Polygon(label="a", points=corners + 5), Polygon(label="b", points=corners + 2)]
    assert draw_class(polygons, "a", (8, 8)).sum() == 8
    assert draw_class(polygons, "c", (8, 8)).sum() == 0
    with pytest.raises(ValueError, match="polygon of 'a': x 5 to 6, y 5 to 6 lies outside the image of 4x4 pixels"):
        draw_class(polygons, "a", (4, 4))


def test_every_wrong_annotation_is_named(tmp_path: Path) -> None:
    good = {"label": "a", "type": "poly_seg", "points": [[0, 0], [1, 0], [1, 1]]}
    annotations = [good, {**good, "label": 3}, {**good, "type": "bbox"}, {**good, "points": []}, {**good, "points": [[1, 2, 3]] * 3}, 7]
    path = write_json(tmp_path / "a.json", {"annotations": annotations})
    with pytest.raises(DataError) as caught:
        read_polygons(path)
    problems = caught.value.problems
    assert [problem.split(": ")[1] for problem in problems] == [f"annotation {k}" for k in range(1, 6)]
    assert all(str(path) in problem for problem in problems)
