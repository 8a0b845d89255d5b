"""Means, spread and intervals, in closed form or against numpy."""

import numpy as np
import pytest

from autoseg.metrics.statistics import DRAWS, describe_classes, draw

NAN = np.nan


def test_one_class() -> None:
    values = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    (found,), overall = describe_classes(values, draw(range(5)))
    assert (found.n, found.mean, found.median, found.q25, found.q75) == (5, 3.2, 2.0, 1.0, 3.0)
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert found == overall


def test_undefined_scores_count_nowhere() -> None:
    (one, none), overall = describe_classes(np.array([[0.5, NAN], [NAN, NAN], [1.0, NAN]]), draw("abc"))
    assert (one.n, one.mean) == (2, 0.75)
    assert (none.n, none.mean, none.low) == (0, None, None)
    assert (overall.n, overall.mean) == (2, 0.75)


def test_the_overall_mean_is_that_of_the_classes() -> None:
    # The first class is defined in one case: its mean counts as much as the second's.
    _, overall = describe_classes(np.array([[1.0, 0.0], [NAN, 0.5], [NAN, 1.0]]), draw("abc"))
    assert overall.mean == (1.0 + 0.5) / 2
    assert overall.median == 0.5  # of 0.5, 0.5, 1


def test_draws_are_units_and_repeat() -> None:
    drawn = draw(["ann", "bob", "ann", "eve"])
    assert drawn.weights.shape == (DRAWS, 4)
    np.testing.assert_array_equal(drawn.weights[:, 0], drawn.weights[:, 2])
    np.testing.assert_array_equal(drawn.weights[:, [0, 1, 3]].sum(axis=1), 3)
    np.testing.assert_array_equal(drawn.weights, draw(["ann", "bob", "ann", "eve"]).weights)


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(5, 2, (400, 1))
    (found,), _ = describe_classes(values, draw(range(400)))
    assert found.low is not None
    assert found.high is not None
    # The normal approximation: 1.96 standard errors; 2,000 draws know it to a few per cent.
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_pairs_that_are_alike_widen_the_interval_by_the_root_of_two() -> None:
    values = np.repeat(np.random.default_rng(2).normal(size=(200, 1)), 2, axis=0)
    widths = []
    for units in (range(400), [k // 2 for k in range(400)]):
        (found,), _ = describe_classes(values, draw(units))
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[1] / widths[0] == pytest.approx(2**0.5, rel=0.1)


@pytest.mark.parametrize("units", [["a"], ["a", "a", "a"]])
def test_one_unit_has_no_interval(units: list[str]) -> None:
    (found,), overall = describe_classes(np.linspace(0, 1, len(units))[:, None], draw(units))
    assert (found.low, found.high, overall.low) == (None, None, None)
    assert (found.std is None) == (len(units) == 1)
