"""A choice is never scored on the cases that made it, and chance is not taken for a gain."""

import numpy as np
import pytest

from autoseg.select.candidates import list_options
from autoseg.select.nested import MIN_GAIN, Sample, choose, judge, score
from autoseg.select.thresholds import best_threshold

SAMPLE = Sample(folds=np.array([0, 1, 2, 0, 1, 2]), units=tuple(range(6)))


def test_each_slot_sees_the_other_folds_alone() -> None:
    seen: dict[int, list[int]] = {}

    def fit(slot: int, rows: np.ndarray) -> np.ndarray:
        seen[slot] = np.flatnonzero(rows).tolist()
        return np.zeros(1, np.int64)

    assert len(choose(SAMPLE, fit)) == 4
    assert seen == {0: [1, 2, 4, 5], 1: [0, 2, 3, 5], 2: [0, 1, 3, 4], 3: [0, 1, 2, 3, 4, 5]}
    np.testing.assert_array_equal(score(SAMPLE, 1, lambda slot, rows: np.full((rows.sum(), 1), slot))[:, 0], [0, 1, 2, 0, 1, 2])


def test_what_is_best_on_its_own_cases_alone_gains_nothing() -> None:
    """Options of pure noise: the best of 200 looks good where it was chosen, and not elsewhere."""
    rng = np.random.default_rng(0)
    sample = Sample(folds=np.arange(100) % 5, units=tuple(range(100)))
    table = rng.normal(0.5, 0.1, (100, 200))
    chosen = choose(sample, lambda _, rows: np.array([table[rows].mean(axis=0).argmax()]))
    nested = score(sample, 1, lambda slot, rows: table[rows][:, chosen[slot]])[:, 0]
    at_home = table[:, chosen[-1][0]]
    before = np.full(100, 0.5)
    assert not judge(before, at_home, sample.units)[1], "scored on the cases that chose it, it seems to gain"
    assert judge(before, nested, sample.units)[1]


@pytest.mark.parametrize(
    ("gains", "why_not"),
    [
        (np.full(20, 0.01), ""),
        (np.full(20, -0.01), "no gain"),
        (np.zeros(20), "no gain"),
        (np.full(20, MIN_GAIN / 2), f"gains less than {MIN_GAIN:g}"),
        (np.array([0.2] + [0.0] * 19), "the gain may be chance"),
        (np.array([0.05, -0.04] * 10), "the gain may be chance"),
        (np.array([0.01] * 5), "the gain may be chance"),  # five of five: p = 0.06
        (np.array([0.01] * 6), ""),
    ],
)
def test_when_a_gain_counts(gains: np.ndarray, why_not: str) -> None:
    before = np.full(len(gains), 0.5)
    gain, found = judge(before, before + gains, range(len(gains)))
    assert found == why_not
    assert gain.difference == pytest.approx(gains.mean())


def test_cases_of_a_person_are_one_piece_of_evidence() -> None:
    before, after = np.full(10, 0.5), np.full(10, 0.6)
    assert judge(before, after, range(10))[1] == ""
    assert judge(before, after, [n // 2 for n in range(10)])[1] == "the gain may be chance"


def test_a_gain_elsewhere_is_not_paid_for_where_the_class_is() -> None:
    there = np.arange(20) < 5
    before, after = np.where(there, 0.8, 0.0), np.where(there, 0.0, 1.0)
    assert judge(before, after, range(20))[1] == ""
    assert judge(before, after, range(20), there)[1] == "loses where the class is there"


def test_a_threshold_that_never_predicts_a_rare_class_is_none() -> None:
    rare, absent = np.zeros(256), np.zeros(256)
    rare[:200] = 0.8
    absent[220:] = 1.0
    curves = np.stack([rare] + [absent] * 9)
    assert best_threshold(curves, np.zeros(10, bool)) >= 220
    assert best_threshold(curves, np.arange(10) == 0) == 128


def test_of_equal_thresholds_the_one_nearest_to_one_half() -> None:
    curve = np.zeros((1, 256))
    curve[0, 20:100] = 1
    assert best_threshold(curve, np.array([True])) == 99


@pytest.mark.parametrize(("members", "expected"), [(1, 1), (2, 5), (3, 17), (4, 16), (5, 32), (6, 6 + 2 + 15)])
def test_how_many_combinations_are_tried(members: int, expected: int) -> None:
    """Three: 15 in quarters, thirds. Four and five: all subsets. Six: singles, pairs, all. And from three on the hard vote."""
    options = list_options(members)
    assert len(options) == len(set(options)) == expected
    assert all(sum(option.weights) == pytest.approx(1) for option in options)
    assert [option.weights.index(1.0) for option in options[:members]] == list(range(members))
