"""batchgenerators' transforms in workers: what they do to positions, how often, and that each sample is always the same one."""

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg.augment import Intensity, RawSample, draw_sample, make_batch, sample_rng
from autoseg.errors import FileFormatError, RunError
from autoseg.plan import Stage
from autoseg.preprocess.previous_store import PreviousStore
from autoseg.preprocess.store import PreparedStore
from autoseg.recipe import NO_AUGMENTATION, Augmentation
from autoseg.trainers.chain import transform_sample, wide_box
from autoseg.trainers.loader import work_ahead
from tests import small
from tests.trainers.sampling import CASES, equal, sampler

DRAWS = 300


@pytest.fixture(autouse=True)
def _kept() -> Iterator[None]:
    """The global generators that batchgenerators draws from."""
    state = random.getstate(), np.random.get_state()
    yield
    random.setstate(state[0])
    np.random.set_state(state[1])


def only(**changes: Any) -> Augmentation:
    """Workers that do nothing but this."""
    return replace(NO_AUGMENTATION, backend="workers", **changes)


def stage_of(axes: int, augmentation: Augmentation, **changes: Any) -> Stage:
    return small.stage(axes, recipe=small.recipe(augmentation=augmentation), **changes)


def positions(stage: Stage, draw: int = 0) -> RawSample:
    """A wide box whose channels hold each pixel's offset from the patch's centre, and the codes the numbers of the first axis."""
    axes = len(stage.patch)
    box = wide_box((0,) * axes, stage)
    grid = np.indices([b - a for a, b in zip(box.start, box.stop, strict=True)])
    drawn = draw_sample(
        sample_rng(0, "0", draw, 0), stage.recipe.augmentation, num_channels=axes, num_axes=axes, mirror_axes=(0, 1),
        rotation=stage.rotation_degrees, spacing=stage.net_spacing,
    )  # fmt: skip
    image = np.stack([line - centre for line, centre in zip(grid, box.centre, strict=True)]).astype(np.float32)
    return RawSample(
        image=image, codes=grid[0].astype(np.uint8), table=np.zeros((256, 2), bool), ignore=np.zeros(256, bool),
        intensity=Intensity.identity(axes), draw=drawn, centre=box.centre, previous=grid[1:2].astype(np.uint8),
    )  # fmt: skip


def matrix_of(sample: RawSample, patch: tuple[int, ...]) -> NDArray[np.float64]:
    """The matrix that turns offsets in the patch into those in the source, by least squares; it must explain them all."""
    offsets = np.indices(patch).reshape(len(patch), -1).T - (np.array(patch) - 1) / 2
    read = np.asarray(sample.image, np.float64).reshape(len(patch), -1).T
    solution = np.linalg.lstsq(offsets, read, rcond=None)[0]
    np.testing.assert_allclose(offsets @ solution, read, atol=1e-3)
    return np.asarray(solution.T)


@pytest.mark.parametrize("axes", [2, 3])
def test_what_nothing_is_done_to_is_the_patch_in_the_middle(axes: int) -> None:
    stage = stage_of(axes, only(), rotation_degrees=0.0)
    # A box wider than the stage asks for: the patch is cut out of its middle.
    raw = positions(stage_of(axes, only(scaling_p=1.0)))
    done = transform_sample(
        replace(raw, intensity=Intensity(mean=(1.0,) * axes, std=(2.0,) * axes, lower=(-5,) * axes, upper=(4,) * axes)), stage
    )
    expected = (np.clip(np.indices(stage.patch) - 7.5, -5, 4) - 1) / 2
    np.testing.assert_allclose(done.image, expected, atol=1e-6)
    assert done.image.dtype == np.float32
    assert done.codes.dtype == np.uint8
    assert (done.codes.shape, done.centre) == (stage.patch, (7.5,) * axes)
    assert done.intensity == Intensity.identity(axes)


@pytest.mark.parametrize("axes", [2, 3])
def test_warps_lie_in_the_recipes_ranges_at_its_probabilities(axes: int) -> None:
    stage = stage_of(axes, only(rotation_p=0.2, scaling_p=0.2, scaling=(0.7, 1.4)), rotation_degrees=30.0)
    num = DRAWS if axes == 2 else 60
    matrices = [matrix_of(transform_sample(positions(stage, k), stage), stage.patch) for k in range(num)]
    factors = np.array([np.linalg.det(m) ** (1 / axes) for m in matrices])
    turned = np.array([np.abs(m / f - np.eye(axes)).max() > 1e-3 for m, f in zip(matrices, factors, strict=True)])
    # Binomial, four standard deviations.
    margin = 4 * np.sqrt(0.16 / num)
    assert np.mean(turned) == pytest.approx(0.2, abs=margin)
    assert np.mean(np.abs(factors - 1) > 1e-3) == pytest.approx(0.2, abs=margin)
    assert 0.7 <= factors.min() < 0.85
    assert 1.15 < factors.max() <= 1.4
    if axes == 2:
        angles = np.degrees([np.arctan2(m[1, 0], m[0, 0]) for m in matrices])
        assert -30.01 < angles.min() < -15
        assert 15 < angles.max() < 30.01


