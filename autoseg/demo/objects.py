"""What lies in the beam beside the hand: rings, pins, screws, and the lead letter that marks the side; and how the picture is exposed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autoseg.demo.pose import Pose, apply, compose
from autoseg.demo.shapes import DIGITS, FloatArray
from autoseg.demo.solid import Float32Array
from autoseg.demo.tissue import Capsule, skin_distance
from autoseg.demo.xray import Exposure

_MU_GOLD, _MU_STEEL, _LEAD = 0.85, 0.55, 3.0
# Strokes of the letters in a box of 1 x 1, y down.
_LETTERS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "L": (((0.2, 0.0), (0.2, 1.0), (0.8, 1.0)),),
    "R": (((0.2, 1.0), (0.2, 0.0), (0.6, 0.0), (0.8, 0.12), (0.8, 0.38), (0.6, 0.5), (0.2, 0.5)), ((0.45, 0.5), (0.85, 1.0))),
}


@dataclass(frozen=True, kw_only=True)
class Rod:
    """A metal cylinder seen from the side, of which the part between two radii (mm) is metal: a ring, a wire, a screw.

    frame: (2, 3), from its own mm (x across, y along, middle at 0) to mm of the hand. thread: share by which the outer radius waves.
    tilt: sine of a ring's slant against the ray, which draws its near and far half apart.
    """

    frame: FloatArray
    half_length: float
    inner: float
    outer: float
    attenuation: float
    thread: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Letter:
    """The side's letter: corner and height in fractions of the picture, turn in degrees."""

    name: str
    corner: tuple[float, float]
    height: float
    turn: float


def draw_metal(rng: np.random.Generator, pose: Pose, *, fatness: float) -> tuple[Rod, ...]:
    """A ring on 14 % of the hands (on one or two fingers), a wire or a screw in 6 %."""
    rods = []
    frames = {placement.bone: placement.matrix for placement in pose.placements}
    ring, fixed = rng.random() < 0.14, rng.random() < 0.06
    for digit in rng.choice([1, 2, 3, 4], size=int(rng.integers(1, 3)), p=[0.15, 0.25, 0.45, 0.15], replace=False) if ring else ():
        stops = pose.joints[int(digit)]
        middle = float(np.linalg.norm(stops[2] - stops[1])) * rng.uniform(0.30, 0.48)
        radius = 9.7 * fatness * (1.0, 1.02, 0.95, 0.84)[int(digit) - 1]
        frame = _stand(frames[DIGITS[int(digit)][1]], middle, rng.normal(0, 3.0))
        rods.append(
            Rod(
                frame=frame,
                half_length=rng.uniform(0.9, 2.4),
                inner=radius - rng.uniform(0.9, 1.6),
                outer=radius,
                attenuation=_MU_GOLD,
                tilt=rng.uniform(-0.25, 0.25),
            )
        )
    if fixed:
        names = [name for digit in DIGITS for name in digit[:2]]
        name = names[int(rng.integers(len(names)))]
        wire = bool(rng.random() < 0.5)
        frame = _stand(frames[name], rng.uniform(14, 22), rng.uniform(-14, 14) if wire else rng.choice([-1, 1]) * rng.uniform(50, 90))
        half, outer = (rng.uniform(16, 26), rng.uniform(0.5, 0.8)) if wire else (rng.uniform(5, 7), rng.uniform(0.9, 1.3))
        rods.append(Rod(frame=frame, half_length=half, inner=0.0, outer=outer, attenuation=_MU_STEEL, thread=0.0 if wire else 0.22))
        if not wire:
            head = frame.copy()
            head[:, 2] = apply(frame, np.array([[0.0, half]]))[0]
            rods.append(Rod(frame=head, half_length=0.9, inner=0.0, outer=1.9 * outer, attenuation=_MU_STEEL))
    return tuple(rods)


def _stand(bone: FloatArray, along: float, degrees: float) -> FloatArray:
    """A rigid frame at along mm on a bone's axis, turned against it."""
    axis = bone[:, 1] / np.linalg.norm(bone[:, 1])
    angle = np.arctan2(axis[0], axis[1]) + np.deg2rad(degrees)
    origin = apply(bone, np.array([[0.0, along]]))[0]
    return np.column_stack([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)], origin])


