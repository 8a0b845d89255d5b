"""Fits of point sets with known turns."""

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from autoseg.fingerprint.procrustes import fit_pairs, flipped, residuals
from tests.fingerprint.make import turn

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_turned_scaled_moved_copy_fits_exactly(axes: int) -> None:
    points = RNG.normal(size=(1, 6, axes))
    rotation = turn(40) if axes == 2 else Rotation.from_rotvec([0, np.radians(40), 0]).as_matrix()
    other = 3 * points @ rotation.T + 7
    fit = fit_pairs(points, other, needed=3)
    assert fit.distance[0, 0] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(fit.rotation[0, 0], rotation, atol=1e-9)
    assert fit.degrees()[0, 0] == pytest.approx(40)
    np.testing.assert_allclose(residuals(points[0], other[0], rotation=fit.rotation[0, 0]), 0, atol=1e-9)


@pytest.mark.parametrize("axes", [2, 3])
def test_distance_agrees_with_scipy(axes: int) -> None:
    # scipy allows reflections: it is the smaller of the unmirrored and the mirrored distance.
    a, b = RNG.normal(size=(2, 5, axes))
    ours = min(fit_pairs(x[None], b[None], needed=3).distance[0, 0] for x in (a, flipped(a, 0)))
    assert ours**2 == pytest.approx(procrustes(b, a)[2])


@pytest.mark.parametrize("axes", [2, 3])
def test_all_mirror_images_are_equally_far(axes: int) -> None:
    a, b = RNG.normal(size=(2, 1, 5, axes))
    distances = [fit_pairs(flipped(a, axis), b, needed=3).distance[0, 0] for axis in range(axes)]
    np.testing.assert_allclose(distances, distances[0])


def test_absent_points_do_not_count() -> None:
    points = RNG.normal(size=(1, 6, 2))
    other = points @ turn(30).T
    other[0, 5] = np.nan
    points[0, 0] = np.nan
    assert fit_pairs(points, other, needed=4).distance[0, 0] == pytest.approx(0, abs=1e-6)
    assert np.isnan(fit_pairs(points, other, needed=5).distance[0, 0])


def test_points_that_coincide_have_no_arrangement() -> None:
    assert np.isnan(fit_pairs(np.ones((1, 4, 2)), RNG.normal(size=(1, 4, 2)), needed=3).distance[0, 0])
