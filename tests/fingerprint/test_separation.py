"""Linear discriminants against the accuracy that two normal distributions allow."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from autoseg.fingerprint.separation import told_apart


def others(count: int) -> NDArray[np.bool_]:
    return ~np.eye(count, dtype=np.bool_)


def judge(features: NDArray[np.float64], partners: NDArray[np.bool_] | None = None, *, floor: float = 1e-3) -> NDArray[np.float64]:
    count, _, dims = features.shape
    return told_apart(features, others(count) if partners is None else partners, floor=np.full(dims, floor), least=8)


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.5, 4.0])
def test_accuracy_is_that_of_two_normal_distributions(distance: float) -> None:
    # Along one of three correlated features; the best discriminant is right with probability Phi(d / 2).
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 0.0], [0.0, 0.3, 1.0]])
    features = rng.normal(size=(600, 2, 3))
    features[:, 1, 0] += distance
    found = judge(features @ mixing)
    assert found[0, 1] == found[1, 0] == pytest.approx(norm.cdf(distance / 2), abs=0.03)
    assert np.isnan(np.diag(found)).all()


def test_differences_below_the_floor_tell_nothing() -> None:
    # Without scatter of its own, a class differs in one feature by a little and in nothing else; noise far above lies in the other.
    rng = np.random.default_rng(0)
    features = np.zeros((100, 2, 2))
    features[..., 1] = 0.05 * rng.normal(size=(100, 2))
    features[:, 1, 0] = 0.001
    assert judge(features, floor=1e-6)[0, 1] == 1
    assert judge(features, floor=0.05)[0, 1] < 0.7


def test_only_unrelated_cases_are_learnt_from() -> None:
    # In two halves the sign of the difference is opposite: each half names itself rightly and the other wrongly.
    rng = np.random.default_rng(0)
    features = 0.1 * rng.normal(size=(40, 2, 1))
    features[:20] += [[-1], [1]]
    features[20:] += [[1], [-1]]
    half = np.arange(40) < 20
    same = half[:, None] == half[None]
    assert judge(features, same & others(40))[0, 1] == 1
    assert judge(features, ~same)[0, 1] == 0


def test_rare_classes_are_not_judged() -> None:
    features = np.random.default_rng(0).normal(size=(40, 3, 2))
    features[7:, 2] = np.nan
    found = judge(features)
    assert np.isnan(found[2]).all()
    assert not np.isnan(found[0, 1])
