"""One warp: what it reads, what it makes of known pictures, and that it invents no code."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import Tensor

from autoseg.augment import SampleDraw, source_box, warp
from autoseg.augment.draws import rotation_matrix
from autoseg.augment.warp import flip_and_warp
from tests import small


def centre_of(shape: tuple[int, ...]) -> tuple[float, ...]:
    return tuple((n - 1) / 2 for n in shape)


def warped(image: NDArray[Any], codes: NDArray[Any], draw: SampleDraw, patch: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    given = torch.from_numpy(image.astype(np.float32)), torch.from_numpy(codes.astype(np.int32))
    return sampled(*given, draw, patch, centre_of(codes.shape))


def sampled(image: Tensor, codes: Tensor, draw: SampleDraw, patch: tuple[int, ...], centre: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    made = torch.empty((len(image), *patch)), torch.empty(patch, dtype=torch.int32)
    flip_and_warp(image, codes, draw, centre, image_out=made[0], codes_out=made[1])
    return made


def picture(shape: tuple[int, ...], codes: int = 50) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(0)
    return rng.random((2, *shape)), rng.integers(0, codes, shape)


@pytest.mark.parametrize("shape", [(7, 8), (3, 4, 5)])
def test_without_a_draw_nothing_moves(shape: tuple[int, ...]) -> None:
    image, codes = picture(shape)
    got = warped(image, codes, small.neutral(), shape)
    assert torch.equal(got[0], torch.from_numpy(image.astype(np.float32)))
    assert got[1].tolist() == codes.tolist()


@pytest.mark.parametrize("shape", [(7, 8), (3, 4, 5)])
def test_the_identity_matrix_moves_nothing(shape: tuple[int, ...]) -> None:
    image, codes = picture(shape)
    got = warped(image, codes, small.neutral(matrix=np.eye(len(shape))), shape)
    np.testing.assert_allclose(got[0].numpy(), image, atol=1e-5)
    assert got[1].tolist() == codes.tolist()


@pytest.mark.parametrize("flips", [(0,), (1,), (0, 1), (2,), (0, 2)])
def test_flips_are_numpys(flips: tuple[int, ...]) -> None:
    shape = (3, 4, 5) if 2 in flips else (4, 5)
    image, codes = picture(shape)
    got = warped(image, codes, small.neutral(flips=flips), shape)
    np.testing.assert_allclose(got[0].numpy(), np.flip(image, tuple(axis + 1 for axis in flips)), atol=1e-6)
    assert got[1].tolist() == np.flip(codes, flips).tolist()


@pytest.mark.parametrize(
    ("shape", "plane"), [((8, 8), (0, 1)), ((7, 7), (0, 1)), ((3, 6, 6), (1, 2)), ((6, 3, 6), (0, 2)), ((5, 5, 2), (0, 1))]
)
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_right_angles_are_rot90(shape: tuple[int, ...], plane: tuple[int, int], quarters: int) -> None:
    image, codes = picture(shape)
    matrix = rotation_matrix(len(shape), plane, quarters * np.pi / 2)
    got = warped(image, codes, small.neutral(matrix=matrix), shape)
    # Output offset -> source offset by +90 degrees: the picture itself turns by -90.
    np.testing.assert_allclose(got[0].numpy(), np.rot90(image, -quarters, (plane[0] + 1, plane[1] + 1)), atol=1e-4)
    assert got[1].tolist() == np.rot90(codes, -quarters, plane).tolist()


@pytest.mark.parametrize("flips", [(0,), (1,), (0, 1)])
def test_a_flip_comes_after_the_warp(flips: tuple[int, ...]) -> None:
    image, codes = picture((12, 14))
    matrix = 0.8 * rotation_matrix(2, (0, 1), 0.4)
    plain = warped(image, codes, small.neutral(matrix=matrix), (6, 8))
    both = warped(image, codes, small.neutral(matrix=matrix, flips=flips), (6, 8))
    torch.testing.assert_close(both[0], plain[0].flip([axis + 1 for axis in flips]), rtol=1e-4, atol=1e-5)
    # Positions midway between two pixels may fall to either side.
    assert float((both[1] == plain[1].flip(flips)).float().mean()) > 0.95


@given(st.integers(0, 1000), st.sampled_from([2, 3]))
@settings(max_examples=30)
def test_no_code_is_invented(seed: int, axes: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(4, 10, axes))
    image, _ = picture(shape)
    codes = rng.choice([3, 200, 70_000 % 65_536, 65_535], shape)
    draw = small.neutral(matrix=rng.normal(size=(axes, axes)), flips=(0,))
    assert set(warped(image, codes, draw, shape)[1].flatten().tolist()) <= set(codes.ravel().tolist())


def test_65536_codes_stay_exact() -> None:
    codes = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    image = np.zeros((1, 256, 256))
    assert warped(image, codes, small.neutral(matrix=np.eye(2)), (256, 256))[1].tolist() == codes.tolist()


@given(st.integers(0, 1000), st.sampled_from([2, 3]))
@settings(max_examples=50)
def test_the_source_box_holds_all_that_is_read(seed: int, axes: int) -> None:
    # A picture of each pixel's own position is linear: read without reaching beyond the box it is the matrix itself.
    rng = np.random.default_rng(seed)
    corner, patch = tuple(int(n) for n in rng.integers(-20, 20, axes)), tuple(int(n) for n in rng.integers(1, 9, axes))
    matrix = np.eye(axes) * rng.uniform(0.5, 2)
    for plane in [(0, 1), (0, 2), (1, 2)][: 1 if axes == 2 else 3]:
        matrix = matrix @ rotation_matrix(axes, plane, rng.uniform(-np.pi, np.pi))
    box = source_box(corner, patch, small.neutral(matrix=matrix))
    positions = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(box.start, box.stop, strict=True)], indexing="ij"))
    codes = torch.zeros(positions.shape[1:], dtype=torch.int32)
    got, _ = sampled(torch.from_numpy(positions.astype(np.float32)), codes, small.neutral(matrix=matrix), patch, box.centre)
    offsets = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in patch], indexing="ij"))
    middle = np.array([c + (n - 1) / 2 for c, n in zip(corner, patch, strict=True)])
    expected = np.einsum("ij,j...->i...", matrix, offsets) + middle.reshape(-1, *[1] * axes)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-3)
    # And it is no larger than it must be: two pixels beyond the outermost position, and the rounding.
    for axis in range(axes):
        assert expected[axis].min() - box.start[axis] < 3
        assert box.stop[axis] - 1 - expected[axis].max() < 3


def deformed(axes: int, seed: int = 0, *, intervals: int = 4, **changes: Any) -> SampleDraw:
    """Elastic and grid distortion, and what else `changes` says."""
    rng = np.random.default_rng(seed)
    widths = rng.uniform(0.7, 1.3, (axes, 5))
    given: dict[str, Any] = {
        "elastic": rng.uniform(-0.4, 0.4, (axes, *[intervals + 3] * axes)), "grid": widths / widths.mean(axis=1, keepdims=True),
    }  # fmt: skip
    return small.neutral(**{**given, **changes})


def positions_read(draw: SampleDraw, patch: tuple[int, ...]) -> NDArray[Any]:
    """Where each pixel is read, (A, P), patch's own corner at 0: the picture of each pixel's position, warped."""
    box = source_box((0,) * len(patch), patch, draw)
    places = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(box.start, box.stop, strict=True)], indexing="ij"))
    codes = torch.zeros(places.shape[1:], dtype=torch.int32)
    return sampled(torch.from_numpy(places.astype(np.float32)), codes, draw, patch, box.centre)[0].numpy()


@pytest.mark.parametrize("shape", [(17, 23), (9, 8, 11)])
def test_elastic_is_scipys_spline_through_the_same_control_points(shape: tuple[int, ...]) -> None:
    intervals = 4
    draw = deformed(len(shape), grid=None)
    assert draw.elastic is not None
    # Pixel i of n lies at (i + 1/2) / n of the intervals, whose first control point stands one interval before the edge.
    knots = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n * intervals + 1 for n in shape], indexing="ij"))
    shifts = [
        map_coordinates(points, knots, order=3, prefilter=False) * n / intervals for points, n in zip(draw.elastic, shape, strict=True)
    ]
    there = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    np.testing.assert_allclose(positions_read(draw, shape), there + shifts, atol=1e-4)


def test_a_distorted_grid_moves_its_lines_and_keeps_its_ends() -> None:
    # Eleven pixels, five cells of two: the third cell twice as wide, the others narrower.
    widths = np.array([0.75, 0.75, 2.0, 0.75, 0.75])
    read = positions_read(small.neutral(grid=np.stack([widths, np.ones(5)])), (11, 11))
    np.testing.assert_allclose(read[0][:, 0], [0, 0.75, 1.5, 2.25, 3, 5, 7, 7.75, 8.5, 9.25, 10], atol=1e-5)
    np.testing.assert_allclose(read[1][0], np.arange(11), atol=1e-5)


@pytest.mark.parametrize("axes", [2, 3])
def test_deformations_come_before_rotation_and_flips_last(axes: int) -> None:
    patch = (12, 14, 10)[:axes]
    matrix = 1.2 * rotation_matrix(axes, (0, 1), 0.5)
    half = np.array([(n - 1) / 2 for n in patch]).reshape(-1, *[1] * axes)
    plain = positions_read(deformed(axes), patch)
    turned = positions_read(deformed(axes, matrix=matrix), patch)
    np.testing.assert_allclose(turned, np.einsum("ij,j...->i...", matrix, plain - half) + half, atol=1e-3)
    for flips in [(0,), (1,), (0, 1)]:
        both = positions_read(deformed(axes, matrix=matrix, flips=flips), patch)
        np.testing.assert_allclose(both, np.flip(turned, tuple(axis + 1 for axis in flips)), atol=1e-4)


@given(st.integers(0, 1000), st.sampled_from([2, 3]), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_a_deformation_folds_nothing_and_stays_in_its_box(seed: int, axes: int, intervals: int) -> None:
    patch = (24, 30, 20)[:axes]
    draw = deformed(axes, seed, intervals=intervals)
    read = positions_read(draw, patch)  # linear inside the box: beyond it the border would repeat
    jacobian = np.stack([np.stack(np.gradient(part)) for part in read])
    assert np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1))).min() > 0
    box = source_box((0,) * axes, patch, draw)
    for axis in range(axes):
        assert box.start[axis] < read[axis].min()
        assert read[axis].max() < box.stop[axis] - 1


def test_strips_of_a_patch_are_the_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    image, codes = picture((30, 26))
    draw = deformed(2, matrix=rotation_matrix(2, (0, 1), 0.3), flips=(1,))
    whole = warped(image, codes, draw, (20, 18))
    monkeypatch.setattr(warp, "STRIP_PIXELS", 50)
    strips = warped(image, codes, draw, (20, 18))
    torch.testing.assert_close(strips[0], whole[0], rtol=0, atol=1e-5)
    assert torch.equal(strips[1], whole[1])


def test_an_unwarped_patch_is_its_own_box() -> None:
    box = source_box((-3, 5), (8, 5), small.neutral())
    assert (box.start, box.stop, box.centre) == ((-3, 5), (5, 10), (3.5, 2.0))
