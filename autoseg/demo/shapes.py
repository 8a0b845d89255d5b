"""Outlines of the 29 bones of an average adult right hand, palm down, as control points in millimetres.

Axes of the hand: x to the thumb side (radial), y to the finger tips (distal), z along the ray. The origin lies on the radius's joint
surface, below the capitate. Lengths and widths of metacarpals and phalanges are about those of adult hands; carpals and forearm are drawn
by hand after the usual posterior-anterior view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# The competition numbers the digits from the thumb, each from the tip to the wrist: thumb (distal, proximal, metacarpal) 1-3, then
# (distal, middle, proximal, metacarpal) of index 4-7, middle 8-11, ring 12-15 and little finger 16-19.
CARPALS = ("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform")
FOREARM = ("Radius", "Ulna")
BONES = (*(f"finger-{number}" for number in range(1, 20)), *CARPALS, *FOREARM)
# Names per digit from the metacarpal to the tip, the order in which a pose walks along them.
DIGITS = (
    ("finger-3", "finger-2", "finger-1"),
    ("finger-7", "finger-6", "finger-5", "finger-4"),
    ("finger-11", "finger-10", "finger-9", "finger-8"),
    ("finger-15", "finger-14", "finger-13", "finger-12"),
    ("finger-19", "finger-18", "finger-17", "finger-16"),
)


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A metacarpal or phalanx: its kind of outline and its length and full widths in mm."""

    kind: str
    length: float
    base: float
    shaft: float
    head: float


# One side of each outline: (which width, factor of that half width, position along the bone), from the base to the tip.
_SIDES: dict[str, tuple[tuple[str, float, float], ...]] = {
    "metacarpal": (
        ("base", 0.45, 0.004), ("base", 0.86, 0.012), ("base", 1.0, 0.055), ("base", 0.93, 0.115), ("shaft", 1.16, 0.24),
        ("shaft", 1.0, 0.40), ("shaft", 0.98, 0.52), ("shaft", 1.08, 0.66), ("head", 0.80, 0.79), ("head", 0.97, 0.865),
        ("head", 0.90, 0.915), ("head", 0.80, 0.955), ("head", 0.46, 0.992),
    ),
    "phalanx": (
        ("base", 0.45, 0.026), ("base", 0.80, 0.0), ("base", 0.97, 0.038), ("base", 0.92, 0.105), ("shaft", 1.24, 0.25),
        ("shaft", 1.04, 0.42), ("shaft", 0.98, 0.60), ("shaft", 1.00, 0.74), ("head", 0.86, 0.85), ("head", 1.0, 0.915),
        ("head", 0.93, 0.970), ("head", 0.55, 1.0),
    ),
    "distal": (
        ("base", 0.45, 0.035), ("base", 0.84, 0.0), ("base", 1.0, 0.055), ("base", 0.86, 0.15), ("shaft", 1.32, 0.32),
        ("shaft", 1.06, 0.50), ("shaft", 1.06, 0.64), ("head", 0.88, 0.765), ("head", 1.0, 0.83), ("head", 0.92, 0.905),
        ("head", 0.60, 0.975),
    ),
}  # fmt: skip
# On the axis: the (concave) middle of the base and the (notched, for phalanges) middle of the head.
_MIDDLES = {"metacarpal": (0.012, 1.0), "phalanx": (0.046, 0.972), "distal": (0.040, 1.0)}

TUBES: dict[str, Tube] = {
    "finger-3": Tube(kind="metacarpal", length=46.0, base=15.5, shaft=10.4, head=15.0),
    "finger-2": Tube(kind="phalanx", length=32.0, base=15.2, shaft=9.0, head=12.4),
    "finger-1": Tube(kind="distal", length=23.0, base=13.6, shaft=7.0, head=9.6),
    "finger-7": Tube(kind="metacarpal", length=67.0, base=16.6, shaft=8.8, head=15.2),
    "finger-6": Tube(kind="phalanx", length=40.5, base=15.6, shaft=9.4, head=12.0),
    "finger-5": Tube(kind="phalanx", length=23.8, base=13.4, shaft=8.0, head=10.6),
    "finger-4": Tube(kind="distal", length=17.0, base=11.2, shaft=5.6, head=8.0),
    "finger-11": Tube(kind="metacarpal", length=65.0, base=14.6, shaft=8.8, head=15.0),
    "finger-10": Tube(kind="phalanx", length=45.0, base=15.6, shaft=9.6, head=12.2),
    "finger-9": Tube(kind="phalanx", length=28.2, base=13.6, shaft=8.2, head=10.8),
    "finger-8": Tube(kind="distal", length=18.0, base=11.4, shaft=5.8, head=8.4),
    "finger-15": Tube(kind="metacarpal", length=58.0, base=12.4, shaft=7.6, head=13.2),
    "finger-14": Tube(kind="phalanx", length=41.5, base=14.4, shaft=8.8, head=11.4),
    "finger-13": Tube(kind="phalanx", length=26.8, base=12.8, shaft=7.6, head=10.2),
    "finger-12": Tube(kind="distal", length=18.2, base=11.0, shaft=5.6, head=8.2),
    "finger-19": Tube(kind="metacarpal", length=53.5, base=13.0, shaft=7.6, head=12.4),
    "finger-18": Tube(kind="phalanx", length=33.0, base=13.2, shaft=7.8, head=10.0),
    "finger-17": Tube(kind="phalanx", length=19.2, base=11.2, shaft=6.8, head=9.0),
    "finger-16": Tube(kind="distal", length=16.2, base=9.6, shaft=4.9, head=6.8),
}

