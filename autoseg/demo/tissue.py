"""The soft tissue round the bones: tapered capsules blended into one skin, and its chord along the ray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from autoseg.demo.pose import Pose, compose
from autoseg.demo.shapes import FloatArray
from autoseg.demo.solid import Float32Array

_BLEND_MM = 2.2  # over which two parts melt into each other: the webs between the fingers
_COARSE = 224  # samples a side: skin is smooth, so it is blended coarsely and its distance enlarged


@dataclass(frozen=True, kw_only=True)
class Capsule:
    """A tapered capsule from start to end (x, y in mm) with its radii there, and half depths along the ray, in mm."""

    start: FloatArray
    end: FloatArray
    radii: tuple[float, float]
    depths: tuple[float, float]


def wrap(pose: Pose, *, fatness: float) -> tuple[Capsule, ...]:
    """The capsules of a hand."""
    parts = []

    def add(start: FloatArray, end: FloatArray, radii: tuple[float, float], depths: tuple[float, float]) -> None:
        grown = (radii[0] * fatness, radii[1] * fatness)
        parts.append(Capsule(start=start, end=end, radii=grown, depths=(depths[0] * fatness, depths[1] * fatness)))

    for digit, stops in enumerate(pose.joints):
        thick = (1.12, 1.0, 1.02, 0.95, 0.84)[digit]
        axis = (stops[-1] - stops[-2]) / np.linalg.norm(stops[-1] - stops[-2])
        bends = [*stops[1:-1], stops[-1] - 2.6 * thick * axis]
        radii = np.linspace(11.0, 7.2, len(bends)) * thick
        add(stops[0], stops[1], (13.0, 11.6), (15.0, 12.0))
        for number in range(len(bends) - 1):
            ends = (float(radii[number]), float(radii[number + 1]))
            add(bends[number], bends[number + 1], ends, (0.82 * ends[0], 0.80 * ends[1]))
    thumb, index, little = pose.joints[0], pose.joints[1], pose.joints[4]
    add(thumb[0], 0.35 * thumb[0] + 0.65 * thumb[1], (15.0, 13.0), (16.0, 14.0))
    add(0.5 * thumb[0] + 0.5 * thumb[1], 0.6 * index[0] + 0.4 * index[1], (11.0, 11.0), (9.0, 10.0))
    add(little[0] - [3.0, 0.0], 0.3 * little[0] + 0.7 * little[1] - [2.0, 0.0], (12.5, 11.0), (15.0, 12.0))
    add(np.array([-9.0, 19.0]), np.array([16.0, 20.0]), (20.0, 19.0), (17.0, 17.0))
    add(pose.forearm[0], 0.72 * pose.forearm[0] + 0.28 * pose.forearm[1], (28.0, 30.0), (19.0, 21.0))
    add(0.72 * pose.forearm[0] + 0.28 * pose.forearm[1], pose.forearm[1], (30.0, 36.0), (21.0, 28.0))
    return tuple(parts)


def skin_distance(capsules: tuple[Capsule, ...], points: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Distance inside the skin, radius and half depth of the tissue there (each (N,) mm) at points (N, 2) mm of the hand."""
    distances, radii, depths = [], [], []
    for part in capsules:
        start, axis = part.start.astype(np.float32), (part.end - part.start).astype(np.float32)
        away = points - start
        along = np.clip(away @ axis / np.float32(axis @ axis), 0, 1)
        rest = away - along[:, None] * axis
        radius = part.radii[0] + (part.radii[1] - part.radii[0]) * along
        distances.append(radius - np.sqrt(np.einsum("ij,ij->i", rest, rest)))
        radii.append(radius)
        depths.append(part.depths[0] + (part.depths[1] - part.depths[0]) * along)
    distance = np.stack(distances)
    top = distance.max(axis=0)
    weights = np.exp((distance - top) / _BLEND_MM)
    total = weights.sum(axis=0)
    blended = top + _BLEND_MM * np.log(total) - _BLEND_MM * 0.35
    return blended, (weights * np.stack(radii)).sum(axis=0) / total, (weights * np.stack(depths)).sum(axis=0) / total


def tissue_chord(pose: Pose, capsules: tuple[Capsule, ...], rng: np.random.Generator, *, side: int) -> Float32Array:
    """Chord through the soft tissue in mm of muscle, (side, side), side >= 224; pixel centres lie at (i + 0.5) / side of the picture.

    Fat between the muscles, which attenuates less, shortens it by up to a tenth.
    """
    matrix = compose(_inverse(pose.to_picture), np.array([[1 / _COARSE, 0.0, 0.5 / _COARSE], [0.0, 1 / _COARSE, 0.5 / _COARSE]]))
    rows, columns = np.mgrid[0:_COARSE, 0:_COARSE].astype(np.float32)
    points = np.stack([columns.ravel(), rows.ravel()], axis=1) @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    found = skin_distance(capsules, points)
    distance, radius, depth = (_enlarge(part.reshape(_COARSE, _COARSE), side) for part in found)
    rest = 1 - np.clip(distance / np.maximum(radius, 1), 0, 1)
    fat = gaussian_filter(rng.standard_normal((_COARSE, _COARSE), np.float32), 0.009 * _COARSE)
    muscle = _enlarge(1 + 0.03 * np.clip(fat / fat.std(), -3, 3), side)
    chord: Float32Array = 2 * depth * np.sqrt(1 - rest * rest) * muscle
    return gaussian_filter(chord, 0.0012 * side)


def _inverse(matrix: FloatArray) -> FloatArray:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _enlarge(part: Float32Array, side: int) -> Float32Array:
    """Bilinear, with pixel centres kept in place."""
    large: Float32Array = zoom(part.astype(np.float32), side / part.shape[0], order=1, mode="nearest", grid_mode=True)
    return large
