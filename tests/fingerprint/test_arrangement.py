"""Pairs of classes by name and by place."""

import numpy as np
import pytest

from autoseg.fingerprint.arrangement import measure_arrangement, pairs_by_name, pairs_by_place
from autoseg.fingerprint.likeness import unrelated
from tests.fingerprint.make import facts_of_points


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["left lung", "right lung", "heart"], (1, 0, 2)),
        (["Lung_L", "Lung_R"], (1, 0)),
        (["lungLeft", "lungRight"], (1, 0)),
        (["왼쪽 폐", "오른쪽 폐", "심장"], (1, 0, 2)),
        (["왼손", "오른손"], (1, 0)),
        (["kidney, left", "kidney, right", "left"], (1, 0, 2)),
        (["finger-1", "finger-2", "Lunate", "Radius"], (0, 1, 2, 3)),
        (["left atrium", "right ventricle"], (0, 1)),
    ],
)
def test_pairs_by_name(names: list[str], expected: tuple[int, ...]) -> None:
    assert pairs_by_name(names) == expected


def test_pairs_by_place_need_equal_sizes() -> None:
    chest = np.array([[0.0, -50.0], [2.0, 50.0], [-60.0, 0.0], [60.0, 1.0]])
    cases = chest + np.random.default_rng(0).normal(0, 1, (10, 4, 2))
    assert pairs_by_place(cases, np.full(4, 100.0)) == (1, 0, 2, 3)
    assert pairs_by_place(cases, np.array([100.0, 1000.0, 100.0, 100.0]))[:2] == (0, 1)


def test_one_class_or_one_case_has_no_arrangement() -> None:
    for points in (np.full((5, 1, 2), 9.0), np.random.default_rng(0).normal(size=(1, 5, 2))):
        facts = facts_of_points(points)
        found = measure_arrangement(facts, unrelated(facts, None), classes=["a"] * points.shape[1])
        assert found.fits == ()
        assert found.turn_median == 0


def test_classes_that_no_case_shows() -> None:
    points = np.random.default_rng(0).normal(size=(6, 5, 2))
    points[:, 4] = np.nan
    facts = facts_of_points(points)
    found = measure_arrangement(facts, unrelated(facts, None), classes=list("abcde"))
    assert found.cases == 6
    assert np.isfinite(found.fits[0].worst_ratio)


def test_two_points_in_space_have_a_direction() -> None:
    rng = np.random.default_rng(0)
    points = np.array([[0.0, 0, 0], [0, 0, 50]]) + rng.normal(0, 2, (20, 2, 3))
    facts = facts_of_points(points)
    found = measure_arrangement(facts, unrelated(facts, None), classes=["a", "b"])
    assert found.turn_cases == 20
    assert 1 < found.turn_median < 8


def both_hands(people: int) -> tuple[np.ndarray, list[str]]:
    """Right and left hand of each person in turn, the left one the exact mirror image of the right one; and the persons."""
    rng = np.random.default_rng(0)
    right = np.array([[0.0, -40], [10, -10], [30, 5], [-20, 25], [5, 60]]) + rng.normal(0, 3, (people, 5, 2))
    points = np.stack([right, right * [1, -1]], axis=1).reshape(2 * people, 5, 2)
    return points, [f"person {i // 2}" for i in range(2 * people)]


@pytest.mark.parametrize("people", [50, 100, 400])
def test_two_hands_in_turn_are_both_in_the_sample(people: int) -> None:
    # Every eighth of 800 hands in turn is a right one: a sample of those would find the mirrored arrangement nowhere.
    points, persons = both_hands(people)
    facts = facts_of_points(points, groups=persons)
    fit = measure_arrangement(facts, unrelated(facts, None), classes=list("abcde")).fits[0]
    assert fit.source == "as it stands"
    assert 0.85 < fit.ratio < 1.15


def test_a_persons_other_hand_proves_nothing() -> None:
    # The mirror image of a hand lies on the same person's other hand exactly; compared with that one the ratio would be 0.
    points, persons = both_hands(20)
    facts = facts_of_points(points, groups=persons)
    assert measure_arrangement(facts, unrelated(facts, None), classes=list("abcde")).fits[0].ratio > 0.85
