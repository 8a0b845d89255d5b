"""Structural similarity, against scikit-image's, and its scales."""

from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional as F

from autoseg.losses.ms_ssim import C2, EXPONENTS, ms_ssim_per_class, strides_of


def smooth(*shape: int, seed: int = 0) -> Tensor:
    noise = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(seed))
    pool: Any = F.avg_pool2d if len(shape) == 2 else F.avg_pool3d
    return ((pool(noise, 3, 1, 1) - 0.35) * 3).clamp(0, 1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(13, 12), (9, 10, 13)])
def test_one_scale_is_scikit_images(shape: tuple[int, ...]) -> None:
    a, b = smooth(*shape), smooth(*shape, seed=1)
    assert strides_of(shape) == [(1,) * len(shape)]
    x, y = (v[0, 0].double().numpy() for v in (a, b))
    _, full = structural_similarity(x, y, win_size=7, data_range=1, use_sample_covariance=False, full=True)
    inner = full[(slice(3, -3),) * len(shape)]  # windows that lie inside
    assert float(ms_ssim_per_class(a, b, None)) == pytest.approx(float(inner.mean()), rel=1e-4)


def test_two_scales_are_multiplied() -> None:
    a = smooth(16, 20)
    b = 0.6 * a + 0.4 * smooth(16, 20, seed=1)
    assert strides_of((16, 20)) == [(1, 1), (2, 2)]
    x, y = (F.unfold(v, 7)[0].double().numpy() for v in (a, b))  # (49, windows)
    fine = (2 * ((x * y).mean(0) - x.mean(0) * y.mean(0)) + C2) / (x.var(0) + y.var(0) + C2)
    half = [F.avg_pool2d(v, 2)[0, 0].double().numpy() for v in (a, b)]
    _, full = structural_similarity(*half, win_size=7, data_range=1, use_sample_covariance=False, full=True)
    coarse = full[3:-3, 3:-3].mean()
    total = EXPONENTS[0] + EXPONENTS[1]
    expected = fine.mean() ** (EXPONENTS[0] / total) * coarse ** (EXPONENTS[1] / total)
    assert float(ms_ssim_per_class(a, b, None)) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((4, 4), [(1, 1)]),
        ((14, 14), [(1, 1), (2, 2)]),
        ((13, 300), [(1, 1), (1, 2), (1, 2), (1, 2), (1, 2)]),
        ((4096, 4096), [(1, 1), *[(2, 2)] * 4]),
        ((8, 64, 64), [(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)]),
    ],
)
def test_the_patch_limits_the_scales(shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> None:
    assert strides_of(shape) == strides


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (32, 32), (5, 24, 24)])
def test_what_is_equal_is_similar(shape: tuple[int, ...]) -> None:
    a = smooth(*shape)
    assert float(ms_ssim_per_class(a, a, None)) == pytest.approx(1, abs=1e-5)
    assert float(ms_ssim_per_class(a, 1 - a, None)) < 0.9


def test_labelled_pixels_alone_are_compared() -> None:
    # The left half is labelled; what differs lies on the right.
    a, weight = smooth(32, 32), torch.zeros(1, 1, 32, 32)
    weight[..., :16] = 1
    b = a.clone()
    b[..., 16:] = 1 - b[..., 16:]
    assert float(ms_ssim_per_class(a, b, weight)) == pytest.approx(1, abs=1e-5)
    assert float(ms_ssim_per_class(a, b, None)) < 0.9
    ones = torch.ones_like(weight)
    np.testing.assert_allclose(ms_ssim_per_class(a, b, ones).numpy(), ms_ssim_per_class(a, b, None).numpy(), rtol=1e-5)


def test_what_is_opposite_can_still_be_learned() -> None:
    # Contrast and structure are negative here: the product of the paper has no value.
    target = (smooth(32, 32) > 0.5).float()
    guess = (1 - target).requires_grad_()
    similarity = ms_ssim_per_class(guess, target, None).sum()
    torch.autograd.backward(similarity)
    assert 0 < float(similarity.detach()) < 0.01
    assert guess.grad is not None
    assert bool(torch.isfinite(guess.grad).all())
    with torch.no_grad():
        better = guess + 0.1 * (target - guess)
    assert float(ms_ssim_per_class(better, target, None)) > float(similarity.detach())
