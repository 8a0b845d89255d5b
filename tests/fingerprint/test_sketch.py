"""Low resolution: means of cells, whatever the size of the image."""

import numpy as np
import pytest

from autoseg.fingerprint.sketch import cell_edges, shrink, shrink_classes, standardise
from autoseg.labels import encode_masks


def test_cells_are_means() -> None:
    image = np.arange(64.0).reshape(8, 8)
    np.testing.assert_allclose(shrink(image, 4), image.reshape(4, 2, 4, 2).mean((1, 3)))


@pytest.mark.parametrize(("length", "cells"), [(5, 2), (3, 8), (100, 32), (32, 32), (1, 4)])
def test_cells_cover_the_axis(length: int, cells: int) -> None:
    starts, stops = cell_edges(length, cells)
    covered = set().union(*(range(a, b) for a, b in zip(starts, stops, strict=True)))
    assert covered == set(range(length))
    assert (stops > starts).all()


def test_a_large_image_is_read_with_a_stride() -> None:
    y, x = np.mgrid[:1024, :512]
    np.testing.assert_allclose(shrink(y + 2.0 * x, 4)[1, 2], 128 + 256 + 2 * (256 + 64), rtol=0.02)


@pytest.mark.parametrize("shape", [(64, 64), (40, 100), (10, 64), (12, 20, 33)])
def test_class_shares(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random(shape) < p for p in (0.3, 0.6)]
    cells = 16
    shares = shrink_classes(encode_masks(masks, shape), cells)
    assert shares.shape == (2, *(cells,) * len(shape))
    assert 0 <= shares.min() <= shares.max() <= 1
    if all(n % cells == 0 for n in shape):
        np.testing.assert_allclose(shares[0], masks[0].reshape(16, 4, 16, 4).mean((1, 3)), atol=1e-6)


def test_standardised_rows_multiply_to_correlations() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(3, 8, 8)).astype(np.float32)
    pictures[2] = 5
    rows = standardise(pictures)
    assert rows[0] @ rows[1] == pytest.approx(np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1], abs=1e-6)
    assert (rows[2] == 0).all()
