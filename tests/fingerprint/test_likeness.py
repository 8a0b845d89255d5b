"""Neighbours and mirror images of low-resolution pictures."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from autoseg.fingerprint.likeness import measure_flips, measure_neighbours, unrelated
from autoseg.fingerprint.sketch import Sketch
from tests.fingerprint.make import case_facts, likeness


def sketches(images: NDArray[np.float64]) -> list[Sketch]:
    pictures = images.astype(np.float32)
    return [Sketch(image=p, classes=(p[None] > 0).astype(np.float32), foreground=np.zeros((1, 0), np.float32)) for p in pictures]


def noise(count: int, smooth: float = 0.0) -> NDArray[np.float64]:
    """Smooth in the plane; along the series, too, if `smooth`."""
    return gaussian_filter(np.random.default_rng(0).normal(size=(count, 32, 32)), (smooth, 2, 2))


def names(count: int) -> list[str]:
    return [f"s{i}" for i in range(count)]


def test_sections_of_a_block_are_alike() -> None:
    found = measure_neighbours(names(20), sketches(noise(20, smooth=2)))
    assert found is not None
    assert found.order[9:11] == ("s9", "s10")
    assert found.alike
    assert found.share_above > 0.9


def test_unrelated_images_are_not_alike() -> None:
    found = measure_neighbours(names(20), sketches(noise(20)))
    assert found is not None
    assert not found.alike


def test_a_shared_anatomy_is_no_likeness_of_neighbours() -> None:
    found = measure_neighbours(names(40), sketches(noise(40) + 5 * noise(1)))
    assert found is not None
    assert found.others_median > 0.9
    assert not found.alike


def test_few_cases_cannot_tell() -> None:
    assert measure_neighbours(names(3), sketches(noise(3))) is None


def test_related_pairs() -> None:
    cases = [case_facts("a1", group="a"), case_facts("a2", group="a"), case_facts("b1", group="b"), case_facts("c")]
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]
    assert unrelated(cases, None).astype(int).tolist() == expected


def test_in_a_series_only_far_pairs_are_unrelated() -> None:
    series = likeness(["s0", "s1", "s2", "s3"], (0.9, 0.9, 0.9))
    expected = [[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert unrelated([case_facts(name) for name in series.order], series).astype(int).tolist() == expected


def test_flips_of_an_ordered_set() -> None:
    # A gradient along y, symmetric along x
    y = np.linspace(-1, 1, 32)[:, None] * np.ones(32)
    along_y, along_x = measure_flips(sketches(y + 0.3 * noise(10)), ~np.eye(10, dtype=np.bool_))
    assert along_y.image > 0.8
    assert along_y.image_flipped < -0.8
    assert abs(along_x.image - along_x.image_flipped) < 0.05


def test_flips_of_texture() -> None:
    for found in measure_flips(sketches(noise(30)), ~np.eye(30, dtype=np.bool_)):
        assert abs(found.image) < 0.1
        assert abs(found.labels_flipped) < 0.1


def test_too_few_unrelated_cases() -> None:
    assert measure_flips(sketches(noise(5)), np.zeros((5, 5), np.bool_)) == ()
