"""One person: who they are, and their bones, which both hands share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from autoseg.demo.shapes import CARPALS, FOREARM, METACARPAL_BASES, METACARPAL_LEANS, TUBES, FloatArray, plate_points, tube_points
from autoseg.demo.solid import Float32Array, Solid, inflate

TEXTURE_STEP_MM = 0.2
_TEXTURE_SIZE = 256
# Half depths in mm along the ray.
_PLATE_DEPTHS = {
    "Trapezium": 7.5, "Trapezoid": 7.0, "Capitate": 8.5, "Hamate": 7.5, "Scaphoid": 6.5, "Lunate": 7.5, "Triquetrum": 6.5, "Pisiform": 4.6,
    "sesamoid": 2.2, "hook": 2.4,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person's draw.

    size: of the hand, 1 = average man. density: of all bone, 1 = young adult. thickness: factor of the cortex (hands lose it with age).
    bones: name -> solid. lengths: mm of metacarpals and phalanges. bases, leans: where metacarpals start (mm) and lean to (degrees).
    fatness: factor of the soft tissue. texture: (T, T) trabecular pattern, mean 0, deviation 1, periodic, 0.2 mm a sample.
    """

    age: int
    sex: str
    weight_kg: float
    height_cm: float
    size: float
    density: float
    thickness: float
    fatness: float
    bones: dict[str, Solid]
    lengths: dict[str, float]
    bases: FloatArray
    leans: FloatArray
    texture: Float32Array


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a person: adults of 19 to 78 years, as every bone must be fused to be one class each."""
    woman = bool(rng.random() < 0.5)
    age = int(rng.integers(19, 79))
    height = float(rng.normal(161.0 if woman else 174.0, 6.0))
    bmi = float(np.clip(rng.normal(23.5, 3.2), 17.0, 35.0))
    loss = max(0, age - 45) / 33 * (1.5 if woman else 0.8)
    bones, lengths = _draw_bones(rng, slender=0.95 if woman else 1.0)
    return Person(
        age=age, sex="F" if woman else "M", weight_kg=round(bmi * (height / 100) ** 2, 1), height_cm=round(height, 1),
        size=height / 174.0 * float(np.exp(rng.normal(0, 0.03))),
        density=float(np.exp(rng.normal(0, 0.08))) * (1 - 0.16 * loss),
        thickness=float(np.exp(rng.normal(0, 0.10))) * (1 - 0.25 * loss),
        fatness=float(np.clip(1 + 0.022 * (bmi - 23.5) + rng.normal(0, 0.04), 0.84, 1.24)),
        bones=bones, lengths=lengths,
        bases=np.array(METACARPAL_BASES) + rng.normal(0, 0.35, (5, 2)), leans=np.array(METACARPAL_LEANS) + rng.normal(0, 1.0, 5),
        texture=_draw_texture(rng),
    )  # fmt: skip


def _draw_bones(rng: np.random.Generator, *, slender: float) -> tuple[dict[str, Solid], dict[str, float]]:
    """All solids of a person (with the unnamed sesamoid and hook) and the lengths of the tubular ones."""
    long, wide = np.exp(rng.normal(0, 0.035)), slender * np.exp(rng.normal(0, 0.05))
    bones, lengths = {}, {}
    for name, tube in TUBES.items():
        own_long, own_wide = long * np.exp(rng.normal(0, 0.022)), wide * np.exp(rng.normal(0, 0.02, 3))
        base, shaft, head = np.array([tube.base, tube.shaft, tube.head]) * own_wide
        drawn = replace(tube, length=tube.length * float(own_long), base=float(base), shaft=float(shaft), head=float(head))
        points = tube_points(drawn, asymmetry=float(rng.uniform(-1, 1)))
        points += rng.normal(0, 0.012 * drawn.head, points.shape)
        mid = (0.26 if tube.kind == "metacarpal" else 0.24) * drawn.shaft
        bones[name] = inflate(
            points, step=0.35, flatness=0.92, half_depth=0.0, cortex=(0.55, mid), shaft=(0.24 * drawn.length, 0.76 * drawn.length)
        )
        lengths[name] = drawn.length
    for name in (*CARPALS, "sesamoid", "hook"):
        points = plate_points(name)
        middle = points.mean(axis=0)
        jitter = rng.normal(0, 0.28, points.shape) * (0.5 if name == "sesamoid" else 1.0)
        moved = middle + (points - middle) * np.exp(rng.normal(0, 0.025, 2)) + jitter + rng.normal(0, 0.25, 2)
        bones[name] = inflate(moved, step=0.35, flatness=1.0, half_depth=_PLATE_DEPTHS[name], cortex=(0.62, 0.62), shaft=(0.0, 0.0))
    for name in FOREARM:
        points = plate_points(name)
        points += rng.normal(0, 0.3, points.shape) + rng.normal(0, [0.5, 0.7])
        mid = 3.3 if name == "Radius" else 2.9
        bones[name] = inflate(points, step=0.6, flatness=0.80, half_depth=0.0, cortex=(0.7, mid), shaft=(-300.0, -44.0))
    return bones, lengths


def _draw_texture(rng: np.random.Generator) -> Float32Array:
    """Trabeculae: a fine and a coarse pattern drawn out along the bone (rows), and a mesh between; periodic."""
    shape = (_TEXTURE_SIZE, _TEXTURE_SIZE)
    fine = gaussian_filter(rng.standard_normal(shape, np.float32), (2.4, 1.0), mode="wrap")
    mesh = gaussian_filter(rng.standard_normal(shape, np.float32), 1.2, mode="wrap")
    coarse = gaussian_filter(rng.standard_normal(shape, np.float32), (7.0, 4.0), mode="wrap")
    mixed = fine / fine.std() + 0.7 * mesh / mesh.std() + 0.6 * coarse / coarse.std()
    result: Float32Array = (mixed / mixed.std()).astype(np.float32)
    return result
