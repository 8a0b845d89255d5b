"""Colours for classes that differ for colour-blind eyes, too.

The first seven are Okabe and Ito's (Color Universal Design, 2008). Each further one is the candidate whose least distance in CIELAB to all
before it, over normal sight and simulated protanopia, deuteranopia and tritanopia (Machado, Oliveira, Fernandes 2009, severity 1), is
largest. Greys are left out: they are the image's.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Array = NDArray[np.float64]

_OKABE_ITO = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
#: Linear RGB as seen: normal, protan, deutan, tritan.
_SIGHTS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = _TO_XYZ.sum(axis=1)
#: Candidates have at least this distance from grey, and a lightness (0 to 100) within these ends: dark ones vanish in an X-ray.
_CHROMA, _LIGHTNESS = 30.0, (35.0, 95.0)


@cache
def palette(num: int) -> tuple[Colour, ...]:
    """`num` colours, RGB of 0 to 255; the first ones are the same whatever the number."""
    if num <= len(_OKABE_ITO):
        return _OKABE_ITO[:num]
    levels = np.arange(0, 256, 15)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = seen(candidates)
    fit = (np.hypot(lab[0, :, 1], lab[0, :, 2]) > _CHROMA) & (lab[0, :, 0] > _LIGHTNESS[0]) & (lab[0, :, 0] < _LIGHTNESS[1])
    candidates, lab = candidates[fit], lab[:, fit]
    chosen: list[Colour] = list(_OKABE_ITO)
    nearest = np.min([_distance(lab, seen(np.array([colour]))) for colour in chosen], axis=0)
    while len(chosen) < num:
        best = int(nearest.argmax())
        red, green, blue = candidates[best].tolist()
        chosen.append((red, green, blue))
        nearest = np.minimum(nearest, _distance(lab, lab[:, best : best + 1]))
    return tuple(chosen)


def seen(colours: NDArray[np.integer]) -> Array:
    """CIELAB (D65) of RGB colours (N, 3) in the four sights, (4, N, 3)."""
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    sights = np.clip(np.einsum("sij,nj->sni", _SIGHTS, linear), 0, 1)
    xyz = sights @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _distance(lab: Array, other: Array) -> Array:
    """Least distance over the sights of each of (4, N, 3) to (4, 1, 3)."""
    return np.asarray(np.linalg.norm(lab - other, axis=-1).min(axis=0))
