"""A hand laid on the detector: where each bone of a person lies, and how the hand lies in the picture.

Every placement is an affine map as a (2, 3) matrix. Picture coordinates are fractions of its side (0..1, x to the right, y down), so
a pose does not know the size in pixels. Bending a finger towards the palm shortens its bones along their axis in projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.demo.anatomy import Person
from autoseg.demo.shapes import BONES, DIGITS, FOREARM, FloatArray, plate_points

_DISTAL_ROW = ("Trapezium", "Trapezoid", "Capitate", "Hamate", "hook")
_PROXIMAL_ROW = ("Scaphoid", "Lunate", "Triquetrum", "Pisiform")
_WRIST = np.array([1.0, 12.0])  # the capitate's head, about which a wrist bends
_GAPS_MM = (-0.4, 0.0, 0.0)  # from tip to base, whose rim reaches round the tip: the cartilage shows as a wider gap


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A bone of the person under its name and the map from its own mm to mm of the hand."""

    bone: str
    matrix: FloatArray


@dataclass(frozen=True, kw_only=True)
class Pose:
    """placements: every bone, unnamed ones last. joints: per digit the (N, 2) mm from the metacarpal's base to the finger tip.

    forearm: (2, 2) mm of its axis from the wrist down. to_picture: (2, 3) mm of the hand to fractions of the picture. needed: (N, 2)
    mm of points that must stay in the picture.
    """

    placements: tuple[Placement, ...]
    joints: tuple[FloatArray, ...]
    forearm: FloatArray
    to_picture: FloatArray
    needed: FloatArray
    bent: bool


