"""Volumes in which context beyond a patch decides the class, and detail that a low resolution loses decides the outline.

Two balls lie in the middle of a long volume, alike in everything; a bright block lies at one of its ends, drawn anew for each case. The
ball on the block's side is of class "near", the other one "far". Balls are made of bright plates, 2 voxels thick and 1 apart; only the
plates are of the class. So a patch of 24 voxels never holds both a ball and the block, and voxels of 2.5 mm blur plates and gaps together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

CLASSES = ("near", "far")
SHAPE = (88, 40, 40)
RADIUS, BLOCK = 6.0, (4, 14, 14)
#: Middles of the balls along z, before they are moved by up to a voxel; voxels between a ball and the block are then 24 or more.
MIDDLES, JITTER = (36.0, 52.0), 1.0
PLATE, PERIOD = 2, 3
GROUND, BRIGHT, GAP, NOISE = 100.0, 200.0, 110.0, 8.0


def draw_volume(rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """An image and its labels, both (z, y, x): 1 for the plates of the ball on the block's side, 2 for those of the other one."""
    low_end = bool(rng.random() < 0.5)
    image, labels = np.full(SHAPE, GROUND), np.zeros(SHAPE, np.uint8)
    image[_block(rng, low_end=low_end)] = BRIGHT
    for at, middle in enumerate(MIDDLES):
        centre = np.array([middle, 20.0, 20.0]) + rng.uniform([-JITTER, -8, -8], [JITTER, 8, 8])
        z, y, x = grid = np.indices(SHAPE) - centre[:, None, None, None]
        ball = z * z + y * y + x * x < RADIUS**2
        # Plates lie across an axis that is drawn, beginning anywhere.
        plates = ball & (np.floor(grid[rng.integers(3)] + rng.integers(PERIOD) + 3 * PERIOD) % PERIOD < PLATE)
        image[ball] = GAP
        image[plates] = BRIGHT
        labels[plates] = 1 if (at == 0) == low_end else 2
    return (image + rng.normal(0, NOISE, SHAPE)).astype(np.int16), labels


def _block(rng: np.random.Generator, *, low_end: bool) -> tuple[slice, ...]:
    starts = [0 if low_end else SHAPE[0] - BLOCK[0], *rng.integers(2, SHAPE[1] - BLOCK[1] - 1, 2)]
    return tuple(slice(int(start), int(start) + size) for start, size in zip(starts, BLOCK, strict=True))


def write_dataset(folder: Path, *, train: int, test: int, seed: int = 0) -> None:
    """imagesTr, labelsTr, imagesTs, labelsTs and dataset.json; spacing 1 mm.

    Parameters
    ----------
    folder : Path
    train, test : int
        Cases.
    seed : int
        A case is a function of the seed and its number.
    """
    for number in range(train + test):
        image, labels = draw_volume(np.random.default_rng([seed, number]))
        part, name = ("Tr", f"case{number:02}") if number < train else ("Ts", f"new{number - train:02}")
        _write(folder / f"images{part}" / f"{name}.nii.gz", image)
        _write(folder / f"labels{part}" / f"{name}.nii.gz", labels)
    facts = {"labels": {"background": 0, **{name: k for k, name in enumerate(CLASSES, 1)}}}
    (folder / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")


def _write(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
