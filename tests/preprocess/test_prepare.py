"""Prepared cases, and the way back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoseg.errors import PlanError
from autoseg.plan import Normalization
from autoseg.preprocess.prepare import draw_points, normalise, prepare, smallest_dtype
from tests.fingerprint.make import loaded
from tests.preprocess.back import restore
from tests.preprocess.make import plan, stage

RNG = np.random.default_rng(0)


def disc(shape: tuple[int, ...], radius: float = 0.6) -> NDArray[np.bool_]:
    """An ellipse in the middle; radius as a share of half the image."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.asarray(sum(g**2 for g in grid) < radius**2)


def test_pixels_stay_as_they_are() -> None:
    image = RNG.integers(0, 255, (1, 20, 24), np.uint8)
    masks = [disc((20, 24)), disc((20, 24), 0.3)]
    done = prepare(loaded("a", image, masks), plan(), stage=stage())
    assert done.image.dtype == np.uint8
    np.testing.assert_array_equal(done.image, image)
    assert done.labels is not None
    np.testing.assert_array_equal(done.labels.mask(1), masks[1])
    assert done.meta.class_pixels == (masks[0].sum(), masks[1].sum())
    seen = normalise(done.image, done.meta)
    assert seen.mean() == pytest.approx(0, abs=1e-5)
    assert seen.std() == pytest.approx(1, abs=1e-5)


def test_a_case_without_labels() -> None:
    done = prepare(loaded("a", np.ones((1, 8, 8), np.uint8), None), plan(), stage=stage())
    assert done.labels is None
    assert done.points == ()
    assert (normalise(done.image, done.meta) == 0).all()  # constant: no division by zero


def test_normalisation_kinds() -> None:
    image = np.stack([np.full((8, 8), v, np.uint8) for v in (0, 128, 255)])
    image[1, 0, 0] = 255
    ct = Normalization(kind="ct", lower=10, upper=200, mean=100, std=50)
    unit = Normalization(kind="unit")
    done = prepare(loaded("a", image, None), plan(normalization=(ct, unit, unit)), stage=stage())
    seen = normalise(done.image, done.meta)
    assert seen[0, 0, 0] == pytest.approx((10 - 100) / 50)
    assert seen[1, 0, 0] == seen[2, 0, 0] == 0.5
    assert seen[1, 1, 1] == pytest.approx(128 / 255 - 0.5)


def test_crop_and_back() -> None:
    image = np.zeros((1, 20, 24), np.uint8)
    image[0, 4:14, 3:20] = 9
    done = prepare(loaded("a", image, [image[0] > 0]), plan(crop_to_nonzero=True), stage=stage())
    assert done.meta.box == ((4, 14), (3, 20))
    assert done.image.shape == (1, 10, 17)
    back = restore(np.ones((2, 10, 17), np.float32), done.meta, outside=(1.0, 0.0))
    assert back.shape == (2, 20, 24)
    assert (back[0] == 1).all()
    np.testing.assert_array_equal(back[1] == 1, image[0] > 0)


def test_slices_come_first() -> None:
    image = RNG.integers(0, 99, (1, 6, 7, 8), np.uint8)
    done = prepare(loaded("a", image, [image[0] > 50]), plan(3), stage=stage(3, slice_axis=2))
    assert done.image.shape == (1, 8, 6, 7)
    np.testing.assert_array_equal(done.image[0, 3], image[0, :, :, 3])
    assert done.labels is not None
    np.testing.assert_array_equal(done.labels.mask(0)[3], image[0, :, :, 3] > 50)
    np.testing.assert_array_equal(restore(done.image.astype(np.float32), done.meta), image)


@given(
    shape=st.lists(st.integers(4, 14), min_size=2, max_size=3),
    slice_axis=st.one_of(st.none(), st.integers(0, 2)),
    crop=st.booleans(),
    seed=st.integers(0, 99),
)
def test_without_resampling_the_way_back_is_exact(shape: list[int], slice_axis: int | None, *, crop: bool, seed: int) -> None:
    axes = len(shape)
    if axes == 2:
        slice_axis = None
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 3, (1, *shape), np.uint8)
    masks = [rng.random(shape) < 0.3, image[0] == 2]
    case = loaded("a", image, masks)
    done = prepare(case, plan(axes, crop_to_nonzero=crop), stage=stage(axes, slice_axis=slice_axis))
    assert done.image.shape[1:] == done.meta.shape
    inside = np.zeros(shape, np.bool_)
    inside[tuple(slice(*side) for side in done.meta.box)] = True
    np.testing.assert_array_equal(restore(done.image.astype(np.float32), done.meta), image)
    assert done.labels is not None
    heads = np.stack([done.labels.mask(k) for k in range(2)]).astype(np.float32)
    for back, mask in zip(restore(heads, done.meta) > 0.5, masks, strict=True):
        np.testing.assert_array_equal(back, mask & inside)


