"""Adaptive equalisation of whole images against the one on the device, and against closed forms."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg.augment.clahe import equalise_tiles
from autoseg.plan import Normalization
from autoseg.preprocess import equalise as module
from autoseg.preprocess.equalise import equalise
from autoseg.preprocess.prepare import normalise, prepare
from autoseg.preprocess.store import plan_key
from tests.fingerprint.make import loaded
from tests.preprocess.make import plan, stage

CLAHE = (Normalization(kind="clahe"),)


def picture(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.random.default_rng(0).gamma(2.0, 20.0, shape)


@pytest.mark.parametrize("shape", [(24, 17), (40, 32), (9, 12, 8)])
@pytest.mark.parametrize("clip", [1.0, 2.0, 1e9])
def test_it_is_what_the_augmentation_does(shape: tuple[int, ...], clip: float) -> None:
    x = picture(shape).clip(0, 255).astype(np.uint8)
    low, extent = float(x.min()), float(x.max()) - float(x.min())
    theirs = (equalise_tiles(torch.from_numpy(x.astype(np.float32)), clip).numpy() - low) * (255 / extent)
    # Rounded to whole grey values.
    assert np.abs(equalise(x, clip) - theirs).max() < 0.51


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint16, 100), (np.int16, -90), (np.float32, 0.01)])
def test_scale_and_type_of_the_values_do_not_matter(dtype: Any, scale: float) -> None:
    x = picture((40, 30)).clip(0, 255).astype(np.uint8)
    x[0, :2] = 0, 255
    image = (x.astype(np.float64) * scale).astype(dtype)
    expected = equalise(x if scale > 0 else 255 - x)
    np.testing.assert_array_equal(equalise(image), expected)


def test_one_tile_of_evenly_spread_values_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILES", {2: 1})
    x = np.arange(256, dtype=np.uint8).repeat(4).reshape(32, 32)
    # The share of pixels up to a level, as a grey value.
    np.testing.assert_array_equal(equalise(x), np.rint((x.astype(float) + 1) / 256 * 255))


def test_contrast_in_the_dark_is_raised() -> None:
    y, x = np.mgrid[:128, :128]
    image = np.where(x < 64, 20 + (x + y) % 8, 200 + (x + y) % 8).astype(np.uint8)
    done = equalise(image)
    assert done[:, :48].std() > 3 * image[:, :48].std()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 20), (2, 3, 5)])
def test_fewer_pixels_than_tiles(shape: tuple[int, ...]) -> None:
    x = picture(shape).astype(np.uint8)
    done = equalise(x)
    assert (done.shape, done.dtype.name) == (shape, "uint8")
    assert len(np.unique(equalise(np.full(shape, 7, np.uint8)))) == 1


def test_a_prepared_case_is_equalised_once_and_standardised() -> None:
    image = picture((1, 40, 32)).clip(0, 255).astype(np.uint8)
    done = prepare(loaded("a", image, [image[0] > 50]), plan(normalization=CLAHE), stage=stage())
    np.testing.assert_array_equal(done.image, equalise(image[0])[None])
    assert (done.meta.lower[0], done.meta.upper[0]) == (done.image.min(), done.image.max())
    seen = normalise(done.image, done.meta)
    assert seen.mean() == pytest.approx(0, abs=1e-5)
    assert seen.std() == pytest.approx(1, abs=1e-5)
    assert done.labels is not None
    np.testing.assert_array_equal(done.labels.mask(0), image[0] > 50)


def test_only_the_channels_that_ask_for_it() -> None:
    image = np.stack([picture((20, 20)), picture((20, 20))]).astype(np.int32) * 100
    rules = (Normalization(kind="zscore"), *CLAHE)
    done = prepare(loaded("a", image, None), plan(normalization=rules), stage=stage())
    np.testing.assert_array_equal(done.image[0], image[0])
    np.testing.assert_array_equal(done.image[1], equalise(image[1]))


def test_what_is_cut_away_does_not_count() -> None:
    inner = picture((24, 24)).clip(1, 255).astype(np.uint8)
    image = np.zeros((1, 40, 40), np.uint8)
    image[0, 8:32, 8:32] = inner
    done = prepare(loaded("a", image, None), plan(normalization=CLAHE, crop_to_nonzero=True), stage=stage())
    np.testing.assert_array_equal(done.image[0], equalise(inner))


def test_its_cases_are_stored_apart() -> None:
    assert plan_key(plan(normalization=CLAHE), stage()) != plan_key(plan(), stage())