def apply(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Map points (N, 2) by a (2, 3) matrix."""
    moved: FloatArray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def compose(outer: FloatArray, inner: FloatArray) -> FloatArray:
    """The (2, 3) matrix of inner followed by outer."""
    return np.hstack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]])


def _lean(degrees: float, origin: FloatArray, *, wide: float = 1.0, long: float = 1.0) -> FloatArray:
    """Place a bone that stands on origin and leans from y towards x by degrees."""
    angle = np.deg2rad(degrees)
    across, along = np.array([np.cos(angle), -np.sin(angle)]), np.array([np.sin(angle), np.cos(angle)])
    return np.column_stack([wide * across, long * along, origin])


def _turn(degrees: float, pivot: FloatArray, *, shift: FloatArray, scale: float = 1.0) -> FloatArray:
    """Turn clockwise (y towards x) by degrees about pivot, then shift."""
    matrix = _lean(degrees, np.zeros(2), wide=scale, long=scale)
    matrix[:, 2] = pivot + shift - matrix[:, :2] @ pivot
    return matrix


def draw_pose(rng: np.random.Generator, person: Person, *, right: bool, bent_share: float) -> Pose:
    """Draw how one hand lies; a share of the wrists is bent towards the little finger, or (one in three) the thumb."""
    bent = bool(rng.random() < bent_share)
    wrist = float(rng.uniform(17, 34) * rng.choice([-1.0, -1.0, 1.0])) if bent else float(np.clip(rng.normal(0, 4.5), -10, 10))
    placements, joints = _draw_digits(rng, person)
    # The proximal row follows a bend half way (the scaphoid, bound to the distal row, less), the forearm all the way. A bent wrist is
    # tilted too, which closes its gaps.
    closer = np.array([0.0, float(rng.uniform(0.5, 2.5)) if bent else float(rng.normal(0, 0.35))])
    for share, names in ((0.0, _DISTAL_ROW), (0.3, _PROXIMAL_ROW[:1]), (0.45, _PROXIMAL_ROW[1:]), (1.0, FOREARM)):
        for name in names:
            matrix = _turn(-wrist * share, _WRIST, shift=share * closer + rng.normal(0, 0.25, 2), scale=float(np.exp(rng.normal(0, 0.008))))
            placements.append(Placement(bone=name, matrix=matrix))
    forearm = apply(_turn(-wrist, _WRIST, shift=closer), np.array([[2.5, 0.0], [0.0, -170.0]]))
    order = {name: number for number, name in enumerate(BONES)}
    placements.sort(key=lambda placement: order.get(placement.bone, len(order)))
    needed = _needed(rng, joints, forearm)
    turn = float(rng.uniform(-30, 30)) * (0.75 if bent else 1.0) + 0.5 * wrist
    to_picture = _lay_down(rng, needed, turn=turn, right=right, size=person.size)
    return Pose(placements=tuple(placements), joints=tuple(joints), forearm=forearm, to_picture=to_picture, needed=needed, bent=bent)


def _draw_digits(rng: np.random.Generator, person: Person) -> tuple[list[Placement], list[FloatArray]]:
    """Walk along every digit from its metacarpal, with spread, bend sideways and bend towards the palm."""
    spread = float(rng.uniform(0.1, 1.7))
    curl = float(rng.choice([0.0, 16.0, 34.0], p=[0.55, 0.30, 0.15]))
    placements: list[Placement] = []
    joints = []
    for digit, names in enumerate(DIGITS):
        lean, at = float(person.leans[digit]), person.bases[digit] + rng.normal(0, 0.2, 2)
        lean += float(rng.uniform(-16, 16)) if digit == 0 else float(rng.normal(0, 0.8))
        fan = (0.0, 5.5, 0.0, -5.0, -11.0)[digit] * (spread - 0.45) + float(rng.normal(0, 1.6))
        flexion, stops = 0.0, [at]
        for number, name in enumerate(names):
            if number:
                lean += (float(rng.uniform(-16, 6)) if digit == 0 else fan) if number == 1 else float(rng.normal(0, 3.0))
                flexion += max(0.0, curl * (0.4, 0.9, 0.5)[number - 1] + float(rng.normal(3, 4)))
            # A tilted bone shows its length times the cosine, and part of its end face.
            long = np.cos(np.deg2rad(min(flexion, 62.0))) + 0.22 * np.sin(np.deg2rad(min(flexion, 62.0)))
            long *= float(np.exp(rng.normal(0, 0.006)))
            matrix = _lean(lean, at, long=float(long), wide=float(np.exp(rng.normal(0, 0.008))))
            placements.append(Placement(bone=name, matrix=matrix))
            tip = person.lengths[name]
            stops.append(apply(matrix, np.array([[0.0, tip]]))[0])
            gap = _GAPS_MM[min(number, 2)] * float(np.cos(np.deg2rad(1.5 * flexion)))
            at = apply(matrix, np.array([[0.0, tip]]))[0] + gap * np.array([np.sin(np.deg2rad(lean)), np.cos(np.deg2rad(lean))])
            if digit == 0 and number == 0:
                for side in (-3.6, 3.2):
                    seat = apply(matrix, np.array([[side + rng.normal(0, 0.4), tip - 4.0 + rng.normal(0, 0.6)]]))[0]
                    placements.append(Placement(bone="sesamoid", matrix=_lean(lean, seat)))
        joints.append(np.array(stops))
    return placements, joints


def _needed(rng: np.random.Generator, joints: list[FloatArray], forearm: FloatArray) -> FloatArray:
    """Points that must stay in the picture: finger tips and joints, the carpals, and 18 to 42 mm of the forearm."""
    axis = (forearm[1] - forearm[0]) / np.linalg.norm(forearm[1] - forearm[0])
    down = forearm[0] + axis * float(rng.uniform(18, 42))
    beside = np.array([-axis[1], axis[0]])
    tips = [stops[-1] + 5.0 * (stops[-1] - stops[-2]) / np.linalg.norm(stops[-1] - stops[-2]) for stops in joints]
    knuckles = np.vstack([stops[1:] for stops in joints])
    beyond = np.array([6.0, 0.0])
    wings = np.vstack([knuckles + beyond, knuckles - beyond])
    carpals = np.vstack([plate_points(name) for name in (*_DISTAL_ROW, *_PROXIMAL_ROW)])
    return np.vstack([tips, wings, carpals, down + 23.0 * beside, down - 23.0 * beside])


def _lay_down(rng: np.random.Generator, needed: FloatArray, *, turn: float, right: bool, size: float) -> FloatArray:
    """Map mm of the hand to the picture: turned clockwise by turn degrees, scaled so that it fills the picture well, shifted inside it."""
    # Palm down, a right hand's thumb lies to the left.
    mirror = np.array([[-1.0 if right else 1.0, 0.0], [0.0, -1.0]])
    linear = mirror @ _lean(turn, np.zeros(2))[:, :2]
    points = needed @ linear.T
    low, high = points.min(axis=0), points.max(axis=0)
    fill = float(np.clip(0.89 * size * rng.uniform(0.90, 1.12), 0.80, 0.97))
    scale = fill / float((high - low).max())
    room = 1.0 - scale * (high - low) - 0.02
    corner = 0.01 + rng.uniform(0, 1, 2) * room
    return np.column_stack([scale * linear, corner - scale * low])
