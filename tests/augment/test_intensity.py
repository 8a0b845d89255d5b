"""Intensity transforms against scipy, batchgenerators and closed forms; normalisation against numpy."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from batchgenerators.augmentations.color_augmentations import augment_contrast, augment_gamma
from scipy.ndimage import gaussian_filter
from torch import Tensor

from autoseg.augment import Intensity, SampleDraw
from autoseg.augment.draws import Rectangle
from autoseg.augment.intensity import augment_intensity_, contrast_, gamma_, gaussian_blur, low_resolution
from tests import small

SHAPES = [(40, 30), (16, 20, 18)]


def augment_intensity(x: Tensor, draw: SampleDraw, rule: Intensity | None = None) -> Tensor:
    y = x.clone()
    augment_intensity_(y, draw, rule or Intensity.identity(len(x)))
    return y


def contrast(x: Tensor, factor: float) -> Tensor:
    y = x.clone()
    contrast_(y, factor)
    return y


def gamma(x: Tensor, exponent: float, *, inverted: bool = False) -> Tensor:
    y = x.clone()
    gamma_(y, exponent, inverted=inverted)
    return y


def image(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.5, 0.73, 1.0, 2.0])
def test_blur_is_scipys(shape: tuple[int, ...], sigma: float) -> None:
    x = image(shape)
    radius = math.ceil(4 * sigma)
    expected = gaussian_filter(x.numpy().astype(np.float64), sigma, mode="mirror", radius=radius)
    np.testing.assert_allclose(gaussian_blur(x, sigma).numpy(), expected, atol=1e-5)
    four_sigma = gaussian_filter(x.numpy().astype(np.float64), sigma, mode="mirror", truncate=4)
    np.testing.assert_allclose(gaussian_blur(x, sigma).numpy(), four_sigma, atol=2e-3)


def test_blur_keeps_constants_and_its_argument() -> None:
    x = torch.full((9, 9), 3.0)
    torch.testing.assert_close(gaussian_blur(x, 1.0), x)
    noise = image((20, 20))
    kept = noise.clone()
    gaussian_blur(noise, 1.0)
    assert torch.equal(noise, kept)


def test_an_axis_shorter_than_the_kernel_is_left_alone() -> None:
    x = image((3, 30))
    expected = gaussian_filter(x.numpy().astype(np.float64), [0, 1.0], mode="mirror", radius=[0, 4])
    np.testing.assert_allclose(gaussian_blur(x, 1.0).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1.1, 1.25])
def test_contrast_is_batchgenerators(shape: tuple[int, ...], factor: float) -> None:
    x = image(shape)
    expected = augment_contrast(x.numpy().astype(np.float64)[None], (factor, factor), preserve_range=True)[0]
    np.testing.assert_allclose(contrast(x, factor).numpy(), expected, atol=1e-5)


def test_contrast_in_closed_form() -> None:
    x = torch.tensor([[0.0, 1.0, 2.0, 5.0]])  # mean 2
    assert contrast(x, 0.5).tolist() == [[1.0, 1.5, 2.0, 3.5]]
    assert contrast(x, 2.0).tolist() == [[0.0, 0.0, 2.0, 5.0]]
    torch.testing.assert_close(contrast(x, 1.0), x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("exponent", [1.1, 1.5])
def test_gamma_is_batchgenerators(shape: tuple[int, ...], exponent: float) -> None:
    x = image(shape)
    for inverted in (False, True):
        expected = augment_gamma(x.numpy().astype(np.float64)[None], (exponent, exponent), invert_image=inverted, retain_stats=True)[0]
        got = gamma(x, exponent, inverted=inverted)
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.5])
def test_gamma_keeps_mean_deviation_and_order(exponent: float) -> None:
    x = image((30, 30))
    y = gamma(x, exponent)
    assert y.mean().item() == pytest.approx(x.mean().item(), abs=1e-5)
    assert y.std().item() == pytest.approx(x.std().item(), rel=1e-4)
    order = x.flatten().argsort()
    assert (y.flatten()[order].diff() >= -1e-6).all()
    if exponent == 1:
        torch.testing.assert_close(y, x, rtol=1e-4, atol=1e-5)


def test_a_flat_channel_stays_flat_and_finite() -> None:
    flat = torch.full((8, 8), 2.0)
    for y in (gamma(flat, 0.7), contrast(flat, 1.2), low_resolution(flat, 0.5)):
        torch.testing.assert_close(y, flat)


def test_low_resolution_in_closed_form() -> None:
    # Two of four pixels remain, the middles of the halves rounded up, and are joined linearly.
    x = torch.tensor([0.0, 1.0, 2.0, 3.0]).expand(4, 4)
    assert low_resolution(x, 0.5).tolist() == [[1.0, 1.5, 2.5, 3.0]] * 4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zoom", [0.5, 0.77, 1.0])
def test_low_resolution_invents_no_extremes(shape: tuple[int, ...], zoom: float) -> None:
    x = image(shape)
    y = low_resolution(x, zoom)
    assert y.shape == x.shape
    assert x.min() <= y.min()
    assert y.max() <= x.max()
    if zoom == 1:
        torch.testing.assert_close(y, x)


def test_the_neutral_draw_is_the_identity() -> None:
    x = image((2, 12, 12))
    assert torch.equal(augment_intensity(x, small.neutral(2)), x)


def test_noise_has_its_deviation_and_its_seed() -> None:
    x = torch.zeros(2, 100, 100)
    first, again = (augment_intensity(x, small.neutral(2, noise_std=0.3, noise_seed=5)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.std().item() == pytest.approx(0.3, rel=0.02)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, augment_intensity(x, small.neutral(2, noise_std=0.3, noise_seed=6)))


def test_noise_leaves_torchs_own_state_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    augment_intensity(torch.zeros(1, 4, 4), small.neutral(noise_std=1.0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("blur_sigma", 0.8, lambda x: gaussian_blur(x, 0.8)),
        ("brightness", 1.2, lambda x: x * 1.2),
        ("contrast", 0.9, lambda x: contrast(x, 0.9)),
        ("lowres", 0.6, lambda x: low_resolution(x, 0.6)),
        ("gamma", 1.3, lambda x: gamma(x, 1.3)),
        ("gamma_inverted", 1.3, lambda x: -gamma(-x, 1.3)),
    ],
)
def test_each_draw_reaches_its_channel_alone(name: str, value: float, expected: Any) -> None:
    x = image((3, 12, 12))
    drawn = getattr(small.neutral(3), name).copy()
    drawn[1] = value
    y = augment_intensity(x, small.neutral(3, **{name: drawn}))
    assert torch.equal(y[0], x[0])
    torch.testing.assert_close(y[1], expected(x[1]))
    assert torch.equal(y[2], x[2])


def test_dropped_rectangles_hold_the_channels_mean() -> None:
    x = image((2, 10, 20))
    rectangles = (Rectangle(start=(0.0, 0.5), stop=(0.2, 0.75)), Rectangle(start=(0.9, 0.95), stop=(0.92, 0.96)))
    y = augment_intensity(x, small.neutral(2, dropout=rectangles))
    inside = torch.zeros(10, 20, dtype=torch.bool)
    inside[0:2, 10:15] = True
    inside[9, 19] = True  # a rectangle has a pixel at least
    for channel, before in zip(y, x, strict=True):
        torch.testing.assert_close(channel[inside], before.mean().expand(11))
        assert torch.equal(channel[~inside], before[~inside])


@pytest.mark.parametrize("clipped", [True, False])
def test_normalisation_brightness_and_noise_are_one_after_the_other(clipped: bool) -> None:
    x, limits = image((2, 30, 30)) * 40 + 100, (60.0, 150.0) if clipped else (-math.inf, math.inf)
    rule = Intensity(mean=(100.0, 90.0), std=(30.0, 50.0), lower=(limits[0],) * 2, upper=(limits[1],) * 2)
    noise = augment_intensity(torch.zeros_like(x), small.neutral(2, noise_std=0.2, noise_seed=3))
    bright, sigma = np.array([1.2, 0.8]), np.array([0.7, 0.0])
    y = x.clone()
    rule.clip_(y)
    y = augment_intensity(y, small.neutral(2, noise_std=0.2, noise_seed=3, brightness=bright, blur_sigma=sigma), rule)
    expected = rule.apply(x[None])[0] + noise
    expected = torch.stack([gaussian_blur(expected[0], 0.7) * 1.2, expected[1] * 0.8])
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 2, 5, 6), (1, 2, 3, 4, 5)])
def test_normalisation_is_numpys(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 255
    rule = Intensity(mean=(100.0, 10.0), std=(20.0, 0.5), lower=(50.0, -math.inf), upper=(200.0, math.inf))
    y = rule.apply(x).numpy()
    np.testing.assert_allclose(y[:, 0], (np.clip(x[:, 0].numpy(), 50, 200) - 100) / 20, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y[:, 1], (x[:, 1].numpy() - 10) / 0.5, rtol=1e-5, atol=1e-5)
    assert torch.equal(Intensity.identity(2).apply(x), x)


def test_a_normalisation_needs_all_channels() -> None:
    with pytest.raises(ValueError, match="one entry per channel"):
        Intensity(mean=(0.0,), std=(1.0, 1.0), lower=(0.0,), upper=(1.0,))
