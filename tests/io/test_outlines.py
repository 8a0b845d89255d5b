"""Outlines along the edges of pixels: drawn by hand, and back to the same masks."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.demo.case import draw_hands, outlines
from autoseg.io.coco import draw_segmentation
from autoseg.io.coco_writer import annotation
from autoseg.io.outlines import trace_outlines
from autoseg.io.polygons import Polygon, draw_class, read_polygons, write_polygons


def picture(text: str) -> NDArray[np.bool_]:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


def test_the_drawing_of_the_module() -> None:
    (outline,) = trace_outlines(picture("... .## .#."))
    assert outline.outer.tolist() == [[1, 1], [3, 1], [3, 2], [2, 2], [2, 3], [1, 3]]
    assert outline.holes == ()


def test_a_rectangle_has_four_corners() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[3:9, 5:17] = True
    (outline,) = trace_outlines(mask)
    assert outline.outer.tolist() == [[5, 3], [17, 3], [17, 9], [5, 9]]


def test_pixels_that_touch_by_a_corner_are_apart() -> None:
    assert [outline.outer.tolist() for outline in trace_outlines(picture("#. .#"))] == [
        [[0, 0], [1, 0], [1, 1], [0, 1]],
        [[1, 1], [2, 1], [2, 2], [1, 2]],
    ]


def test_a_hole_runs_the_other_way() -> None:
    (outline,) = trace_outlines(picture("### #.# ###"))
    assert outline.outer.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]
    (hole,) = outline.holes
    assert sorted(hole.tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert area(outline.outer) == 9
    assert area(hole) == -1


def area(points: NDArray[np.int64]) -> float:
    following = np.roll(points, -1, axis=0)
    return float((points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum() / 2)


def test_an_empty_mask_has_none() -> None:
    assert trace_outlines(np.zeros((3, 4), np.bool_)) == []


def come_back(masks: list[NDArray[np.bool_]], path: Path) -> None:
    """Through HandBone's form and through COCO's annotations."""
    names = [f"c {k}" for k in range(len(masks))]
    write_polygons(path, "a.png", zip(names, masks, strict=True), masks[0].shape)
    polygons = read_polygons(path)
    for name, mask in zip(names, masks, strict=True):
        np.testing.assert_array_equal(draw_class(polygons, name, mask.shape), mask)
        if mask.any():
            drawn = np.zeros_like(mask)
            draw_segmentation(drawn, annotation(mask, 1)["segmentation"])
            np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.95, 1.0])
def test_any_mask_comes_back_exactly(tmp_path: Path, share: float) -> None:
    """Noise has holes within holes, corners that touch, and pixels at the border."""
    rng = np.random.default_rng(0)
    come_back([rng.random((height, width)) < share for height, width in ((1, 1), (1, 9), (9, 1), (17, 23), (40, 31))], tmp_path / "a.json")


def test_bones_come_back_exactly(tmp_path: Path) -> None:
    come_back(phantom_masks(), tmp_path / "a.json")


def phantom_masks() -> list[NDArray[np.bool_]]:
    """The 29 bones of a hand at 96 pixels."""
    scene = draw_hands(seed=0, part="train", index=0)[1]["R"]
    polygons = [Polygon(label=name, points=points) for name, points in outlines(scene, size=96).items()]
    return [draw_class([polygon], polygon.label, (96, 96)) for polygon in polygons]