# Where a metacarpal's base lies and how far its axis leans from y towards x (degrees), thumb first.
METACARPAL_BASES = ((28.2, 29.4), (13.8, 31.5), (1.4, 30.9), (-9.0, 30.4), (-17.4, 28.2))
METACARPAL_LEANS = (36.0, 5.5, 0.5, -5.5, -12.5)

PLATES: dict[str, tuple[tuple[float, float], ...]] = {
    "Trapezium": (
        (18.0, 18.6), (23.5, 16.6), (28.2, 19.2), (30.6, 23.6), (30.2, 28.0), (26.4, 29.2), (22.6, 31.4), (19.4, 30.2), (17.6, 25.0),
    ),
    "Trapezoid": (
        (10.2, 22.4), (15.0, 21.0), (19.6, 22.4), (21.2, 27.4), (19.0, 32.0), (14.6, 33.4), (10.4, 31.4), (9.2, 26.8),
    ),
    "Capitate": (
        (-0.4, 9.6), (4.2, 10.0), (7.0, 13.4), (6.6, 18.0), (8.0, 23.0), (9.0, 29.0), (6.0, 32.2), (-0.8, 32.0), (-5.6, 30.8),
        (-5.4, 25.0), (-4.6, 19.0), (-4.8, 13.4),
    ),
    "Hamate": (
        (-5.2, 12.0), (-3.8, 17.0), (-4.4, 24.0), (-5.6, 30.0), (-10.6, 31.4), (-17.6, 29.8), (-21.2, 26.4), (-19.0, 21.4),
        (-13.4, 15.8), (-8.6, 11.2),
    ),
    "Scaphoid": (
        (4.6, 5.6), (8.6, 2.8), (14.4, 4.8), (18.0, 8.8), (19.2, 13.4), (21.8, 17.4), (19.8, 20.8), (14.4, 21.8), (8.8, 20.4),
        (6.0, 15.8), (4.8, 10.8),
    ),
    "Lunate": (
        (-7.2, 3.0), (-3.0, 0.8), (2.6, 0.8), (6.6, 3.8), (7.2, 8.4), (5.4, 11.4), (0.4, 9.8), (-4.2, 10.8), (-7.4, 8.6),
    ),
    "Triquetrum": (
        (-9.4, 5.2), (-13.6, 3.0), (-19.0, 4.6), (-22.6, 9.2), (-22.4, 14.6), (-19.4, 18.4), (-14.6, 14.4), (-9.4, 10.2),
    ),
    "Pisiform": (
        (-14.4, 10.0), (-18.0, 8.6), (-22.0, 10.8), (-23.0, 15.0), (-20.4, 18.3), (-16.4, 17.8), (-13.6, 14.4),
    ),
    "Radius": (
        (-5.2, -2.6), (0.0, -1.6), (5.2, -0.8), (10.6, 0.6), (15.8, 4.0), (20.4, 9.0), (23.6, 10.2), (25.2, 6.0), (25.0, -1.0),
        (24.6, -8.0), (22.4, -18.0), (19.2, -32.0), (17.6, -50.0), (17.0, -75.0), (17.2, -100.0), (17.6, -130.0), (17.2, -158.0),
        (10.4, -161.0), (3.8, -158.0), (3.4, -130.0), (3.4, -100.0), (3.2, -75.0), (2.8, -50.0), (0.6, -32.0), (-3.6, -19.0),
        (-6.2, -10.0), (-6.6, -5.0),
    ),
    "Ulna": (
        (-20.6, 3.4), (-22.0, 2.6), (-22.4, -3.0), (-22.2, -10.0), (-20.4, -20.0), (-18.8, -34.0), (-18.4, -60.0), (-18.8, -95.0),
        (-19.4, -130.0), (-19.4, -158.0), (-13.4, -161.0), (-7.2, -158.0), (-7.0, -130.0), (-7.6, -95.0), (-8.2, -60.0), (-8.4, -34.0),
        (-7.4, -20.0), (-5.6, -11.0), (-5.2, -6.0), (-7.6, -2.8), (-12.6, -2.0), (-17.2, -2.2), (-18.8, -0.4),
    ),
    # Without a class of their own, yet in every picture: two sesamoid bones at the thumb and the hook of the hamate.
    "sesamoid": (
        (-2.6, 0.0), (0.0, -2.2), (2.6, 0.0), (0.0, 2.2),
    ),
    "hook": (
        (-15.0, 23.4), (-12.4, 20.8), (-9.8, 22.6), (-9.8, 26.4), (-12.4, 28.2), (-14.8, 26.6),
    ),
}  # fmt: skip


def tube_points(tube: Tube, *, asymmetry: float) -> FloatArray:
    """Control points (N, 2: x, y in mm) of a metacarpal or phalanx: base at y = 0, tip at y = length, counter-clockwise.

    asymmetry in -1..1 widens one side against the other by up to a tenth, as no phalanx is its own mirror image.
    """
    widths = {"base": tube.base / 2, "shaft": tube.shaft / 2, "head": tube.head / 2}
    side = [(widths[which] * factor, along * tube.length) for which, factor, along in _SIDES[tube.kind]]
    low, high = _MIDDLES[tube.kind]
    right = [((1 + 0.1 * asymmetry) * x, y) for x, y in side]
    left = [(-(1 - 0.1 * asymmetry) * x, y) for x, y in reversed(side)]
    return np.array([(0.0, low * tube.length), *right, (0.0, high * tube.length), *left])


def plate_points(name: str) -> FloatArray:
    """Control points (N, 2: x, y in mm of the hand) of a carpal, forearm or unnamed bone, counter-clockwise."""
    points = np.array(PLATES[name])
    x, y = points[:, 0], points[:, 1]
    clockwise = float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) < 0
    return points[::-1].copy() if clockwise else points
