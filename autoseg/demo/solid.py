"""A bone as a 3D solid whose chord along the ray, and its share of cortical bone, follow from one table of distances.

The solid is the inflated outline: at a point of the projection that lies s mm inside the outline, the bone reaches h g(s / r) mm to either
side of its middle plane, g(a) = sqrt(1 - (1 - a)^2); with r the local half width this is an elliptic tube along a shaft and a rounded
block for a carpal. The marrow space is the same solid drawn in by the cortex. So the silhouette is exactly the outline, and a
chord costs one look-up whatever the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.spatial import cKDTree
from scipy.special import expit

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

_SAMPLE_MM = 0.08  # between points of the outline
_MARGIN_MM = 1.5


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One bone in its own millimetres (x across, y along).

    outline: (N, 2) x, y of the silhouette. distance: (H, W) mm to the outline, positive inside, on a grid of step mm whose first
    sample lies at corner (x, y). radius, half_depth, cortex: (H,) mm for each row. marrow: (H,) 0..1, how empty the marrow space is.
    """

    outline: FloatArray
    distance: Float32Array
    corner: tuple[float, float]
    step: float
    radius: Float32Array
    half_depth: Float32Array
    cortex: Float32Array
    marrow: Float32Array


@dataclass(frozen=True, kw_only=True)
class Chords:
    """What a ray meets in one bone, in mm, for a list of pixels: cortical and spongy bone; marrow is the emptiness of the latter."""

    cortical: Float32Array
    spongy: Float32Array
    marrow: Float32Array


def close_curve(points: FloatArray) -> FloatArray:
    """The smooth closed curve (N, 2) through control points (M, 2), a point about every 0.08 mm.

    Knots by the square root of chord length (centripetal): a spline by index overshoots where short and long gaps meet.
    """
    ring = np.vstack([points, points[:1]])
    knots = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(ring, axis=0), axis=1)))])
    spline = CubicSpline(knots, ring, bc_type="periodic")
    coarse = spline(np.linspace(0.0, knots[-1], 20 * len(points)))
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(coarse, axis=0), axis=1))])
    at = np.interp(np.arange(0.0, lengths[-1], _SAMPLE_MM), lengths, np.linspace(0.0, knots[-1], len(coarse)))
    curve: FloatArray = spline(at)
    return curve


def signed_distance(curve: FloatArray, points: FloatArray) -> FloatArray:
    """Distance in mm (N,) of points (N, 2) from a dense counter-clockwise closed curve (M, 2), positive inside."""
    tangent = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    length, nearest = cKDTree(curve).query(points)
    away = points - curve[nearest]
    inward: FloatArray = -away[:, 0] * tangent[nearest, 1] + away[:, 1] * tangent[nearest, 0]
    # Close by, the distance to the tangent is exact where that to the nearest sample is off by half a sample.
    return np.where(length < 4 * _SAMPLE_MM, inward, np.copysign(length, inward))


def inflate(
    points: FloatArray, *, step: float, flatness: float, half_depth: float, cortex: tuple[float, float], shaft: tuple[float, float]
) -> Solid:
    """Build the solid of a bone from its control points (N, 2), counter-clockwise, in mm.

    flatness is the depth of a cross-section over its width; half_depth, if not 0, is used instead of it for the whole bone. cortex:
    thickness in mm at the ends and in the middle of the shaft; shaft: the rows (y, mm) between which the middle lies. step: the grid's, mm.
    """
    curve = close_curve(points)
    low, high = curve.min(axis=0) - _MARGIN_MM, curve.max(axis=0) + _MARGIN_MM
    x, y = np.arange(low[0], high[0] + step, step), np.arange(low[1], high[1] + step, step)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    distance = signed_distance(curve, grid).reshape(len(y), len(x))
    widest = gaussian_filter1d(distance.max(axis=1), 1.5 / step, mode="nearest")
    # Ends of a tube are rounded over half its greatest radius, not sharpened to nothing.
    radius = np.maximum(widest, 0.5 * widest.max()) if not half_depth else np.full(len(y), 0.95 * distance.max())
    depth = gaussian_filter1d(flatness * radius, 2.0 / step, mode="nearest") if not half_depth else np.full(len(y), half_depth)
    soft = min(0.15 * (shaft[1] - shaft[0]), 9.0) + 1e-6
    middle = expit((y - shaft[0]) / soft) * expit((shaft[1] - y) / soft)
    thickness = np.minimum(cortex[0] + (cortex[1] - cortex[0]) * middle, 0.62 * radius)
    return Solid(
        outline=curve, distance=distance.astype(np.float32), corner=(float(low[0]), float(low[1])), step=step,
        radius=radius.astype(np.float32), half_depth=depth.astype(np.float32), cortex=thickness.astype(np.float32),
        marrow=middle.astype(np.float32),
    )  # fmt: skip


def _rounded(share: Float32Array) -> Float32Array:
    """g(a) = sqrt(1 - (1 - a)^2), a clipped to 0..1."""
    rest = 1 - np.clip(share, 0, 1)
    result: Float32Array = np.sqrt(1 - rest * rest)
    return result


def look_up(solid: Solid, x: Float32Array, y: Float32Array) -> Float32Array:
    """Distance in mm, positive inside, at points x, y (mm, same shape)."""
    at = np.stack([(y - solid.corner[1]) / solid.step, (x - solid.corner[0]) / solid.step])
    found: Float32Array = map_coordinates(solid.distance, at, output=np.float32, order=1, mode="nearest")
    return found


def chords(solid: Solid, y: Float32Array, inside: Float32Array, *, thickness: float) -> Chords:
    """Chords of rays that pass at row y (N,) and lie inside (N,) mm within the outline; thickness scales the cortex."""
    row = np.clip((y - solid.corner[1]) / solid.step, 0, len(solid.radius) - 1).astype(np.int32)
    radius, depth = solid.radius[row], solid.half_depth[row]
    cortex = np.minimum(thickness * solid.cortex[row], 0.75 * radius)
    outer = 2 * depth * _rounded(inside / radius)
    # The cortex is thinner on the back and on the palm's side than on the flanks, which makes the canal show.
    inner = 2 * (depth - np.minimum(0.6 * cortex, 0.75 * depth)) * _rounded((inside - cortex) / (radius - cortex))
    inner = np.minimum(inner, outer)
    return Chords(cortical=outer - inner, spongy=inner, marrow=solid.marrow[row])
