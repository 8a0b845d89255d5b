"""From the pose to the grey values of a clinical display: Beer-Lambert, scatter, detector blur, quantum noise, display curve.

Attenuation coefficients are for about 50 kV, in 1/mm. Distances in the picture are fractions of its side, so that a picture at 96 pixels
looks like one at 2048 made smaller: it is computed on a finer grid and averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from autoseg.demo.anatomy import TEXTURE_STEP_MM, Person
from autoseg.demo.pose import Pose, compose
from autoseg.demo.shapes import FloatArray
from autoseg.demo.solid import Float32Array, Solid, chords, look_up

MU_TISSUE, MU_CORTICAL, MU_SPONGY, MU_MARROW = 0.021, 0.105, 0.047, 0.016
_FINEST = 384  # the least grid that an X-ray is computed on


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How one picture is taken and shown.

    photons: per pixel of a 2048 picture. scatter: share of the primary beam. low, high: how far the display window reaches beyond open
    field and bone, as shares of that range. gamma: of the display curve. flatten: how much of the wide surroundings the display
    takes away. visible: left, top, right, bottom of the collimated field, in fractions of the picture; below 0 or above 1: no edge.
    """

    photons: float
    scatter: float
    low: float
    high: float
    gamma: float
    flatten: float
    visible: tuple[float, float, float, float]


def fine_side(size: int) -> int:
    """Pixels a side of the grid that a picture of size pixels is computed on, a multiple of size."""
    return size * max(1, -(-_FINEST // size))


def bone_attenuation(person: Person, pose: Pose, *, side: int) -> Float32Array:
    """What the bones attenuate more than the tissue they displace, (side, side), dimensionless."""
    total = np.zeros((side, side), np.float32)
    for placement in pose.placements:
        matrix = compose(pose.to_picture, placement.matrix)
        pixels = np.column_stack([side * matrix[:, :2], side * matrix[:, 2] - 0.5])
        _add_bone(total, person, person.bones[placement.bone], pixels)
    return total


def _add_bone(total: Float32Array, person: Person, bone: Solid, pixels: FloatArray) -> None:
    """Add one bone in place; pixels: (2, 3), the bone's mm to x, y in pixels."""
    outline = bone.outline @ pixels[:, :2].T + pixels[:, 2]
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, total.shape[0])
    if left >= right or top >= bottom:
        return
    back = np.linalg.inv(pixels[:, :2]).astype(np.float32)
    columns = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(pixels[0, 2])
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(pixels[1, 2])
    x, y = back[0, 0] * columns + back[0, 1] * rows, back[1, 0] * columns + back[1, 1] * rows
    distance = look_up(bone, x, y)
    inside = distance > 0
    x, y = x[inside], y[inside]
    met = chords(bone, y, distance[inside], thickness=person.thickness)
    at = np.stack([y, x]) / np.float32(TEXTURE_STEP_MM)
    texture = map_coordinates(person.texture, at, output=np.float32, order=1, mode="grid-wrap")
    spongy = (MU_SPONGY * (1 - met.marrow) + MU_MARROW * met.marrow) * (1 + (0.085 - 0.05 * met.marrow) * texture)
    dense = person.density * (MU_CORTICAL * met.cortical * (1 + 0.03 * texture) + spongy * met.spongy)
    total[top:bottom, left:right][inside] += dense - MU_TISSUE * (met.cortical + met.spongy)


def _wide_blur(picture: Float32Array, sigma: float) -> Float32Array:
    """Gaussian blur by sigma (fraction of the side), computed on a coarse grid: it holds nothing fine."""
    side = picture.shape[0]
    step = max(1, side // 128)
    usable = side // step * step
    coarse = picture[:usable, :usable].reshape(usable // step, step, usable // step, step).mean(axis=(1, 3))
    blurred = gaussian_filter(coarse, sigma * coarse.shape[0], mode="nearest")
    result: Float32Array = zoom(blurred, side / blurred.shape[0], order=1, mode="nearest", grid_mode=True)
    return result


def expose(attenuation: Float32Array, exposure: Exposure, rng: np.random.Generator) -> Float32Array:
    """Signal of the detector as -log of the dose, (side, side), from the attenuation along each ray."""
    side = attenuation.shape[0]
    primary = np.exp(-attenuation)
    dose = primary + exposure.scatter * _wide_blur(primary, 0.06)
    dose = gaussian_filter(dose, 0.00042 * side)
    # Pixels of a coarser grid are larger and collect more photons.
    photons = exposure.photons * (2048 / side) ** 2
    grain = rng.standard_normal(dose.shape, np.float32)
    dose += gaussian_filter(grain, 0.00022 * side) * np.sqrt(dose / np.float32(photons)) * 1.3
    signal: Float32Array = -np.log(np.maximum(dose, 1e-4) / np.float32(1 + exposure.scatter))
    return signal


def display(signal: Float32Array, tissue: Float32Array, exposure: Exposure, *, size: int) -> NDArray[np.uint8]:
    """Grey values (size, size) as clinically displayed: bones bright, open field dark, black outside the collimated field.

    tissue: chord of the soft tissue (side, side) in mm, which tells the hand from the open field for the automatic window.
    """
    side = signal.shape[0]
    flat = signal - exposure.flatten * _wide_blur(signal, 0.05)
    sharp = flat + 0.5 * (flat - gaussian_filter(flat, 0.0035 * side))
    step = max(1, side // 256)
    thin, thick = sharp[::step, ::step], tissue[::step, ::step]
    low, high = np.median(thin[thick <= 0]), np.percentile(thin[thick > 3.0], 99.0)
    black, white = low - exposure.low * (high - low), high + exposure.high * (high - low)
    grey = np.clip((sharp - black) / (white - black), 0, None) ** exposure.gamma
    # A display's shoulder: metal stays brighter than bone without a hard clip.
    grey = np.where(grey > 0.8, 1 - 0.2 * np.exp(-(np.maximum(grey, 0.8) - 0.8) / 0.2), grey)
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    left, top, right, bottom = exposure.visible
    grey *= _edge(centres, left, right)[None, :] * _edge(centres, top, bottom)[:, None]
    factor = side // size
    mean = grey.reshape(size, factor, size, factor).mean(axis=(1, 3))
    shown: NDArray[np.uint8] = np.round(255 * mean).astype(np.uint8)
    return shown


def _edge(centres: Float32Array, low: float, high: float) -> Float32Array:
    """1 between low and high, 0 outside, with the penumbra of the collimator."""
    soft = 0.0012
    shade: Float32Array = np.clip((centres - low) / soft, 0, 1) * np.clip((high - centres) / soft, 0, 1)
    return shade
