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
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.previous_store import PreviousStore
from autoseg.preprocess.store import PreparedStore
from autoseg.recipe import NO_AUGMENTATION, Augmentation
from autoseg.trainers.sampler import Sampler, read_mirrored
from tests import small
from tests.fingerprint.make import loaded
from tests.trainers.sampling import CASES, equal, position_image, sampler


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


def two_classes(folder: Path, **recipe: Any) -> Sampler:
    """Class 0 is the pixel (10, 10), class 1 the pixel (30, 20) of every case."""
    stage = small.stage(recipe=small.recipe(foreground_share=1.0, **recipe))
    plan, store = small.plan(stages={"2d": stage}), PreparedStore(folder)
    masks = [np.zeros((40, 30), bool), np.zeros((40, 30), bool)]
    masks[0][10, 10] = masks[1][30, 20] = True
    for name in CASES:
        store.write(prepare(loaded(name, position_image((40, 30)), masks), plan, stage=stage), key="k")
    return Sampler(store=store, cases=CASES, stage=stage, seed=0, fold="0", classes=plan.labels.classes)


@pytest.mark.parametrize(("weights", "share"), [({}, 1 / 2), ({"b c": 4.0}, 4 / 5), ({"손/any": 3.0, "b c": 1.0}, 1 / 4)])
def test_classes_are_centred_on_as_often_as_they_weigh(tmp_path: Path, weights: dict[str, float], share: float) -> None:
    one = two_classes(tmp_path, class_weights=weights)
    middles = [int(numbers(s)[8, 8]) for iteration in range(150) for s in one.batch(iteration)]
    assert set(middles) == {10 * 30 + 10, 30 * 30 + 20}
    assert middles.count(30 * 30 + 20) / 300 == pytest.approx(share, abs=0.07)


def test_class_weights_need_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="class_weights need the names of all 2 classes"):
        replace(two_classes(tmp_path, class_weights={"b c": 4.0}), classes=())


def test_cases_come_as_often_as_they_weigh(tmp_path: Path) -> None:
    one = sampler(tmp_path, recipe=small.recipe(case_weights={"case2": 6.0}))
    names = [one._case_name(iteration, index) for iteration in range(100) for index in range(2)]
    # Six of ten parts of a pass of five draws: three each.
    assert all(names[k : k + 5].count("case2") == 3 for k in range(0, 200, 5))
    assert {name: names.count(name) for name in CASES if name != "case2"} == pytest.approx(
        dict.fromkeys(set(CASES) - {"case2"}, 20), abs=10
    )
    assert names == [replace(one)._case_name(iteration, index) for iteration in range(100) for index in range(2)]


def test_patches_hold_the_least_foreground(tmp_path: Path) -> None:
    # A block of 12 x 12 in the corner of 60 x 60; a patch of 16 x 16 holds it by chance rarely.
    block = [(y, x) for y in range(12) for x in range(12)]
    kinds = [{"min_foreground": 0.0}, {"min_foreground": 0.1}]
    shares = []
    for k, recipe in enumerate(kinds):
        one = sampler(tmp_path / str(k), shape=(60, 60), points=block, recipe=small.recipe(foreground_share=0.0, **recipe))
        samples = [s for iteration in range(40) for s in one.batch(iteration)]
        assert all(equal(a, b) for a, b in zip(samples[:2], one.batch(0), strict=True))
        shares.append(np.mean([s.table[s.codes].any(-1).mean() >= 0.1 for s in samples]))
    # A place with enough has the chance p; of eleven tries one is enough with 1 - (1 - p) ** 11.
    assert shares[0] < 0.15
    assert shares[1] == pytest.approx(1 - (1 - 0.05) ** 11, abs=0.2)


def test_where_no_place_has_enough_the_best_is_taken(tmp_path: Path) -> None:
    one = sampler(tmp_path, points=[(20, 15)], recipe=small.recipe(foreground_share=0.0, min_foreground=0.5))
    found = [bool(s.table[s.codes].any()) for iteration in range(20) for s in one.batch(iteration)]
    assert np.mean(found) > 0.9  # the one pixel is in every second patch or so, and eleven were tried
    nothing = sampler(tmp_path / "none", points=[], recipe=small.recipe(min_foreground=0.5))
    assert len(nothing.batch(0)) == 2


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


@pytest.mark.parametrize("shape", [(20, 14), (6, 20, 18)])
def test_the_previous_stages_channels_are_cut_like_the_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    # Smaller than the patch, turned and scaled: boxes reach far beyond the borders.
    whole = small.recipe(augmentation=Augmentation(previous_removal_p=0))
    changes = {"previous": "2d_lowres", "network": small.network(in_channels=3), "recipe": whole}
    plain = sampler(tmp_path / "cases", shape=shape, points=[tuple(n // 2 for n in shape)], **changes)
    channels = PreviousStore(tmp_path / "previous")
    position = (position_image(shape)[0] % 251).astype(np.uint8)
    for name in CASES:
        channels.write(name, np.stack([position, 255 - position]), key="k", sliced=len(shape) == 3)
    one = replace(plain, store=PreparedStore(plain.store.folder, channels))
    for sample in one.batch(0) + one.batch(1):
        assert sample.previous is not None
        assert sample.image.shape[0] == 1
        assert len(sample.draw.gamma) == 1  # intensities are the image's
        np.testing.assert_array_equal(sample.previous[0], numbers(sample) % 251)
        np.testing.assert_array_equal(sample.previous[1], 255 - sample.previous[0])
    assert any(sample.draw.previous_morphology for k in range(10) for sample in one.batch(k))


def test_components_go_missing_from_what_is_cut_and_not_from_what_is_stored(tmp_path: Path) -> None:
    plain = sampler(tmp_path / "cases", previous="2d_lowres", network=small.network(in_channels=3))
    channels = PreviousStore(tmp_path / "previous")
    said = np.zeros((2, 40, 30), np.uint8)
    said[:, ::9, ::9] = 200  # single pixels: each is a component
    for name in CASES:
        channels.write(name, said, key="k", sliced=False)
    there = replace(plain, store=PreparedStore(plain.store.folder, channels))
    recipe = small.recipe(augmentation=replace(NO_AUGMENTATION, previous_removal_p=1.0))
    thinning = replace(there, stage=replace(there.stage, recipe=recipe))
    seen = set()
    for k in range(6):
        for all_of_it, thinned, again in zip(there.batch(k), thinning.batch(k), thinning.batch(k), strict=True):
            assert all_of_it.previous is not None
            assert thinned.previous is not None
            assert equal(thinned, again)
            lost = (all_of_it.previous > thinned.previous).sum(axis=(1, 2)).tolist()
            assert lost == [int(channel in {r.channel for r in thinned.draw.previous_removal}) for channel in range(2)]
            seen |= set(lost)
    assert seen == {0, 1}
    np.testing.assert_array_equal(channels.open(CASES[0])[:], said)


def test_a_cascade_draws_places_as_its_single_stage_does(tmp_path: Path) -> None:
    # The same seed: same cases, patches and warps, so that the two can be compared.
    single = sampler(tmp_path / "cases", recipe=small.recipe(augmentation=Augmentation()))
    channels = PreviousStore(tmp_path / "previous")
    for name in CASES:
        channels.write(name, np.zeros((2, 40, 30), np.uint8), key="k", sliced=False)
    stage = replace(single.stage, previous="2d_lowres", network=small.network(in_channels=3))
    both = replace(single, stage=stage, store=PreparedStore(single.store.folder, channels))
    assert all(equal(a, b) for k in range(3) for a, b in zip(single.batch(k), both.batch(k), strict=True))


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
