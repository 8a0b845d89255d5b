"""The picture in README.md: a test image of the phantom with its predicted bones.

Usage: python -m benchmarks.pictures WORKSPACE [CASE]; the workspace holds raw/HandBone and results/HandBone/predictions/ensemble.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from autoseg.case import Case
from autoseg.io.images import decode_file
from autoseg.io.layouts import read_dataset
from autoseg.io.names import escape_name
from autoseg.workspace import Workspace

OUT = Path(__file__).parents[1] / "docs" / "images" / "prediction.png"


def main(root: Path, name: str | None) -> None:
    """Draw one case: the image, and the image with every bone in its colour."""
    place = Workspace(root=root)
    raw = read_dataset(place.raw / "HandBone")
    case = next(case for case in raw.test if name in (None, case.name))
    image = decode_file(case.images[0]).array[0].astype(np.float64) / 255
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.6), facecolor="black")
    left.imshow(image, cmap="gray")
    right.imshow(overlay(image, masks(case, raw.classes, place.predictions("HandBone") / "ensemble")))
    for axes in (left, right):
        axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT, dpi=110)
    print(f"{OUT}: {case.name}")


def masks(case: Case, classes: tuple[str, ...], out: Path) -> NDArray[np.bool_]:
    """The predicted masks, (K, y, x)."""
    files = [out / escape_name(case.name) / f"{escape_name(name)}.png" for name in classes]
    return np.stack([decode_file(file).array[0] > 0 for file in files])


def overlay(image: NDArray[np.float64], found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Colours blended over the grey image, overlaps brighter; (y, x, 3) in [0, 1]."""
    colours = colormaps["hsv"](np.linspace(0, 1, len(found), endpoint=False))[:, :3]
    rng = np.random.default_rng(3)
    colours = colours[rng.permutation(len(found))]  # neighbours in the list are neighbours in the hand
    out = np.repeat(image[..., None], 3, axis=2)
    for mask, colour in zip(found, colours, strict=True):
        out[mask] = 0.55 * out[mask] + 0.45 * colour
    return np.clip(out, 0, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
