"""Monotone regression against its definition."""

import numpy as np
import pytest

from autoseg.metrics.isotonic import fit_isotonic


def test_what_rises_already_is_kept() -> None:
    x, y = np.array([3.0, 1.0, 2.0]), np.array([9.0, 1.0, 4.0])
    knots, values = fit_isotonic(x, y)
    assert knots.tolist() == [1, 2, 3]
    assert values.tolist() == [1, 4, 9]


def test_what_falls_all_the_way_becomes_its_mean() -> None:
    knots, values = fit_isotonic(np.arange(4.0), np.array([3.0, 2.0, 1.0, 0.0]))
    assert (knots.tolist(), values.tolist()) == ([1.5], [1.5])


def test_equal_places_count_with_their_mean_and_number() -> None:
    # 3 points of mean 2 at x = 0, one of 0 at x = 1: the pooled mean is 6/4.
    knots, values = fit_isotonic(np.array([0.0, 0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0, 0.0]))
    assert (knots.tolist(), values.tolist()) == ([0.25], [1.5])


def test_no_rising_step_curve_is_nearer() -> None:
    # The solution is the one whose blocks' means satisfy max over starts of min over ends (Barlow and others 1972).
    y = np.random.default_rng(0).normal(size=12) + np.linspace(0, 1, 12)
    knots, values = fit_isotonic(np.arange(12.0), y)
    expected = [max(min(y[a : b + 1].mean() for b in range(i, 12)) for a in range(i + 1)) for i in range(12)]
    assert np.all(np.diff(values) > 0)
    assert np.allclose(values, sorted(set(np.round(expected, 12))))
    assert np.allclose(np.unique(np.round(expected, 9)), np.round(values, 9))
    assert len(knots) == len(values)


def test_nothing_to_fit_is_said() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        fit_isotonic(np.array([]), np.array([]))
