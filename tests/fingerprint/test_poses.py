"""Turn, mirror image and unusual arrangement of single cases, from arrangements whose pose is known."""

import numpy as np
import pytest

from autoseg.fingerprint import CasePose
from autoseg.fingerprint.poses import measure_poses
from tests.fingerprint.make import Points, facts_of_points, turn

# Rows of a hand, y down: finger tips, knuckles, wrist bones, forearm. A thumb to the left makes it a right hand.
FINGERS = [[-90.0, 20.0 * k] for k in (-1, 0, 1, 2)] + [[-40.0, 18.0 * k] for k in (-1, 0, 1, 2)] + [[-10.0, -60.0]]
WRIST = [[0.0, 12.0 * k] for k in (-1, 0, 1)]
HAND = np.array([*FINGERS, *WRIST, [50.0, -8.0], [50.0, 10.0]])
FOREARM = slice(12, 14)
NAMES = tuple(f"bone {k}" for k in range(len(HAND)))
ANGLES = np.array([-40.0, -20, -10, 0, 5, 15, 20, 30])


def poses_of(points: Points, names: tuple[str, ...] = NAMES) -> tuple[CasePose, ...]:
    return measure_poses(facts_of_points(points), classes=names)


def turned(angles: np.ndarray = ANGLES, shape: Points = HAND) -> Points:
    """Exact copies, turned."""
    return np.array([shape @ turn(angle).T + 128 for angle in angles])


def mirrored(points: Points) -> Points:
    return (points - 128) * [1, -1] + 128


def test_turns_are_measured_against_the_mean_pose() -> None:
    poses = poses_of(turned())
    centre = np.degrees(np.angle(np.exp(1j * np.radians(ANGLES)).mean()))  # the mean direction
    # `turn` carries y (down) towards x (right): anticlockwise on the screen.
    assert [pose.turn for pose in poses] == pytest.approx(list(ANGLES - centre), abs=0.01)
    assert [pose.case for pose in poses] == [f"case{i}" for i in range(8)]
    assert {pose.side for pose in poses} == {0}


def test_mirror_images_have_a_mean_of_their_own() -> None:
    # Left hands lie turned by 90 degrees, in the data set's habit; each hand still differs from its own kind by its own angle.
    left = (mirrored(turned()) - 128) @ turn(90).T + 128
    poses = poses_of(np.concatenate([turned(), left, left[:1]]))
    centre = np.degrees(np.angle(np.exp(1j * np.radians(ANGLES)).mean()))
    right_turns = [pose.turn for pose in poses[:8]]
    assert right_turns == pytest.approx(list(ANGLES - centre), abs=0.01)
    angles = np.append(-ANGLES, -ANGLES[0])  # a picture's mirror image is turned the other way
    own = np.degrees(np.angle(np.exp(1j * np.radians(angles)).mean()))
    assert [pose.turn for pose in poses[8:]] == pytest.approx(list(angles - own), abs=0.01)
    assert [pose.side for pose in poses] == [1] * 8 + [0] * 9  # the more frequent one is 0


def test_of_equally_frequent_sides_the_first_case_is_0() -> None:
    points = np.concatenate([mirrored(turned()), turned()])
    assert [pose.side for pose in poses_of(points)] == [0] * 8 + [1] * 8


def test_sides_of_classes_that_are_named_left_and_right() -> None:
    names = tuple(f"{side} {name}" for side in ("left", "right") for name in NAMES)
    points = np.full((16, 28, 2), np.nan)
    points[::2, :14] = mirrored(turned())
    points[1::2, 14:] = turned()
    poses = poses_of(points, names)
    assert [pose.side for pose in poses] == [0, 1] * 8
    centre = np.degrees(np.angle(np.exp(1j * np.radians(ANGLES)).mean()))
    assert [pose.turn for pose in poses[1::2]] == pytest.approx(list(ANGLES - centre), abs=0.01)


def test_a_bent_wrist_is_unusual() -> None:
    rng = np.random.default_rng(0)
    points = turned(rng.uniform(-30, 30, 40)) + rng.normal(0, 1, (40, 14, 2))
    bent = points.copy()
    for i in range(0, 40, 10):
        wrist = points[i, 10]
        bent[i, FOREARM] = (points[i, FOREARM] - wrist) @ turn(25).T + wrist
    unusual = [pose.unusual for pose in poses_of(bent) if pose.unusual is not None]
    assert len(unusual) == 40
    assert set(np.argsort(unusual)[-4:]) == {0, 10, 20, 30}
    # The forearm lies 52 mm below the wrist: bent by 25 degrees it misses its place by 2 * 52 * sin(12.5), about 22 mm, and misses it by
    # about 2 mm otherwise.
    assert min(np.sort(unusual)[-4:]) > 5 > 4.5 > max(np.sort(unusual)[:-4])


def test_copies_of_one_case_are_usual() -> None:
    assert [pose.unusual for pose in poses_of(turned(np.arange(12.0)))] == pytest.approx([1.0] * 12, abs=0.05)
    assert {pose.unusual for pose in poses_of(turned())} == {None}  # eight cases say nothing of how far a bone scatters


def test_a_missing_class_is_left_out() -> None:
    points = turned()
    points[3, :2] = np.nan
    points[5] = np.nan
    points[5, 0] = 1.0
    poses = poses_of(points)
    assert poses[3].side == 0
    assert poses[5] == CasePose(case="case5", turn=None, side=None, unusual=None)


@pytest.mark.parametrize(
    "points",
    [
        turned()[:, :1],  # one class
        turned()[:3],  # three cases
        np.random.default_rng(0).uniform(0, 256, (30, 14, 2)),  # no arrangement that is shared
    ],
)
def test_what_cannot_be_measured_is_none(points: Points) -> None:
    poses = poses_of(points, NAMES[: points.shape[1]])
    assert len(poses) == len(points)
    assert {pose.side for pose in poses} == {None}
    known = [pose for pose in poses if pose.turn is not None]
    assert len(known) <= len(points) // 5


def test_a_line_has_a_direction_and_no_sides() -> None:
    line = np.array([[-50.0, 0.0], [-20.0, 0.0], [10.0, 0.0], [60.0, 0.0]])
    points = turned(shape=line) + np.random.default_rng(0).normal(0, 0.3, (8, 4, 2))
    poses = poses_of(points, NAMES[:4])
    assert {pose.side for pose in poses} == {None}
    centre = np.degrees(np.angle(np.exp(1j * np.radians(ANGLES)).mean()))
    assert [pose.turn for pose in poses] == pytest.approx(list(ANGLES - centre), abs=2)


def test_volumes() -> None:
    rng = np.random.default_rng(0)
    body = np.array([[-60.0, 0, 0], [0, -30, -50], [0, -30, 50], [40, 20, 30], [50, -20, 0]])
    about_z = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])  # a quarter turn
    points = body + rng.normal(0, 1, (12, 5, 3))
    points[0] = points[0] @ about_z.T
    points[1] = points[1] * [1, 1, -1]
    poses = poses_of(points, NAMES[:5])
    assert [pose.side for pose in poses] == [0, 1] + [0] * 10
    assert poses[0].turn is not None
    # One of eleven is turned by 90: the mean of the rotations is tan a = 1 / 10 away from the others.
    assert poses[0].turn == pytest.approx(90 - np.degrees(np.arctan(0.1)), abs=3)
    assert all(pose.turn is not None and pose.turn < 12 for pose in poses[2:])
