"""Weighted draws: exact shares within a pass, and what equal weights draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.trainers.weighting import draw_class, pass_order, weights_of


def test_names_without_a_weight_weigh_one() -> None:
    assert weights_of(("a", "b", "c"), {"b": 3.0, "elsewhere": 9.0}).tolist() == [1, 3, 1]


@given(st.lists(st.floats(0.05, 20), min_size=1, max_size=12), st.integers(0, 1000))
def test_each_comes_as_often_as_its_weight_says(weights: list[float], seed: int) -> None:
    array = np.array(weights)
    order = pass_order(array, np.random.default_rng(seed))
    expected = len(weights) * array / array.sum()
    counts = np.bincount(order, minlength=len(weights))
    assert counts.sum() == len(weights) == len(counts)
    assert (np.abs(counts - expected) < 1 + 1e-9).all()


def test_fractions_are_met_over_many_passes() -> None:
    weights = np.array([1.0, 1, 1, 2.5])
    counts = sum(np.bincount(pass_order(weights, np.random.default_rng([7, k])), minlength=4) for k in range(2000))
    assert counts / 2000 == pytest.approx(4 * weights / weights.sum(), abs=0.04)


def test_orders_differ_from_pass_to_pass() -> None:
    weights = np.array([1.0, 2, 1, 2])
    orders = {tuple(pass_order(weights, np.random.default_rng([0, k])).tolist()) for k in range(20)}
    assert len(orders) > 5


def test_equal_weights_draw_as_none_would() -> None:
    weights = np.full(5, 3.0)
    assert pass_order(weights, np.random.default_rng(1)).tolist() == np.random.default_rng(1).permutation(5).tolist()
    assert draw_class(np.random.default_rng(2), weights) == int(np.random.default_rng(2).integers(5))


def test_classes_are_drawn_by_their_weights() -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount([draw_class(rng, np.array([1.0, 3.0])) for _ in range(2000)])
    assert counts / 2000 == pytest.approx([0.25, 0.75], abs=0.03)
