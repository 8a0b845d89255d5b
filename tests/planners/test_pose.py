"""Flips and rotations from synthetic arrangements whose handedness is known."""

import numpy as np
import pytest

from autoseg.demo.shapes import BONES
from autoseg.fingerprint.arrangement import measure_arrangement
from autoseg.fingerprint.likeness import unrelated
from autoseg.planners.pose import FlipDecision, decide_pose
from tests.fingerprint.make import Points, facts_of_points, fingerprint, flip, phantom_hands, turn

# Four "bones" of a hand, y down, fingers up: the thumb to the left makes it a right hand. (y, x) in pixels about the middle.
HAND = np.array([[-60.0, -10.0], [-55.0, 15.0], [-40.0, 35.0], [5.0, -50.0], [50.0, 0.0], [52.0, 18.0]])
NAMES = ("index", "middle", "little", "thumb", "radius", "ulna")
MIRROR_X = np.array([1.0, -1.0])


def people(shape: Points, count: int, *, degrees: float = 20.0, seed: int = 0, noise: float = 2.5) -> Points:
    """(count, K, 2): the shape turned by up to +-degrees, scaled, moved, each point with its own variation."""
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(count):
        varied = shape + rng.normal(0, noise, shape.shape)
        cases.append(rng.uniform(0.8, 1.2) * varied @ turn(rng.uniform(-degrees, degrees)).T + 128 + rng.uniform(-20, 20, 2))
    return np.array(cases)


def decide(points: Points, names: tuple[str, ...] = NAMES, groups: list[str] | None = None, size: float = 12.0) -> FlipDecision:
    facts = facts_of_points(points, size=size, groups=groups)
    arrangement = measure_arrangement(facts, unrelated(facts, None), classes=names)
    return decide_pose(fingerprint(facts, names, arrangement=arrangement))


def both_hands(count: int = 40, degrees: float = 20.0) -> Points:
    hands = people(HAND, count, degrees=degrees)
    hands[::2] = (hands[::2] - 128) * MIRROR_X + 128
    return hands


def test_both_hands_flip_along_x_only() -> None:
    decision = decide(both_hands(), groups=[f"person{i // 2}" for i in range(40)])
    assert decision.mirror_axes == (1,)
    assert decision.mirror_swap == ()
    assert 18 <= decision.rotation_degrees <= 32  # drawn from +-20; the margin is 5


def test_one_hand_only_does_not_flip() -> None:
    decision = decide(people(HAND, 40))
    assert decision.mirror_axes == ()
    assert "no flips" in decision.reason


def test_classes_named_left_and_right_are_swapped() -> None:
    # Each image shows one hand, whose bones are named after its side: half the classes are absent from each case.
    hands = both_hands()
    names = tuple(f"{side} {name}" for side in ("left", "right") for name in NAMES)
    points = np.full((40, 12, 2), np.nan)
    points[::2, :6] = hands[::2]
    points[1::2, 6:] = hands[1::2]
    decision = decide(points, names)
    assert decision.mirror_axes == (1,)
    assert decision.mirror_swap == (6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5)


CHEST = np.array([[0.0, -50.0], [0.0, 50.0], [-60.0, -40.0], [-60.0, 40.0], [70.0, 0.0]])
CHEST_NAMES = ("left lung", "right lung", "left clavicle", "right clavicle", "spine")


def test_paired_organs_swap_by_name() -> None:
    decision = decide(people(CHEST, 40, degrees=8), CHEST_NAMES)
    assert decision.mirror_axes == (1,)
    assert decision.mirror_swap == (1, 0, 3, 2, 4)


def test_paired_organs_swap_by_their_place_if_names_say_nothing() -> None:
    decision = decide(people(CHEST, 40, degrees=8), ("a", "b", "c", "d", "e"))
    assert decision.mirror_swap == (1, 0, 3, 2, 4)
    assert "geometry" in decision.reason


def test_an_unpaired_heart_forbids() -> None:
    chest = np.vstack([CHEST, [[25.0, 20.0]]])
    decision = decide(people(chest, 40, degrees=8), (*CHEST_NAMES, "heart"))
    assert decision.mirror_axes == ()


def test_a_heart_among_many_paired_ribs_still_forbids() -> None:
    ribs = [[y, side * 60.0] for y in range(-60, 60, 10) for side in (-1, 1)]
    names = tuple(f"{side} rib {i}" for i in range(12) for side in ("left", "right"))
    chest = np.vstack([ribs, [[20.0, 14.0]]])
    decision = decide(people(chest, 60, degrees=8), (*names, "heart"))
    assert decision.mirror_axes == ()
    assert "heart" in decision.reason
    without = decide(people(np.array(ribs), 60, degrees=8), names)
    assert without.mirror_axes == (1,)


def test_randomly_rotated_both_handed_set_is_free() -> None:
    decision = decide(both_hands(degrees=180))
    assert decision.mirror_axes == (0, 1)
    assert decision.rotation_degrees == 180


def test_randomly_rotated_set_of_one_handedness_turns_and_does_not_flip() -> None:
    decision = decide(people(HAND, 40, degrees=180))
    assert decision.mirror_axes == ()
    assert decision.rotation_degrees == 180


def test_points_without_order_are_free() -> None:
    points = np.random.default_rng(0).uniform(40, 216, (60, 4, 2))
    decision = decide(points, ("a", "b", "c", "d"))
    assert decision.mirror_axes == (0, 1)
    assert decision.rotation_degrees == 180