def test_labels_and_previous_channels_go_where_the_image_goes() -> None:
    stage = stage_of(2, only(rotation_p=1.0, scaling_p=1.0, elastic_p=1.0), rotation_degrees=180.0)
    for k in range(10):
        raw = positions(stage, k)
        done = transform_sample(raw, stage)
        assert done.previous is not None
        y, x = (done.image[axis] + raw.centre[axis] for axis in range(2))
        inside = (y > 1) & (x > 1) & (y < len(raw.codes) - 2) & (x < len(raw.codes) - 2)
        assert inside.mean() > 0.95
        assert np.abs(done.codes - y)[inside].max() <= 0.5 + 1e-3
        assert np.abs(done.previous[0] - x)[inside].max() <= 0.5 + 1e-3
        assert done.previous.dtype == np.uint8


def test_whole_numbers_are_interpolated_in_fractions() -> None:
    stage = stage_of(2, only(rotation_p=1.0), rotation_degrees=30.0)
    raw = positions(stage)
    whole = np.indices(raw.codes.shape).astype(np.uint8)
    done, expected = transform_sample(replace(raw, image=whole), stage), transform_sample(raw, stage)
    np.testing.assert_allclose(done.image, expected.image + np.reshape(raw.centre, (2, 1, 1)), atol=1e-4)
    assert np.abs(done.image - done.image.round()).max() > 0.4


def test_a_coarse_axis_keeps_its_slices() -> None:
    stage = stage_of(3, only(rotation_p=1.0, scaling_p=1.0), patch=(8, 16, 16), spacing=(5.0, 1.0, 1.0), rotation_degrees=180.0)
    raw = positions(stage)
    assert raw.codes.shape[0] == 8
    done = transform_sample(raw, stage)
    np.testing.assert_array_equal(done.codes, np.broadcast_to(np.arange(8)[:, None, None], (8, 16, 16)))
    np.testing.assert_allclose(done.image[0], np.broadcast_to(np.arange(8)[:, None, None] - 3.5, (8, 16, 16)), atol=1e-5)
    assert np.abs(done.image[1] - done.image[1][:1]).max() < 1e-5
    assert np.abs(done.image[1][0] - (np.arange(16)[:, None] - 7.5)).max() > 1


@pytest.mark.parametrize(
    ("name", "p"),
    [("noise", 0.1), ("blur", 0.2), ("brightness", 0.15), ("contrast", 0.15), ("lowres", 0.25), ("gamma", 0.3), ("gamma_inverted", 0.1)],
)
def test_intensities_are_changed_at_the_recipes_probabilities(name: str, p: float) -> None:
    stage = stage_of(2, only(**{f"{name}_p": p}), rotation_degrees=0.0)
    raw = positions(stage)
    same = raw.image
    changed = []
    for k in range(DRAWS):
        draw = replace(raw.draw, noise_seed=k)
        image = transform_sample(replace(raw, draw=draw), stage).image
        changed += [np.abs(image[c] - same[c]).max() > 1e-4 for c in range(2)]
    # Blur and low resolution meet half of the channels; a resolution near 1 may leave 16 pixels as they are.
    share = p / 2 if name in ("blur", "lowres") else p
    low = 4 * np.sqrt(share * (1 - share) / DRAWS) + (0.02 if name == "lowres" else 0.0)
    assert np.mean(changed) == pytest.approx(share, abs=low)


def test_brightness_is_a_factor_from_the_range() -> None:
    stage = stage_of(2, only(brightness_p=1.0, brightness=(0.5, 2.0)), rotation_degrees=0.0)
    raw = positions(stage)
    factors = []
    for k in range(50):
        ratio = transform_sample(replace(raw, draw=replace(raw.draw, noise_seed=k)), stage).image / raw.image
        assert np.ptp(ratio[0]) < 1e-5
        factors.append(float(ratio[0, 0, 0]))
    assert 0.5 <= min(factors) < 0.8 < 1.7 < max(factors) <= 2.0


