"""A sampler of five equal cases in which every pixel is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.augment import RawSample
from autoseg.plan import Stage
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.store import PreparedStore
from autoseg.trainers.sampler import Sampler
from tests import small
from tests.fingerprint.make import loaded

CASES = tuple(f"case{k}" for k in range(5))


def position_image(shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Every pixel holds its own number."""
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(1, *shape)


def store_of(folder: Path, shape: tuple[int, ...], points: list[tuple[int, ...]], stage: Stage, axes: int) -> PreparedStore:
    """Five equal cases; class 0 is nowhere, class 1 is one pixel at each point."""
    store = PreparedStore(folder)
    masks = [np.zeros(shape, bool), np.zeros(shape, bool)]
    for point in points:
        masks[1][point] = True
    plan = replace(small.plan(axes=2), num_axes=axes, stages={stage.name: stage})
    for name in CASES:
        store.write(prepare(loaded(name, position_image(shape), masks), plan, stage=stage), key="k")
    return store


def sampler(folder: Path, shape: tuple[int, ...] = (40, 30), points: Any = ((20, 15),), **changes: Any) -> Sampler:
    axes = len(shape)
    slices = {"slice_axis": 0, "spacing": (1.0,) * 3, "image_shape": shape} if axes == 3 else {}
    stage = small.stage(**{**slices, **changes})
    return Sampler(store=store_of(folder, shape, list(points), stage, axes), cases=CASES, stage=stage, seed=0, fold="0")


def equal(a: RawSample, b: RawSample) -> bool:
    same = np.array_equal(a.image, b.image) and np.array_equal(a.codes, b.codes) and a.centre == b.centre
    return same and a.draw.noise_seed == b.draw.noise_seed and a.draw.flips == b.draw.flips
