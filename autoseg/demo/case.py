"""One X-ray of the phantom with the outlines of its 29 bones, a function of (seed, part of the data set, person, side) and a size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon

from autoseg.demo.anatomy import Person, draw_person
from autoseg.demo.objects import Letter, Rod, add_letter, add_rod, draw_exposure, draw_letter, draw_metal
from autoseg.demo.pose import Pose, apply, compose, draw_pose
from autoseg.demo.shapes import BONES, FloatArray
from autoseg.demo.tissue import Capsule, tissue_chord, wrap
from autoseg.demo.xray import MU_TISSUE, Exposure, bone_attenuation, display, expose, fine_side

PARTS = ("train", "test")
SIDES = ("R", "L")
BENT_SHARE = {"train": 0.1, "test": 0.5}  # of the wrists, as in the competition
_TOLERANCE = 0.06  # pixels by which a simplified outline may differ


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything about one picture but its size. noise: the seed of its grain."""

    person: Person
    pose: Pose
    capsules: tuple[Capsule, ...]
    exposure: Exposure
    metal: tuple[Rod, ...]
    letter: Letter | None
    noise: tuple[int, ...]


def draw_hands(*, seed: int, part: str, index: int) -> tuple[Person, dict[str, Scene]]:
    """Draw person number index (from 0) of a part and the scenes of the two hands, by side ("R", "L")."""
    key = (seed, PARTS.index(part), index)
    person = draw_person(np.random.default_rng((*key, 0)))
    scenes = {}
    for number, side in enumerate(SIDES, start=1):
        rng = np.random.default_rng((*key, number))
        pose = draw_pose(rng, person, right=side == "R", bent_share=BENT_SHARE[part])
        capsules = wrap(pose, fatness=person.fatness)
        exposure = draw_exposure(rng, pose)
        scenes[side] = Scene(
            person=person, pose=pose, capsules=capsules, exposure=exposure, metal=draw_metal(rng, pose, fatness=person.fatness),
            letter=draw_letter(rng, pose, capsules, exposure, name=side), noise=(*key, number, 1),
        )  # fmt: skip
    return person, scenes


def render(scene: Scene, *, size: int) -> NDArray[np.uint8]:
    """The X-ray, (size, size), grey values 0..255."""
    side = fine_side(size)
    rng = np.random.default_rng(scene.noise)
    tissue = tissue_chord(scene.pose, scene.capsules, rng, side=side)
    attenuation = bone_attenuation(scene.person, scene.pose, side=side)
    attenuation += np.float32(MU_TISSUE) * tissue
    for rod in scene.metal:
        add_rod(attenuation, rod, scene.pose.to_picture)
    if scene.letter is not None:
        add_letter(attenuation, scene.letter)
    signal = expose(attenuation, scene.exposure, rng)
    return display(signal, tissue, scene.exposure, size=size)


def outlines(scene: Scene, *, size: int) -> dict[str, FloatArray]:
    """Outline of every class in the order of BONES: (N, 2) x, y in pixels, pixel centres at integers, open, N >= 3.

    It is the silhouette's own curve rather than one traced round a mask, so it is exact to a fraction of a pixel at any size. What
    lies outside the picture or the collimated field is cut off, as nobody can annotate it.
    """
    left, top, right, bottom = (size * edge - 0.5 for edge in scene.exposure.visible)
    # Up to the outermost pixel centres: the competition's points lie in the picture, and fillers count a pixel on the outline as inside.
    box = (max(left, 0.0), max(top, 0.0), min(right, size - 1.0), min(bottom, size - 1.0))
    found = {}
    for placement in scene.pose.placements[: len(BONES)]:
        curve = size * apply(compose(scene.pose.to_picture, placement.matrix), scene.person.bones[placement.bone].outline) - 0.5
        spacing = float(np.linalg.norm(curve[1] - curve[0]))
        found[placement.bone] = _simplify(_clip(curve[:: max(1, int(0.15 / spacing))], box))
    return found


def _simplify(pixels: FloatArray) -> FloatArray:
    """Leave out points (N, 2) of a closed curve that lie within the tolerance of the lines between the others."""
    kept: FloatArray = approximate_polygon(np.vstack([pixels, pixels[:1]]), _TOLERANCE)[:-1]
    return kept


def _clip(curve: FloatArray, box: tuple[float, float, float, float]) -> FloatArray:
    """Cut a closed curve (N, 2) by a box (left, top, right, bottom), edge by edge (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in ((0, box[0], 1), (1, box[1], 1), (0, box[2], -1), (1, box[3], -1)):
        beyond = sign * (curve[:, axis] - limit)
        if not np.any(beyond < 0):
            continue
        following, ahead = np.roll(curve, -1, axis=0), np.roll(beyond, -1)
        crossing = (beyond >= 0) != (ahead >= 0)
        share = np.where(crossing, beyond / np.where(crossing, beyond - ahead, 1.0), 0.0)
        at = curve + share[:, None] * (following - curve)
        both = np.stack([curve, at], axis=1)
        curve = both[np.stack([beyond >= 0, crossing], axis=1)]
    return curve