def test_three_axes() -> None:
    rng = np.random.default_rng(1)
    body = np.array([[-60.0, 0, 0], [0, -30, -50], [0, -30, 50], [40, 20, 10], [50, -20, 0]])
    one_side = body + rng.normal(0, 2, (30, 5, 3)) + 128
    names = ("head", "left lung", "right lung", "liver", "bladder")
    assert decide(one_side, names).mirror_axes == ()
    symmetric = body.copy()
    symmetric[3] = [40, 20, 0]
    symmetric_set = symmetric + rng.normal(0, 2, (30, 5, 3)) + 128
    decision = decide(symmetric_set, names)
    assert decision.mirror_axes == (2,)
    assert decision.mirror_swap == (0, 2, 1, 3, 4)


def test_axes_of_a_net_on_slices() -> None:
    rng = np.random.default_rng(1)
    symmetric = np.array([[-60.0, 0, 0], [0, -30, -50], [0, -30, 50], [40, 20, 0], [50, -20, 0]])
    facts = facts_of_points(symmetric + rng.normal(0, 2, (30, 5, 3)) + 128)
    names = ("head", "left lung", "right lung", "liver", "bladder")
    made = fingerprint(facts, names, arrangement=measure_arrangement(facts, unrelated(facts, None), classes=names))
    assert decide_pose(made, slice_axis=0).mirror_axes == (1,)
    across = decide_pose(made, slice_axis=2)
    assert (across.mirror_axes, across.mirror_swap) == ((), ())


def test_too_few_cases_do_not_flip() -> None:
    assert decide(both_hands(3)).mirror_axes == ()


@pytest.mark.parametrize(
    ("upright", "flipped", "error", "axes"),
    [
        (0.02, 0.0, 0.0, (0,)),  # no common order
        (0.6, 0.58, 0.01, (0,)),  # order, and the flip keeps it
        (0.6, 0.58, 0.04, ()),  # not certain: no flip
        (0.6, 0.3, 0.01, ()),
    ],
)
def test_one_class_goes_by_low_resolution_pictures(upright: float, flipped: float, error: float, axes: tuple[int, ...]) -> None:
    facts = facts_of_points(np.full((10, 1, 2), 128.0))
    decision = decide_pose(fingerprint(facts, flips=(flip(0, upright, flipped, error=error), flip(1, 0.6, 0.1))))
    assert decision.mirror_axes == axes
    assert decision.rotation_degrees == 15


def test_texture_turns_freely() -> None:
    facts = facts_of_points(np.full((10, 1, 2), 128.0))
    decision = decide_pose(fingerprint(facts, flips=(flip(0, 0.02, 0.0), flip(1, 0.02, 0.01))))
    assert decision.mirror_axes == (0, 1)
    assert decision.rotation_degrees == 180


PERSONS = [f"person{i // 2}" for i in range(40)]


def test_the_phantom_with_both_hands_flips_along_x() -> None:
    decision = decide(phantom_hands()[0], BONES, PERSONS)
    assert (decision.mirror_axes, decision.mirror_swap) == ((1,), ())
    assert "harmless" in decision.reason
    assert 25 <= decision.rotation_degrees <= 45  # drawn from +-30, and half the bend of a wrist


@pytest.mark.parametrize("hand", [0, 1])
def test_one_hand_of_the_phantom_does_not_flip(hand: int) -> None:
    decision = decide(phantom_hands()[0][hand::2], BONES)
    assert (decision.mirror_axes, decision.mirror_swap) == ((), ())
    assert 25 <= decision.rotation_degrees <= 45


def test_the_phantoms_bones_named_left_and_right_change_places() -> None:
    hands = phantom_hands()[0]
    points = np.full((40, 58, 2), np.nan)
    points[::2, :29], points[1::2, 29:] = hands[::2], hands[1::2]
    decision = decide(points, tuple(f"{side} {bone}" for side in ("right", "left") for bone in BONES), PERSONS)
    assert decision.mirror_axes == (1,)
    assert decision.mirror_swap == (*range(29, 58), *range(29))


def test_the_phantom_at_any_angle_turns_freely() -> None:
    rng = np.random.default_rng(0)
    hands = np.array([(hand - 128) @ turn(rng.uniform(-180, 180)).T + 128 for hand in phantom_hands()[0]])
    both = decide(hands, BONES, PERSONS)
    assert (both.mirror_axes, both.rotation_degrees) == ((0, 1), 180)
    one = decide(hands[::2], BONES)
    assert (one.mirror_axes, one.rotation_degrees) == ((), 180)


def test_volumes_turned_any_way_in_space_are_free() -> None:
    rng = np.random.default_rng(0)
    body = np.array([[-60.0, 0, 0], [0, -30, -50], [0, -30, 50], [40, 20, 10], [50, -20, 0]])
    turns = np.linalg.qr(rng.normal(size=(40, 3, 3)))[0]
    turns *= np.sign(np.linalg.det(turns))[:, None, None]
    points = (body + rng.normal(0, 2, (40, 5, 3))) @ turns.transpose(0, 2, 1) + 128
    names = ("head", "left lung", "right lung", "liver", "bladder")
    decision = decide(points, names)
    assert (decision.mirror_axes, decision.rotation_degrees) == ((), 180)
    points[::2, :, 0] *= -1
    assert decide(points, names).mirror_axes == (0, 1, 2)


def test_a_scattered_texture_is_free_whatever_its_classes_are_called() -> None:
    points = np.random.default_rng(1).uniform(40, 216, (60, 4, 2))
    decision = decide(points, ("left a", "right a", "left b", "right b"))
    assert (decision.mirror_axes, decision.rotation_degrees) == ((0, 1), 180)
    assert decision.mirror_swap == ()
