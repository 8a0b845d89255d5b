"""Paired differences, in closed form."""

import numpy as np
import pytest

from autoseg.metrics.paired import Paired, compare_pairs, holm


def compare(a: list[float], b: list[float], units: list[str] | None = None) -> Paired:
    return compare_pairs(np.array(a), np.array(b), units or [str(k) for k in range(len(a))])


def test_all_better() -> None:
    found = compare([0.5] * 6, [0.6, 0.7, 0.8, 0.9, 1.0, 0.55])
    assert (found.n, found.units, found.better, found.worse, found.effect) == (6, 6, 6, 0, 1)
    assert found.p == pytest.approx(2 / 2**6)  # the exact two-sided test: all of six signs alike
    assert found.difference == pytest.approx(np.mean([0.1, 0.2, 0.3, 0.4, 0.5, 0.05]))
    assert found.median == pytest.approx(0.25)
    assert found.low is not None
    assert found.difference is not None
    assert 0.05 < found.low < found.difference


def test_the_other_way_round_is_the_negative() -> None:
    a, b = [0.1, 0.5, 0.9, 0.3], [0.2, 0.45, 0.95, 0.6]
    there, back = compare(a, b), compare(b, a)
    assert there.p == back.p
    assert there.effect == pytest.approx(-(back.effect or 0))
    assert there.difference == pytest.approx(-(back.difference or 0))


def test_the_effect_weighs_ranks() -> None:
    # Ranks 1 and 2 up, rank 3 down: (1 + 2 - 3) / 6.
    assert compare([0, 0, 0], [0.1, 0.2, -0.3]).effect == 0


def test_equal_runs() -> None:
    found = compare([0.1, 0.2], [0.1, 0.2])
    assert (found.p, found.effect, found.difference, found.better, found.worse) == (1, 0, 0, 0, 0)


def test_cases_of_a_group_are_one_pair() -> None:
    found = compare([0.0] * 4, [0.1, 0.3, -0.1, 0.1], ["ann", "ann", "bob", "bob"])
    assert (found.n, found.units, found.better, found.worse) == (4, 2, 1, 0)
    assert found.difference == pytest.approx(0.1)
    assert found.p == 1  # of one pair that moved: both signs are as likely


def test_undefined_pairs_are_left_out() -> None:
    found = compare([0.5, np.nan, 0.5], [0.6, 0.6, np.nan])
    assert (found.n, found.mean_a, found.mean_b, found.low) == (1, 0.5, 0.6, None)
    assert compare([np.nan], [0.5]) == Paired(n=0, units=0)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
