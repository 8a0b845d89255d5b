"""Samples: which case, which place, and what is read of it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoseg.augment import RawSample
from autoseg.plan import Stage
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.store import PreparedStore
from autoseg.recipe import Augmentation
from autoseg.trainers.sampler import Sampler, read_mirrored
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


def test_the_same_arguments_give_the_same_sample(tmp_path: Path) -> None:
    one = sampler(tmp_path, recipe=small.recipe(augmentation=Augmentation()))
    first = one.batch(7)
    one.batch(3)
    assert len(first) == 2
    assert all(equal(a, b) for a, b in zip(first, one.batch(7), strict=True))
    assert all(equal(a, one.sample(7, index)) for index, a in enumerate(first))
    assert not equal(first[0], first[1])
    assert not equal(first[0], replace(one, seed=1).sample(7, 0))
    assert not equal(first[0], replace(one, fold="1").sample(7, 0))


def test_every_pass_shows_each_case_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    one = sampler(tmp_path)
    names = [one._case_name(iteration, index) for iteration in range(50) for index in range(2)]
    passes = [tuple(names[k : k + 5]) for k in range(0, 100, 5)]
    assert all(Counter(p) == Counter(CASES) for p in passes)
    assert len(set(passes)) > 10


def numbers(sample: RawSample) -> NDArray[np.uint16]:
    return np.asarray(sample.image[0], np.uint16)  # stored in the smallest dtype


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_patches_lie_inside(tmp_path: Path, share: float) -> None:
    one = sampler(tmp_path, points=[(0, 0), (39, 29), (0, 29)], recipe=small.recipe(foreground_share=share))
    for iteration in range(20):
        for sample in one.batch(iteration):
            first = int(numbers(sample)[0, 0])
            y, x = divmod(first, 30)
            assert 0 <= y <= 40 - 16
            assert 0 <= x <= 30 - 16
            assert (numbers(sample) == position_image((40, 30))[0, y : y + 16, x : x + 16]).all()


def test_corners_are_drawn_evenly(tmp_path: Path) -> None:
    one = sampler(tmp_path, shape=(18, 16), points=[(5, 5)], recipe=small.recipe(foreground_share=0.0))
    corners = Counter(int(numbers(s)[0, 0]) // 16 for iteration in range(150) for s in one.batch(iteration))
    assert corners.keys() == {0, 1, 2}
    assert min(corners.values()) > 70


def test_foreground_is_in_the_middle_when_it_is_asked_for(tmp_path: Path) -> None:
    one = sampler(tmp_path, points=[(20, 15)], recipe=small.recipe(foreground_share=1.0))
    for sample in one.batch(0) + one.batch(1):
        assert int(numbers(sample)[8, 8]) == 20 * 30 + 15
        assert sample.table[sample.codes[8, 8]].tolist() == [False, True]


def test_the_share_of_foreground_is_kept(tmp_path: Path) -> None:
    one = sampler(tmp_path, shape=(60, 60), points=[(30, 30)], recipe=small.recipe(foreground_share=1 / 3))
    centred = sum(int(numbers(s)[8, 8]) == 30 * 60 + 30 for iteration in range(150) for s in one.batch(iteration))
    assert centred / 300 == pytest.approx(1 / 3, abs=0.08)


def test_a_case_without_foreground_is_sampled_anywhere(tmp_path: Path) -> None:
    one = sampler(tmp_path, points=[], recipe=small.recipe(foreground_share=1.0))
    assert len({int(numbers(s)[0, 0]) for iteration in range(10) for s in one.batch(iteration)}) > 5


def test_an_image_smaller_than_the_patch_is_mirrored(tmp_path: Path) -> None:
    one = sampler(tmp_path, shape=(5, 9), points=[(2, 2)])
    padded = np.pad(position_image((5, 9))[0], 16, mode="reflect")
    windows = {padded[y : y + 16, x : x + 16].tobytes() for y in range(16 - 11, 17) for x in range(16 - 7, 17)}
    assert all(numbers(s).tobytes() in windows for iteration in range(10) for s in one.batch(iteration))


def test_slices_of_volumes(tmp_path: Path) -> None:
    one = sampler(tmp_path, shape=(6, 20, 18), points=[(4, 10, 9)], recipe=small.recipe(foreground_share=1.0))
    for sample in one.batch(0):
        assert sample.image.shape == (1, 16, 16)
        assert int(numbers(sample)[8, 8]) in {4 * 360 + y * 18 + x for y in (8, 9, 10) for x in (8, 9, 10)}
        assert len(set((numbers(sample) // 360).ravel().tolist())) == 1
    anywhere = sampler(tmp_path / "b", shape=(6, 20, 18), points=[(4, 10, 9)], recipe=small.recipe(foreground_share=0.0))
    assert {int(numbers(s)[0, 0]) // 360 for iteration in range(40) for s in anywhere.batch(iteration)} == set(range(6))


@given(st.data())
def test_reading_beyond_the_border_is_numpys_reflect(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=3)))
    array = np.arange(2 * np.prod(shape)).reshape(2, *shape)
    slices, padded = [], np.pad(array, [(0, 0)] + [(30, 30)] * len(shape), mode="reflect")
    for _ in shape:
        start = data.draw(st.integers(-20, 20))
        slices.append(slice(start, start + data.draw(st.integers(1, 10))))
    expected = padded[(slice(None), *[slice(s.start + 30, s.stop + 30) for s in slices])]
    assert read_mirrored(array, slices, leading=1).tolist() == expected.tolist()
    assert read_mirrored(array[0], slices, leading=0).tolist() == expected[0].tolist()