def test_flips_are_the_devices_and_classes_change_sides_with_them() -> None:
    stage = stage_of(2, only(flip_p=0.5), rotation_degrees=0.0)
    plain = replace(stage.recipe.augmentation, backend="device")
    flips = set()
    for k in range(20):
        raw = positions(stage, k)
        other = draw_sample(sample_rng(0, "0", k, 0), plain, num_channels=2, num_axes=2, mirror_axes=(0, 1), rotation=0.0)
        assert raw.draw.flips == other.flips
        flips.add(raw.draw.flips)
        table = np.array([[False, True]] * 256)
        done = transform_sample(replace(raw, table=table, previous=None), stage)
        batch = make_batch([done], stage.patch, device=small.CPU, swap=(1, 0))
        expected = torch.from_numpy(raw.image).flip([axis + 1 for axis in raw.draw.flips])
        torch.testing.assert_close(batch.images[0], expected)
        assert batch.table[0, 0].tolist() == [len(raw.draw.flips) % 2 == 1, len(raw.draw.flips) % 2 == 0]
    assert flips == {(), (0,), (1,), (0, 1)}


def test_the_sampler_cuts_what_the_device_would_have_got(tmp_path: Path) -> None:
    device = sampler(tmp_path, recipe=small.recipe(augmentation=NO_AUGMENTATION))
    workers = replace(device, stage=small.with_recipe(device.stage, augmentation=only(scaling_p=1e-9)))
    for iteration in range(5):
        for a, b in zip(device.batch(iteration), workers.batch(iteration), strict=True):
            batches = [make_batch([s], (16, 16), device=small.CPU) for s in (a, b)]
            torch.testing.assert_close(batches[0].images, batches[1].images, rtol=1e-6, atol=1e-4)
            assert torch.equal(batches[0].codes, batches[1].codes)
    assert workers.name(3) == "the batch of iteration 3 (" + ", ".join(workers._case_name(3, k) for k in range(2)) + ")"


def test_any_number_of_processes_makes_the_same_samples(tmp_path: Path) -> None:
    everything = Augmentation(backend="workers", elastic_p=0.5)
    network, recipe = small.network(in_channels=3), small.recipe(augmentation=everything)
    plain = sampler(tmp_path / "cases", previous="2d_lowres", network=network, recipe=recipe)
    channels = PreviousStore(tmp_path / "previous")
    for k, name in enumerate(CASES):
        channels.write(name, np.full((2, 40, 30), 50 * k, np.uint8), key="k", sliced=False)
    one = replace(plain, store=PreparedStore(plain.store.folder, channels))
    here = [one.batch(iteration) for iteration in range(3, 9)]
    for workers in (1, 2):
        batches = work_ahead(one.batch, range(3, 9), name=one.name, workers=workers)
        there = [next(batches) for _ in here]
        batches.close()
        for ours, theirs in zip(here, there, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert equal(a, b)
                assert a.previous is not None
                assert b.previous is not None
                np.testing.assert_array_equal(a.previous, b.previous)


def read_or_fail(index: int) -> int:
    if index == 2:
        raise FileFormatError("case.b2nd is cut short")
    return index


def test_a_workers_own_error_and_traceback_arrive_in_their_turn() -> None:
    batches = work_ahead(read_or_fail, range(9), name=str, workers=1)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(FileFormatError, match=r"case\.b2nd is cut short") as caught:
        next(batches)
    assert "in read_or_fail" in str(caught.value.__cause__)


def read_or_die(index: int) -> int:
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def test_a_worker_that_dies_is_named_with_what_it_worked_on() -> None:
    batches = work_ahead(read_or_die, range(9), name=lambda index: f"the batch of iteration {index} (a, b)", workers=1)
    assert next(batches) == 0
    with pytest.raises(
        RunError, match=r"the batch of iteration 1 \(a, b\): the process that worked on it was killed by SIGKILL, 2 times"
    ) as caught:
        next(batches)
    assert "a smaller budget.workers in the plan" in str(caught.value)


@pytest.mark.parametrize("name", ["grid_distortion_p", "clahe_p", "dropout_p"])
def test_what_batchgenerators_has_not_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"backend workers has no such transform: {name} must be 0, got 0.2"):
        only(**{name: 0.2})
    with pytest.raises(ValueError, match="backend must be device or workers, got gpu"):
        replace(NO_AUGMENTATION, backend="gpu")  # type: ignore[arg-type]
