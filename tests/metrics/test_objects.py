"""Detected objects, in closed form."""

import math

import numpy as np
import pytest

from autoseg.labels import Mask
from autoseg.metrics.objects import object_f1


def row(text: str) -> Mask:
    """One object per run of #."""
    return np.array([[sign == "#" for sign in text]])


@pytest.mark.parametrize(
    ("said", "there", "f1"),
    [
        ("##..##", "##..##", 1),
        ("##....", "##..##", 2 / 3),  # one of two found
        ("##.#.#", "##....", 2 / 4),  # one of three is true
        ("#.....", "##....", 1),  # IoU 1/2 is enough
        ("#.....", "###...", 0),  # IoU 1/3 is not
        ("######", "##..##", 0),  # two objects run together: IoU 1/3 with each
        ("##.##.", "#####.", 0),  # one object in two halves: IoU 2/5 each
        ("......", "##....", 0),
        ("##....", "......", 0),
    ],
)
def test_runs(said: str, there: str, f1: float) -> None:
    assert object_f1(row(said), row(there), iou=0.5) == pytest.approx(f1)


def test_no_objects_at_all_are_nothing_to_measure() -> None:
    assert math.isnan(object_f1(row("..."), row("..."), iou=0.5))


def test_each_object_is_matched_once() -> None:
    # Both halves reach 1/2 with the one true object, and one of them counts: 2 * 1 / (2 + 1).
    assert object_f1(row("##.###"), row("#####."), iou=0.3) == pytest.approx(2 / 3)


def test_as_many_as_possible_are_matched() -> None:
    # The left prediction fits both true objects, the right one the right alone: a greedy match of the left with the right gains one only.
    said, there = np.zeros((2, 1, 20), np.bool_)
    said[0, 0:9] = said[0, 10:13] = True
    there[0, 1:5] = there[0, 6:12] = True
    assert object_f1(said, there, iou=0.2) == 1


def test_diagonal_pixels_are_one_object() -> None:
    diagonal = np.eye(3, dtype=np.bool_)
    other = diagonal.copy()
    other[2, 2] = False
    # One object of three pixels, found by one of two: IoU 2/3. As objects of one pixel each it would be 2 * 2 / (2 + 3).
    assert object_f1(other, diagonal, iou=0.5) == 1
    cube = np.zeros((3, 3, 3), np.bool_)
    cube[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = True
    assert object_f1(cube, np.ones((3, 3, 3), np.bool_), iou=3 / 27) == 1
