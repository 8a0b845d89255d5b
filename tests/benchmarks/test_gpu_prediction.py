"""The images that are predicted."""

import numpy as np

from autoseg.infer.window import Window
from benchmarks.clock import Clock
from benchmarks.devices import Cuda, Device
from benchmarks.gpu_prediction import HEAD, Load, at_a_time, build_nets, num_tiles, predict, rows


def test_tiles_of_the_image_that_is_compared() -> None:
    assert (num_tiles(2048, 512), num_tiles(2048, 2048)) == (49, 1)
    assert (at_a_time(512, Cuda()), at_a_time(2048, Cuda())) == (16, 1)


def test_every_load_has_a_row() -> None:
    found = [dict(zip(HEAD, row, strict=True)) for row in rows(Device(), Clock(600))]
    assert [(row["tiles"], row["folds"], row["flips"]) for row in found] == [("4", "1", "1"), ("4", "1", "4"), ("4", "5", "4")]
    assert found[0]["times one fold without flips"] == "1.00"


def test_masks_cover_the_image() -> None:
    nets = build_nets(Load(patch=8, folds=2, mirror_axes=(0, 1)), Device())
    image = np.random.default_rng(0).integers(0, 256, (1, 20, 12), np.uint8)
    masks = predict(nets, image, Window(patch=(8, 8), exclusive=False, batch=2))
    assert masks.shape == (3, 20, 12)
    assert masks.dtype == np.bool_
    assert len(nets) == 2
