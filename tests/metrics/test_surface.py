"""Surfaces and their distances, in closed form."""

import math

import numpy as np
import pytest

from autoseg.labels import Mask
from autoseg.metrics.surface import SurfaceScores, surface_of, surface_scores
from tests.metrics.make import box


def scores(a: Mask, b: Mask, spacing: tuple[float, ...] = (1.0, 1.0), tolerance: float = 1.0) -> SurfaceScores:
    return surface_scores(a, b, spacing, tolerance=tolerance)


SHAPE = (32, 32)
SQUARE = box(SHAPE, (8, 16), (8, 16))


def test_the_surface_of_a_square_is_its_rim() -> None:
    assert surface_of(SQUARE).sum() == 8 * 8 - 6 * 6
    assert surface_of(box((8, 8, 8), (1, 6), (1, 6), (1, 6))).sum() == 5**3 - 3**3


def test_beyond_the_image_is_outside() -> None:
    assert surface_of(np.ones((5, 7), np.bool_)).sum() == 5 * 7 - 3 * 5
    assert surface_of(np.ones((1, 7), np.bool_)).all()


def test_a_diagonal_neighbour_alone_makes_no_surface() -> None:
    mask = np.ones((5, 5), np.bool_)
    mask[1, 1] = False
    assert not surface_of(mask)[2, 2]
    assert surface_of(mask)[1, 2]


def test_there_is_no_surface_towards_unlabelled_pixels() -> None:
    unlabelled = box(SHAPE, (0, 32), (16, 32))
    rim = surface_of(SQUARE, unlabelled)
    assert not rim[9:15, 15].any()
    assert rim[8, 15]
    assert rim[15, 15]
    assert rim.sum() == 28 - 6


@pytest.mark.parametrize("d", [1, 2, 3])
def test_lines_a_distance_apart(d: int) -> None:
    # Every pixel of a line of length 32 lies d from the other line.
    found = scores(box(SHAPE, (4, 5), (0, 32)), box(SHAPE, (4 + d, 5 + d), (0, 32)), tolerance=2)
    assert (found.hd95, found.mean_distance, found.nsd) == (d, d, float(d <= 2))


def test_shifted_squares() -> None:
    # By 3 along x, seen from one of the two: on its horizontal edges 5 pixels each lie on the other's, the rest 1, 2 and 3 away; one
    # vertical edge lies 3 outside of the other square, and one lies within it, nearest to its horizontal edges.
    exact = 2 * [0.0] * 5 + 2 * [1.0, 2.0, 3.0] + 6 * [3.0] + [1.0, 2.0, 3.0, 3.0, 2.0, 1.0]
    found = scores(SQUARE, np.roll(SQUARE, 3, axis=1), tolerance=2)
    assert found.mean_distance == pytest.approx(sum(exact) / 28)
    assert found.hd95 == np.percentile(exact, 95) == 3
    assert found.nsd == pytest.approx(sum(distance <= 2 for distance in exact) / 28)


def test_the_tolerance_is_a_step() -> None:
    a, b = box(SHAPE, (4, 5), (0, 32)), box(SHAPE, (7, 8), (0, 32))
    assert [scores(a, b, tolerance=t).nsd for t in (0, 2.999, 3, 4)] == [0, 0, 1, 1]
    # 3 x 0.1 is 0.30000000000000004: still within 0.3.
    assert scores(a, b, (0.1, 0.1), tolerance=0.3).nsd == 1


def test_spacing_counts_along_each_axis() -> None:
    a, b = box((16, 16, 16), (4, 5), (0, 16), (0, 16)), box((16, 16, 16), (6, 7), (0, 16), (0, 16))
    assert scores(a, b, (2.5, 1, 1)).hd95 == 5
    a, b = box(SHAPE, (4, 5), (4, 5)), box(SHAPE, (7, 8), (8, 9))
    assert scores(a, b, (2, 0.5)).mean_distance == pytest.approx(math.hypot(6, 2))


def test_hd95_is_the_larger_of_the_directed_percentiles() -> None:
    # A line, and the same line with one pixel far away: 33 distances, 32 of them 0.
    a = box(SHAPE, (4, 5), (0, 32))
    b = a.copy()
    b[14, 0] = True
    both = (scores(a, b).hd95, scores(b, a).hd95)
    assert both[0] == both[1] == np.percentile([0] * 32 + [10], 95)


def test_empty_surfaces_follow_the_stated_rules() -> None:
    nothing = np.zeros(SHAPE, np.bool_)
    for a, b in ((SQUARE, nothing), (nothing, SQUARE)):
        found = scores(a, b)
        assert (math.isnan(found.hd95), math.isnan(found.mean_distance), found.nsd) == (True, True, 0)
    found = scores(nothing, nothing)
    assert all(map(math.isnan, (found.hd95, found.mean_distance, found.nsd)))
