"""Exclusive or overlapping, from the measured overlap."""

import pytest

from autoseg.planners.labels import decide_labels
from tests.fingerprint.make import case_facts, fingerprint

NAMES = ("bone", "nail", "ring")


@pytest.mark.parametrize(("shared", "exclusive"), [(0, True), (1, True), (2, False), (500, False)])
def test_overlap_of_any_pair_decides(shared: int, *, exclusive: bool) -> None:
    # 0.1 % of the smaller class, 1,000 pixels, is still touching.
    overlap = ((90_000, 0, 0), (0, 1_000, shared), (0, shared, 5_000))
    cases = [case_facts("a", classes=(None, None, None))]
    space, reason = decide_labels(fingerprint(cases, NAMES, overlap=overlap))
    assert space.exclusive is exclusive
    assert space.values == ((1, 2, 3) if exclusive else ())
    assert space.num_heads == (4 if exclusive else 3)
    assert ("nail and ring" in reason) == (shared > 0)


def test_regions_overlap_whatever_was_measured() -> None:
    cases = [case_facts("a", classes=(None, None))]
    space, reason = decide_labels(fingerprint(cases, ("whole", "core"), values={1: ("whole",), 2: ("whole", "core")}))
    assert not space.exclusive
    assert "regions" in reason


def test_declared_values_and_ignore_are_kept() -> None:
    cases = [case_facts("a", classes=(None, None))]
    space, _ = decide_labels(fingerprint(cases, ("a", "b"), values={7: ("b",), 3: ("a",)}, has_ignore=True))
    assert space.values == (3, 7)
    assert space.has_ignore


def test_one_class_is_exclusive() -> None:
    assert decide_labels(fingerprint([case_facts("a")]))[0].exclusive
