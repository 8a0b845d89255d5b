"""Intensity transforms of one sample on the device, in nnU-Net's order; each is skipped where nothing was drawn."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from autoseg.augment.draws import SampleDraw

UPSAMPLE = {2: "bilinear", 3: "trilinear"}


def augment_intensity(image: Tensor, draw: SampleDraw) -> Tensor:
    """Noise, blur, brightness, contrast, low resolution, gamma.

    Parameters
    ----------
    image : fp32 Tensor, (C, P)
        Normalised.
    draw : SampleDraw

    Returns
    -------
    fp32 Tensor, (C, P)
    """
    if draw.noise_std > 0:
        generator = torch.Generator(image.device).manual_seed(draw.noise_seed)
        image = image + draw.noise_std * torch.randn(image.shape, generator=generator, device=image.device)
    channels = list(image)
    for c, channel in enumerate(channels):
        channels[c] = _one_channel(channel, draw, c)
    return torch.stack(channels)


def _one_channel(x: Tensor, draw: SampleDraw, c: int) -> Tensor:
    if draw.blur_sigma[c] > 0:
        x = gaussian_blur(x, float(draw.blur_sigma[c]))
    if draw.brightness[c] != 1:
        x = x * float(draw.brightness[c])
    if draw.contrast[c] != 1:
        x = contrast(x, float(draw.contrast[c]))
    if draw.lowres[c] < 1:
        x = low_resolution(x, float(draw.lowres[c]))
    if draw.gamma_inverted[c] != 1:
        x = -gamma(-x, float(draw.gamma_inverted[c]))
    if draw.gamma[c] != 1:
        x = gamma(x, float(draw.gamma[c]))
    return x


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian, cut at 4 sigma, the border mirrored.

    Weighted shifts instead of a convolution: torch's single-channel conv2d takes 33 ms per axis at 1024 x 1024 on a CPU.
    """
    radius = max(1, math.ceil(4 * sigma))
    weights = _gaussian_weights(radius, sigma)
    for axis in range(x.ndim):
        length = x.shape[axis]
        if length <= radius:
            continue
        padded = torch.cat([x.narrow(axis, 1, radius).flip(axis), x, x.narrow(axis, length - 1 - radius, radius).flip(axis)], axis)
        total = padded.narrow(axis, radius, length) * float(weights[radius])
        for shift in range(1, radius + 1):
            pair = padded.narrow(axis, radius - shift, length) + padded.narrow(axis, radius + shift, length)
            total.add_(pair, alpha=float(weights[radius + shift]))
        x = total
    return x


def _gaussian_weights(radius: int, sigma: float) -> NDArray[np.float64]:
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def contrast(x: Tensor, factor: float) -> Tensor:
    """Stretch about the mean, cut to the range that was there."""
    mean = x.mean()
    return torch.minimum(torch.maximum((x - mean) * factor + mean, x.min()), x.max())


def low_resolution(x: Tensor, zoom: float) -> Tensor:
    """Sampled down to a coarser grid (nearest) and back (linear)."""
    size = [max(1, round(s * zoom)) for s in x.shape]
    small = F.interpolate(x[None, None], size=size, mode="nearest-exact")
    return F.interpolate(small, size=list(x.shape), mode=UPSAMPLE[x.ndim], align_corners=False)[0, 0]


def gamma(x: Tensor, exponent: float) -> Tensor:
    """Power law on the range scaled to [0, 1]; mean and standard deviation are kept."""
    low, mean, std = x.min(), x.mean(), x.std(correction=0)
    extent = (x.max() - low).clamp(min=1e-7)
    y = ((x - low) / extent).clamp(min=0) ** exponent * extent + low
    return (y - y.mean()) / y.std(correction=0).clamp(min=1e-8) * std + mean
