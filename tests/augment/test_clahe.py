"""Adaptive histogram equalisation against a loop over pixels, scikit-image's plain one, and closed forms."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.exposure import equalize_hist

from autoseg.augment import clahe
from autoseg.augment.clahe import BINS, TILES, equalise_tiles

EVERYTHING = 1e9  # a limit that cuts nothing


def picture(shape: tuple[int, ...]) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return np.asarray(rng.gamma(2.0, 1.0, shape) - 3, np.float32)


def by_loops(x: NDArray[np.float32], clip: float) -> NDArray[np.float64]:
    """The definition: each pixel's level through the tables of the tiles whose middles surround it."""
    tiles, low, extent = TILES[x.ndim], float(x.min()), float(np.float32(x.max()) - x.min())
    levels = np.rint((x - x.min()) * np.float32((BINS - 1) / extent)).astype(int)
    tile_of = [np.arange(n) * tiles // n for n in x.shape]
    tables = {}
    for tile in product(range(tiles), repeat=x.ndim):
        inside = levels[np.ix_(*[np.flatnonzero(t == k) for t, k in zip(tile_of, tile, strict=True)])]
        counts = np.bincount(inside.ravel(), minlength=BINS).astype(float)
        cut = np.minimum(counts, clip * inside.size / BINS)
        cut += (inside.size - cut.sum()) / BINS
        tables[tile] = np.cumsum(cut) / inside.size
    out = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        middles = [min(max((i + 0.5) * tiles / n - 0.5, 0), tiles - 1) for i, n in zip(place, x.shape, strict=True)]
        for sides in product((0, 1), repeat=x.ndim):
            weight = math.prod(m % 1 if side else 1 - m % 1 for m, side in zip(middles, sides, strict=True))
            if weight:
                tile = tuple(int(m) + side for m, side in zip(middles, sides, strict=True))
                out[place] += weight * tables[tile][levels[place]]
    return low + extent * out


@pytest.mark.parametrize("shape", [(24, 17), (40, 32), (9, 12, 8)])
@pytest.mark.parametrize("clip", [1.5, 4.0, EVERYTHING])
def test_it_is_the_definition(shape: tuple[int, ...], clip: float) -> None:
    x = picture(shape)
    got = equalise_tiles(torch.from_numpy(x), clip).numpy()
    # A value midway between two levels may fall to either: a step of one level.
    assert np.mean(np.abs(got - by_loops(x, clip)) < 1e-3) > 0.99


def test_one_tile_without_a_limit_is_scikit_images_equalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clahe, "TILES", {2: 1})
    x = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.float32)
    x[0, :2] = 0, 255
    got = equalise_tiles(torch.from_numpy(x), EVERYTHING).numpy() / 255
    np.testing.assert_allclose(got, equalize_hist(x.astype(np.uint8)), atol=1e-5)


def test_a_limit_of_1_makes_every_table_a_straight_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # All levels occur equally often after cutting and spreading, if each did before: nothing is cut, and the cumulative sum is linear.
    monkeypatch.setattr(clahe, "TILES", {2: 1})
    x = torch.arange(256.0).repeat(4).reshape(32, 32)
    torch.testing.assert_close(equalise_tiles(x, 1.0), (x + 1) / 256 * 255)


def test_strips_of_an_image_are_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.from_numpy(picture((30, 20)))
    whole = equalise_tiles(x, 2.0)
    monkeypatch.setattr(clahe, "STRIP_PIXELS", 70)
    assert torch.equal(equalise_tiles(x, 2.0), whole)


def test_range_and_argument_are_kept_and_a_flat_image_is_finite() -> None:
    x = torch.from_numpy(picture((20, 20)))
    kept = x.clone()
    y = equalise_tiles(x, 2.0)
    assert torch.equal(x, kept)
    assert x.min() <= y.min()
    assert y.max() <= x.max() + 1e-5
    torch.testing.assert_close(equalise_tiles(torch.full((5, 6), 3.0), 2.0), torch.full((5, 6), 3.0))
