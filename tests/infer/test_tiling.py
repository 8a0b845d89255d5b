"""Tiles by eye, borders by hand, weights that sum to one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.infer.tiling import gaussian, plan_axis, subsets, tile_starts, tiles


@pytest.mark.parametrize(
    ("length", "patch", "step", "expected"),
    [
        (10, 4, 0.5, (0, 2, 4, 6)),
        (8, 8, 0.5, (0,)),
        (9, 8, 0.5, (0, 1)),
        (5, 8, 0.5, (-1,)),
        (1, 8, 0.5, (-3,)),
        (16, 8, 1.0, (0, 8)),
        (17, 8, 1.0, (0, 4, 9)),  # spread evenly: 0, 4.5, 9, halves to the even number
        (3, 1, 0.5, (0, 1, 2)),  # a step of at least one pixel
    ],
)
def test_starts(length: int, patch: int, step: float, expected: tuple[int, ...]) -> None:
    assert tile_starts(length, patch, step) == expected


@given(st.integers(1, 200), st.integers(1, 64), st.floats(0.05, 1.0))
def test_starts_cover_the_axis_without_larger_steps(length: int, patch: int, step: float) -> None:
    starts = tile_starts(length, patch, step)
    assert starts[0] <= 0
    assert starts[-1] + patch >= length
    if length > patch:
        assert starts[0] == 0
        assert starts[-1] + patch == length
        gaps = np.diff(starts)
        assert gaps.min() >= 1
        assert gaps.max() <= max(1, int(np.ceil(patch * step)))


@pytest.mark.parametrize(("length", "patch", "step"), [(0, 4, 0.5), (4, 0, 0.5), (4, 4, 0.0), (4, 4, 1.5)])
def test_wrong_numbers_are_named(length: int, patch: int, step: float) -> None:
    with pytest.raises(ValueError, match=r"got"):
        tile_starts(length, patch, step)


def test_tiles_go_row_by_row() -> None:
    assert tiles((6, 6), (4, 4)) == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert len(tiles((2048, 2048), (512, 512), 0.5)) == 49
    assert tiles((3, 8, 4), (1, 8, 8), 1.0) == [(0, 0, -2), (1, 0, -2), (2, 0, -2)]


def test_gaussian_in_closed_form() -> None:
    weights = gaussian(16)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, weights[::-1])
    assert weights.max() == 1
    # sigma = 2; half a pixel from the middle, then 7.5 pixels
    np.testing.assert_allclose(weights[0], np.exp(-0.5 * (7.5 / 2) ** 2) / np.exp(-0.5 * (0.5 / 2) ** 2), rtol=1e-6)


@pytest.mark.parametrize("share", [1 / 8, 1 / 64])
def test_no_weight_is_zero(share: float) -> None:
    assert gaussian(512, share).min() > 0


@given(st.integers(1, 100), st.integers(1, 40), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_weights_are_a_partition_of_unity(length: int, patch: int, step: float) -> None:
    axis = plan_axis(length, patch, step)
    total = np.zeros(length)
    for start, weights in axis.weights.items():
        image, tile = axis.inside(start)
        assert weights[tile].min() > 0
        total[image] += weights[tile]
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_small_image_lies_in_the_middle_of_its_mirror() -> None:
    row = np.array([10, 11, 12, 13, 14])
    axis = plan_axis(5, 8)
    (start,) = axis.starts
    np.testing.assert_array_equal(row[axis.indices(start)], np.pad(row, (1, 2), mode="reflect"))
    np.testing.assert_array_equal(row[axis.indices(start)][axis.inside(start)[1]], row)


def test_a_mirror_repeats_where_the_image_is_smaller_than_the_pad() -> None:
    row = np.array([1, 2, 3])
    axis = plan_axis(3, 16)
    # By hand: 6 mirrored pixels before, 7 behind
    assert row[axis.indices(axis.starts[0])].tolist() == [3, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2]
    np.testing.assert_array_equal(row[axis.indices(axis.starts[0])], np.pad(row, (6, 7), mode="reflect"))


def test_subsets() -> None:
    assert subsets(()) == [()]
    assert subsets((0, 1)) == [(), (0,), (1,), (0, 1)]
    assert len(subsets((0, 1, 2))) == 8
