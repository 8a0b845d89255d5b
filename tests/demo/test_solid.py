"""Solids against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.demo.shapes import BONES, PLATES, TUBES, plate_points, tube_points
from autoseg.demo.solid import chords, close_curve, inflate, look_up, signed_distance


def _circle(radius: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_distance_from_a_circle() -> None:
    points = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, -4.9], [5.2, 0.0], [6.0, 8.0]])
    expected = 5.0 - np.linalg.norm(points, axis=1)
    assert signed_distance(close_curve(_circle(5.0)), points) == pytest.approx(expected, abs=0.01)


def test_chord_through_a_ball_and_its_shell() -> None:
    # With a half depth of its radius, the inflated circle is nearly a ball: 2 sqrt(r^2 - x^2) long at x.
    solid = inflate(_circle(5.0), step=0.2, flatness=1.0, half_depth=4.75, cortex=(1.0, 1.0), shaft=(0.0, 0.0))
    x, y = np.array([0.0, 2.0, 4.0], np.float32), np.zeros(3, np.float32)
    met = chords(solid, y, look_up(solid, x, y), thickness=1.0)
    assert met.cortical + met.spongy == pytest.approx(2 * np.sqrt(25 - x.astype(float) ** 2), rel=0.06)
    assert (met.cortical > 0).all()
    # Towards the rim the ray runs in the shell.
    assert np.all(np.diff(met.cortical / (met.cortical + met.spongy)) > 0)


def test_no_chord_is_negative_and_none_is_longer_than_the_bone_is_deep() -> None:
    points = tube_points(TUBES["finger-7"], asymmetry=0.5)
    solid = inflate(points, step=0.35, flatness=0.92, half_depth=0.0, cortex=(0.55, 2.2), shaft=(16.0, 51.0))
    y, x = np.meshgrid(np.linspace(0, 67, 200, dtype=np.float32), np.linspace(-8, 8, 60, dtype=np.float32))
    distance = look_up(solid, x, y)
    inside = distance > 0
    met = chords(solid, y[inside], distance[inside], thickness=1.3)
    assert met.cortical.min() >= 0
    assert met.spongy.min() >= 0
    assert (met.cortical + met.spongy).max() <= 2 * solid.half_depth.max() + 1e-4


def test_every_bone_has_a_shape_drawn_counter_clockwise() -> None:
    assert len(BONES) == len(set(BONES)) == 29
    assert set(BONES) == {*TUBES, *PLATES} - {"sesamoid", "hook"}
    for name in BONES:
        points = tube_points(TUBES[name], asymmetry=0.0) if name in TUBES else plate_points(name)
        x, y = points.T
        assert np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) > 0, name