def add_rod(total: Float32Array, rod: Rod, to_picture: FloatArray) -> None:
    """Add a rod's attenuation in place."""
    side = total.shape[0]
    matrix = compose(to_picture, rod.frame)
    reach = rod.half_length + abs(rod.tilt) * rod.outer
    corners = np.array([[x, y] for x in (-rod.outer, rod.outer) for y in (-reach, reach)])
    pixels = side * apply(matrix, corners) - 0.5
    left, top = np.clip(np.floor(pixels.min(axis=0)).astype(int), 0, side)
    right, bottom = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 1, 0, side)
    rows, columns = np.mgrid[top:bottom, left:right] + 0.5
    back = np.linalg.inv(side * matrix[:, :2])
    x, y = np.einsum("ij,jrc->irc", back, np.stack([columns - side * matrix[0, 2], rows - side * matrix[1, 2]]))
    outer = rod.outer * (1 + rod.thread * np.sin(2 * np.pi * y / 0.9))
    chord = 2 * (np.sqrt(np.maximum(outer**2 - x**2, 0)) - np.sqrt(np.maximum(rod.inner**2 - x**2, 0)))
    apart = rod.tilt * np.sqrt(np.maximum(rod.outer**2 - x**2, 0))
    halves = 0.5 * (np.abs(y - apart) <= rod.half_length) + 0.5 * (np.abs(y + apart) <= rod.half_length)
    total[top:bottom, left:right] += (rod.attenuation * chord * halves).astype(np.float32)


def draw_letter(rng: np.random.Generator, pose: Pose, capsules: tuple[Capsule, ...], exposure: Exposure, *, name: str) -> Letter | None:
    """The side's letter in a corner that the hand leaves free, on 60 % of the pictures."""
    wanted, height, turn = rng.random() < 0.6, float(rng.uniform(0.035, 0.055)), float(rng.normal(0, 6))
    spots = [(float(x), float(y)) for x in rng.uniform([0.05, 0.86], [0.10, 0.91]) for y in rng.uniform([0.05, 0.84], [0.10, 0.89])]
    linear = np.linalg.inv(pose.to_picture[:, :2])
    points = (np.array(spots) + height / 2 - pose.to_picture[:, 2]) @ linear.T
    distance = skin_distance(capsules, points.astype(np.float32))[0]
    left, top, right, bottom = exposure.visible
    free = [
        (x, y)
        for (x, y), depth in zip(spots, distance, strict=True)
        if depth < -14.0 and left < x - 0.01 and x + 1.2 * height < right and top < y - 0.01 and y + 1.2 * height < bottom
    ]
    choice = float(rng.random())
    if not wanted or not free:
        return None
    return Letter(name=name, corner=free[int(choice * len(free))], height=height, turn=turn)


def add_letter(total: Float32Array, letter: Letter) -> None:
    """Add the letter's attenuation in place."""
    side = total.shape[0]
    left, top = (int(side * (value - 0.4 * letter.height)) for value in letter.corner)
    reach = int(side * 1.8 * letter.height) + 1
    rows, columns = np.mgrid[max(top, 0) : min(top + reach, side), max(left, 0) : min(left + reach, side)] + 0.5
    angle = np.deg2rad(letter.turn)
    x, y = (columns / side - letter.corner[0]) / letter.height - 0.5, (rows / side - letter.corner[1]) / letter.height - 0.5
    x, y = np.cos(angle) * x - np.sin(angle) * y + 0.5, np.sin(angle) * x + np.cos(angle) * y + 0.5
    nearest = np.full(x.shape, np.inf)
    for stroke in _LETTERS[letter.name]:
        for (x0, y0), (x1, y1) in pairwise(stroke):
            along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    total[max(top, 0) : min(top + reach, side), max(left, 0) : min(left + reach, side)] += (_LEAD * (nearest < 0.075)).astype(np.float32)


def draw_exposure(rng: np.random.Generator, pose: Pose) -> Exposure:
    """Exposure, display window and collimation; a third of the pictures are collimated, never into what the pose needs."""
    needed = apply(pose.to_picture, pose.needed)
    low, high = needed.min(axis=0) - 0.012, needed.max(axis=0) + 0.012
    collimated, margins = rng.random() < 0.33, rng.uniform(0, 1, 4)
    limits = np.array([low[0], low[1], 1 - high[0], 1 - high[1]])
    edges = np.where(margins > 0.35, margins, 0.0) * np.maximum(limits, 0.0) if collimated else np.full(4, -0.1)
    edges = np.where(edges > 0.004, edges, -0.1)
    left, top, right, bottom = (float(edge) for edge in edges)
    return Exposure(
        photons=float(np.exp(rng.uniform(np.log(900), np.log(6000)))), scatter=float(rng.uniform(0.15, 0.45)),
        low=float(rng.uniform(0.0, 0.07)), high=float(rng.uniform(-0.04, 0.28)), gamma=float(0.85 * np.exp(rng.normal(0, 0.13))),
        flatten=float(rng.uniform(0.1, 0.4)), visible=(left, top, 1 - right, 1 - bottom),
    )  # fmt: skip
