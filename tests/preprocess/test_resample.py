"""Interpolation with closed-form answers."""

import numpy as np
import pytest

from autoseg.labels import encode_masks
from autoseg.preprocess import resample as module
from autoseg.preprocess.resample import Kernel, along, interpolation_matrix, kernels_for, linear, resample, resample_labels


@pytest.mark.parametrize("kernel", ["cubic", "linear"])
@pytest.mark.parametrize(("length", "new_length"), [(8, 16), (16, 8), (10, 7), (1, 5), (5, 1), (7, 7)])
def test_weights_sum_to_one(length: int, new_length: int, kernel: Kernel) -> None:
    matrix = interpolation_matrix(length, new_length, kernel=kernel)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    if length == new_length:
        np.testing.assert_allclose(matrix.toarray(), np.eye(length), atol=1e-6)


@pytest.mark.parametrize(("shape", "power"), [((32, 12), 1), ((32, 12), 2), ((64, 24), 2)])
def test_cubic_keeps_polynomials(shape: tuple[int, int], power: int) -> None:
    # Keys' kernel reproduces a parabola exactly where no border is near; pixel centres map to (i + 0.5) * step - 0.5.
    ramp = np.arange(16.0)
    image = (ramp[:, None] ** power) * np.ones(6)
    out = resample(image, shape, kernels=("cubic", "cubic"))
    y = (np.arange(shape[0]) + 0.5) * 16 / shape[0] - 0.5
    inside = (y > 2) & (y < 13)
    np.testing.assert_allclose(out[inside], np.broadcast_to(y[inside, None] ** power, out[inside].shape), rtol=1e-5)


def test_halving_averages() -> None:
    image = np.random.default_rng(0).random((8, 8))
    out = resample(image, (8, 4), kernels=linear(2))
    # A triangle two pixels wide on each side: 1/8, 3/8, 3/8, 1/8
    np.testing.assert_allclose(out[:, 1], image[:, 1:5] @ [1 / 8, 3 / 8, 3 / 8, 1 / 8], rtol=1e-5)


def test_a_coarse_axis_is_linear() -> None:
    assert kernels_for((5.0, 0.8, 0.8)) == ("linear", "cubic", "cubic")
    assert kernels_for((1.0, 1.0)) == ("cubic", "cubic")


def test_three_axes() -> None:
    z, y, x = np.mgrid[:8, :8, :16].astype(float)
    out = resample(z + 10 * y + 100 * x, (16, 8, 8), kernels=("cubic",) * 3)
    assert out.shape == (16, 8, 8)
    assert out[8, 4, 4] == pytest.approx(3.75 + 40 + 100 * 8.5, rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float32])
def test_lines_are_multiplied_in_pieces(monkeypatch: pytest.MonkeyPatch, axis: int, dtype: type[np.generic]) -> None:
    array = (np.random.default_rng(0).random((5, 6, 7)) * 3).astype(dtype)
    matrix = interpolation_matrix(array.shape[axis], 9, kernel="cubic")
    expected = np.moveaxis(np.tensordot(matrix.toarray(), array.astype(np.float32), (1, axis)), 0, axis)
    whole = along(array, axis, matrix)
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    monkeypatch.setattr(module, "PIECE", 14)
    monkeypatch.setattr(module, "PLANE", 14)
    np.testing.assert_array_equal(along(array, axis, matrix), whole)
    some = along(array.transpose(2, 1, 0).copy().transpose(2, 1, 0), axis, matrix[2:5])  # in any order in memory
    np.testing.assert_array_equal(some, whole.take(range(2, 5), axis=axis))


def test_overlapping_masks_keep_their_sets() -> None:
    a, b = np.zeros((2, 12, 12), np.bool_)
    a[2:8, 2:8] = True
    b[4:10, 4:10] = True
    labels = encode_masks([a, b, np.zeros_like(a)], (12, 12))
    doubled = resample_labels(labels, (24, 24))
    for k, mask in enumerate((a, b)):
        np.testing.assert_array_equal(doubled.mask(k), np.kron(mask, np.ones((2, 2), np.bool_)))
    assert len(doubled.table) == 4
    assert not doubled.mask(2).any()
    halved = resample_labels(labels, (6, 6))
    np.testing.assert_array_equal(halved.mask(0), a[::2, ::2])


def test_only_the_box_of_a_class_is_resampled_with_the_same_result() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 30), np.bool_)
    mask[10:25, 3:20] = rng.random((15, 17)) < 0.7
    labels = encode_masks([mask], (40, 30))
    for shape in ((23, 61), (80, 11), (40, 33)):
        whole = resample(mask, shape, kernels=linear(2)) > 0.5 + 1e-6
        np.testing.assert_array_equal(resample_labels(labels, shape).mask(0), whole)


def test_neighbours_never_overlap_after_resampling() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 3, (20, 20))
    labels = encode_masks([values == 1, values == 2], (20, 20))
    for shape in ((40, 40), (13, 29), (10, 10)):
        assert not resample_labels(labels, shape).table.all(axis=1).any()


def test_ignored_pixels_stay_ignored() -> None:
    mask, ignored = np.zeros((2, 8, 8), np.bool_)
    mask[:4] = True
    ignored[4:] = True
    out = resample_labels(encode_masks([mask], (8, 8), ignored), (16, 16))
    assert out.ignored()[8:].all()
    assert out.mask(0)[:8].all()
