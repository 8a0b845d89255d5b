"""Folds: groups stay together, folds are alike, the seed decides."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.case import Case
from autoseg.errors import PlanError
from autoseg.fingerprint import CaseFacts
from autoseg.planners.folds import Fold, Splits, in_groups, make_splits
from tests.fingerprint.make import case_facts, fingerprint, likeness


def numbered(count: int, groups: list[str] | None = None) -> list[CaseFacts]:
    return [case_facts(f"case{i:03}", group=groups[i] if groups else None) for i in range(count)]


def check(splits: Splits, cases: list[CaseFacts]) -> None:
    names = {case.name for case in cases}
    validated = [name for fold in splits.folds for name in fold.val]
    assert sorted(validated) == sorted(names)
    for fold in splits.folds:
        assert set(fold.train) == names - set(fold.val)
        for group in splits.groups:
            assert len(set(group) & set(fold.val)) in (0, len(group))


@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=30), seed=st.integers(0, 5), num_folds=st.integers(2, 7))
def test_groups_are_never_split_and_folds_are_even(sizes: list[int], seed: int, num_folds: int) -> None:
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    cases = numbered(len(groups), groups)
    splits = make_splits(fingerprint(cases), num_folds=num_folds, seed=seed)
    check(splits, cases)
    assert len(splits.folds) == min(num_folds, len(sizes))
    lengths = [len(fold.val) for fold in splits.folds]
    assert max(lengths) - min(lengths) <= max(sizes)


def test_hands_of_one_person_stay_together() -> None:
    cases = numbered(40, [f"person{i // 2}" for i in range(40)])
    splits = make_splits(fingerprint(cases))
    check(splits, cases)
    assert splits.rule == "groups"
    assert [len(fold.val) for fold in splits.folds] == [8] * 5


def test_cases_without_a_group_stand_beside_groups() -> None:
    cases = [*numbered(4, ["a", "a", "b", "b"]), case_facts("single"), case_facts("a")]
    splits = make_splits(fingerprint(cases))
    check(splits, cases)
    assert sorted(map(len, splits.groups)) == [1, 1, 2, 2]


def test_alike_neighbours_are_blocks() -> None:
    cases = numbered(20)
    order = [case.name for case in cases]
    splits = make_splits(fingerprint(cases, neighbours=likeness(order, [0.8] * 19)))
    check(splits, cases)
    assert splits.rule == "blocks"
    assert sorted(fold.val for fold in splits.folds) == [tuple(order[i : i + 4]) for i in range(0, 20, 4)]


def test_many_series_are_a_block_each() -> None:
    cases = numbered(36)
    order = [case.name for case in cases]
    values = [0.1 if i % 3 == 2 else 0.9 for i in range(35)]  # twelve series of three
    splits = make_splits(fingerprint(cases, neighbours=likeness(order, values)))
    check(splits, cases)
    assert set(splits.groups) == {tuple(order[i : i + 3]) for i in range(0, 36, 3)}


def test_neighbours_that_are_not_alike_are_single_cases() -> None:
    cases = numbered(20)
    splits = make_splits(fingerprint(cases, neighbours=likeness([c.name for c in cases], [0.2] * 19)))
    assert splits.rule == "cases"
    assert "not alike" in splits.reasons["groups"]


def test_a_rare_class_is_spread() -> None:
    common = case_facts("x").classes[0]
    cases = [case_facts(f"case{i:02}", classes=(common, common if i < 5 else None)) for i in range(25)]
    splits = make_splits(fingerprint(cases, ("common", "rare")))
    rare = {f"case{i:02}" for i in range(5)}
    assert [len(rare & set(fold.val)) for fold in splits.folds] == [1] * 5
    assert [len(fold.val) for fold in splits.folds] == [5] * 5
    assert "missing" not in splits.reasons


def test_a_class_of_one_case_is_said_to_be_missing() -> None:
    common = case_facts("x").classes[0]
    cases = [case_facts(f"case{i}", classes=(common, common if i == 0 else None)) for i in range(6)]
    assert "trains without rare" in make_splits(fingerprint(cases, ("common", "rare"))).reasons["missing"]


def test_the_seed_decides() -> None:
    cases = numbered(30)
    assert make_splits(fingerprint(cases), seed=1) == make_splits(fingerprint(cases), seed=1)
    assert make_splits(fingerprint(cases), seed=1).folds != make_splits(fingerprint(cases), seed=2).folds


def test_fewer_cases_than_folds() -> None:
    splits = make_splits(fingerprint(numbered(3)))
    assert len(splits.folds) == 3
    assert "5 asked for" in splits.reasons["folds"]


def test_one_case_cannot_be_split() -> None:
    with pytest.raises(PlanError, match="holds 1 labelled case"):
        make_splits(fingerprint(numbered(1)))


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(PlanError, match="belong to one group"):
        make_splits(fingerprint(numbered(3, ["a", "a", "a"])))


def test_a_fold_edited_by_hand_is_checked() -> None:
    with pytest.raises(ValueError, match="in train and val"):
        Fold(train=("a", "b"), val=("b",))
    with pytest.raises(ValueError, match="at least one case"):
        Fold(train=(), val=("b",))


def test_cases_in_the_groups_of_the_splits() -> None:
    """A person that the data set declares keeps the name; blocks and groups by names have none and are numbered."""
    folds = (Fold(train=("c", "d"), val=("a", "b")), Fold(train=("a", "b"), val=("c", "d")))
    splits = Splits(rule="blocks", seed=0, groups=(("a", "b"), ("c", "d")), folds=folds)
    cases = [Case(name=name, images=(), group="ann" if name in "cd" else None) for name in "abcd"]
    assert [case.group for case in in_groups(splits, cases)] == ["group 1", "group 1", "ann", "ann"]
    assert [case.group for case in in_groups(replace(splits, rule="cases"), cases)] == [None, None, "ann", "ann"]
    unknown = [*cases, Case(name="new", images=())]
    assert in_groups(splits, unknown) == tuple(unknown)
