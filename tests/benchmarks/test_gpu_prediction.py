"""The images that are predicted."""

import numpy as np
import pytest

from autoseg.infer.parts import Parts
from autoseg.infer.window import Window
from benchmarks.clock import Clock
from benchmarks.devices import Cuda, Device
from benchmarks.gpu_prediction import HEAD, SIZES, Load, at_a_time, build_nets, loads, predict, rows


def test_tiles_of_the_images_that_are_compared() -> None:
    assert [next(loads(*size)).num_tiles for size in SIZES] == [1, 49, 16]
    assert [at_a_time(patch, Cuda()) for _, patch in SIZES] == [1, 16, 2]


def test_every_load_has_a_row() -> None:
    found = [dict(zip(HEAD, row, strict=True)) for row in rows(Device(), Clock(600))]
    assert [(row["image"], row["tiles"], row["folds"], row["flips"]) for row in found] == [
        ("12 x 12", "4", "1", "1"), ("12 x 12", "4", "1", "4"), ("12 x 12", "4", "5", "4"),
        ("8 x 12 x 8", "2", "1", "1"), ("8 x 12 x 8", "2", "1", "8"), ("8 x 12 x 8", "2", "5", "8"),
    ]  # fmt: skip
    assert [found[i]["times one fold without flips"] for i in (0, 3)] == ["1.00", "1.00"]


@pytest.mark.parametrize("shape", [(20, 12), (9, 20, 12)])
def test_masks_cover_the_image(shape: tuple[int, ...]) -> None:
    patch = (8,) * len(shape)
    nets = build_nets(Load(shape=shape, patch=patch, folds=2, mirror_axes=(0, 1)), Device())
    image = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    masks = predict(nets, image, Window(patch=patch, exclusive=False, batch=2), Parts())
    assert masks.shape == (3, *shape)
    assert masks.dtype == np.bool_
    assert len(nets) == 2
