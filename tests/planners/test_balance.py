"""Dealing to folds: expectations in closed form."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.demo.shapes import BONES
from autoseg.fingerprint import CasePose, Fingerprint
from autoseg.fingerprint.poses import measure_poses
from autoseg.planners.balance import Trait, deal, say_balance, traits_of
from autoseg.planners.folds import Splits, make_splits
from tests.fingerprint.make import case_facts, facts_of_points, fingerprint, phantom_hands


def posed(turns: Sequence[float | None], sides: Sequence[int | None], unusual: Sequence[float | None]) -> Fingerprint:
    """A data set of these poses."""
    names = [f"case{i:03}" for i in range(len(turns))]
    poses = tuple(CasePose(case=n, turn=t, side=s, unusual=u) for n, t, s, u in zip(names, turns, sides, unusual, strict=True))
    return fingerprint([case_facts(name) for name in names], poses=poses)


def counts(splits: Splits, members: Sequence[int]) -> list[int]:
    names = {f"case{i:03}" for i in members}
    return [len(names.intersection(fold.val)) for fold in splits.folds]


def test_rare_poses_are_a_tenth_of_every_fold() -> None:
    # 5 of 50 wrists are bent, anywhere in the series; left and right hands in turn; turns at random.
    rng = np.random.default_rng(0)
    bent = (3, 4, 17, 30, 31)
    made = posed(rng.uniform(-30, 30, 50).tolist(), [0, 1] * 25, [9.0 + i if i in bent else rng.uniform(1, 3) for i in range(50)])
    splits = make_splits(made)
    assert counts(splits, range(50)) == [10] * 5
    assert counts(splits, bent) == [1] * 5
    assert counts(splits, range(0, 50, 2)) == [5] * 5
    order = np.argsort([pose.turn for pose in made.poses if pose.turn is not None])
    for quarter in np.split(order, [12, 25, 37]):  # 12 or 13 cases in 5 folds
        assert set(counts(splits, quarter.tolist())) <= {2, 3}


def test_the_file_says_what_is_balanced_and_how_even() -> None:
    made = posed([float(i) for i in range(20)], [0, 1] * 10, [float(i) for i in range(20)])
    said = make_splits(made).reasons["balance"]
    assert said == (
        "classes: even; mirror image 1: 2, mirror image 2: 2; "
        "quarter 1 by turn: 1, quarter 2 by turn: 1, quarter 3 by turn: 1, quarter 4 by turn: 1; "
        "the 5% of most unusual poses: 0 to 1, the 10% of most unusual poses: 0 to 1, "
        "the 20% of most unusual poses: 0 to 1, the 40% of most unusual poses: 1 to 2"
    )


def test_poses_that_were_not_measured_are_said_so() -> None:
    nothing = [None] * 10
    assert traits_of(posed(nothing, nothing, nothing)) == [Trait(kind="class", name="a", cases=frozenset(f"case{i:03}" for i in range(10)))]
    assert make_splits(posed(nothing, nothing, nothing)).reasons["balance"].endswith("; no pose could be measured")


def test_one_side_only_is_no_trait() -> None:
    kinds = [trait.kind for trait in traits_of(posed([1.0, 2.0, 3.0, 4.0], [0, 0, None, 0], [1.0] * 4))]
    assert kinds == ["class"] + ["turn"] * 4 + ["unusual"] * 4


@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=40),
    rare=st.sets(st.integers(0, 100), max_size=12),
    count=st.integers(2, 7),
    seed=st.integers(0, 3),
)
def test_number_comes_first(sizes: list[int], rare: set[int], count: int, seed: int) -> None:
    names = [f"n{i}" for i in range(sum(sizes))]
    ends = np.cumsum(sizes)
    groups = [tuple(names[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
    traits = [Trait(kind="class", name="rare", cases=frozenset(names[i] for i in rare if i < len(names)))]
    count = min(count, len(groups))
    dealt = deal(groups, traits, count=count, seed=seed)
    assert sorted(g for fold in dealt for g in fold) == list(range(len(groups)))
    assert all(dealt)
    lengths = [sum(sizes[g] for g in fold) for fold in dealt]
    assert max(lengths) - min(lengths) <= max(sizes)


@given(marks=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=10, max_size=40), seed=st.integers(0, 3))
def test_single_cases_of_one_trait_are_as_even_as_can_be(marks: list[tuple[bool, bool, bool]], seed: int) -> None:
    # Alone, a trait can always be dealt so that folds differ by one; the two others are of kinds that do not count here.
    names = [f"n{i}" for i in range(len(marks))]
    traits = [Trait(kind="class", name="a", cases=frozenset(n for n, m in zip(names, marks, strict=True) if m[0]))]
    dealt = deal([(name,) for name in names], traits, count=5, seed=seed)
    held = [len(traits[0].cases.intersection(names[g] for g in fold)) for fold in dealt]
    assert max(held) - min(held) <= 1
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_exchanges_mend_what_dealing_in_turn_cannot() -> None:
    # Four kinds of cases, two of each, two folds: every fold must get one of each.
    names = [f"{a}{b}{k}" for a in "xy" for b in "uv" for k in (0, 1)]
    traits = [Trait(kind=letter, name=letter, cases=frozenset(n for n in names if letter in n)) for letter in "xyuv"]
    for seed in range(10):
        dealt = deal([(name,) for name in names], traits, count=2, seed=seed)
        assert [len(fold) for fold in dealt] == [4, 4]
        assert {say_balance([[names[g] for g in fold] for fold in dealt], traits)} == {"x: 2; y: 2; u: 2; v: 2"}


@pytest.mark.parametrize("seed", range(3))
def test_the_phantoms_hands(seed: int) -> None:
    points, bent = phantom_hands()
    facts = facts_of_points(points, groups=[f"person{i // 2}" for i in range(40)])
    made = fingerprint(facts, BONES, poses=measure_poses(facts, classes=BONES))
    assert [pose.side for pose in made.poses] == [0, 1] * 20
    splits = make_splits(made, seed=seed)
    place = {name: f for f, fold in enumerate(splits.folds) for name in fold.val}
    folds = np.array([place[case.name] for case in facts])
    assert np.bincount(folds).tolist() == [8] * 5
    assert np.bincount(folds[::2]).tolist() == [4] * 5
    held = {trait.name: np.bincount([place[name] for name in trait.cases], minlength=5) for trait in traits_of(made)}
    assert set(held["the 20% of most unusual poses"]) <= {1, 2}  # 8 cases
    assert set(held["the 40% of most unusual poses"]) <= {2, 3, 4}  # 16 cases, two by two
    assert sum(bent) == 8
    assert np.bincount(folds[np.array(bent)], minlength=5).min() >= 1