@pytest.mark.parametrize(
    ("shape", "spacing", "target", "slice_axis"),
    [
        ((40, 50), (1.0, 1.0), (2.0, 2.0), None),
        ((40, 50), (1.0, 1.0), (0.5, 0.7), None),
        ((20, 30, 24), (2.0, 1.0, 1.0), (1.0, 1.5, 1.5), None),
        ((20, 30, 24), (2.0, 1.0, 1.0), (3.0, 1.5, 1.5), 0),
    ],
)
def test_resampled_masks_come_back(
    shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...], slice_axis: int | None
) -> None:
    masks = [disc(shape, 0.8), disc(shape, 0.6)]
    image = (100 * masks[0] + RNG.integers(0, 9, shape))[None].astype(np.uint8)
    there = stage(len(shape), spacing=target, resample=True, slice_axis=slice_axis)
    done = prepare(loaded("a", image, masks, spacing=spacing), plan(len(shape)), stage=there)
    expected = [round(n * s / t) for n, s, t in zip(shape, spacing, target, strict=True)]
    if slice_axis == 0:
        expected[0] = shape[0]
    assert done.meta.shape == tuple(expected)
    assert done.labels is not None
    heads = np.stack([done.labels.mask(k) for k in range(2)]).astype(np.float32)
    for back, mask in zip(restore(heads, done.meta) > 0.5, masks, strict=True):
        # Surfaces move by less than half a coarse pixel; a grid off by one would lose twice as much.
        assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.93
        np.testing.assert_allclose(np.mean(np.nonzero(back), axis=1), np.mean(np.nonzero(mask), axis=1), atol=0.1)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([[0, 255]], np.int64), np.uint8),
        (np.array([[0.0, 200.0]], np.float64), np.uint8),
        (np.array([[-5, 100]], np.int16), np.int8),
        (np.array([[-1024, 3000]], np.int32), np.int16),
        (np.array([[0, 40000]], np.int32), np.uint16),
        (np.array([[0.5, 1.0]], np.float64), np.float32),
        (np.array([[0, 1_000_000]], np.float32), np.float32),
        (np.array([[True, False]]), np.uint8),
    ],
)
def test_the_smallest_dtype_that_loses_nothing(values: NDArray[Any], dtype: type) -> None:
    small = smallest_dtype(values)
    assert small.dtype == dtype
    np.testing.assert_array_equal(small, values)


def test_points_lie_in_their_class_and_depend_on_the_name_alone() -> None:
    masks = [disc((64, 64)), disc((64, 64), 0.1), np.zeros((64, 64), np.bool_)]
    image = RNG.integers(0, 255, (1, 64, 64), np.uint8)
    done = prepare(loaded("a", image, masks), plan(), stage=stage())
    again = prepare(loaded("a", 255 - image, masks), plan(), stage=stage())
    other = prepare(loaded("b", image, masks), plan(), stage=stage())
    assert [len(p) for p in done.points] == [1000, masks[1].sum(), 0]
    for mask, points in zip(masks, done.points, strict=True):
        assert mask[tuple(points.T)].all()
        assert points.dtype == np.int32
    np.testing.assert_array_equal(done.points[0], again.points[0])
    assert not np.array_equal(done.points[0], other.points[0])
    assert done.labels is not None
    assert draw_points(done.labels, seed=1)[1] == done.meta.class_pixels


def test_a_case_of_another_kind_is_refused() -> None:
    with pytest.raises(PlanError, match=r"is a picture \(2D\) of 3 channels; the plan default is for a picture \(2D\) of 1 channel$"):
        prepare(loaded("a", np.ones((3, 8, 8), np.uint8), None), plan(), stage=stage())


def test_a_channel_of_another_shape_is_refused() -> None:
    done = prepare(loaded("a", np.ones((1, 8, 8), np.uint8), None), plan(), stage=stage())
    with pytest.raises(ValueError, match="prepared shape"):
        restore(np.zeros((1, 4, 4)), done.meta)
