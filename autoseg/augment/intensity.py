"""Intensity transforms of one sample on the device, in nnU-Net's order; each is skipped where nothing was drawn.

Which of nnU-Net's two transform libraries is followed where they differ: what nnU-Net 2.8.1 trains with (batchgeneratorsv2), but for blur,
whose deviation is one for all axes as in batchgenerators. docs/training.md, "Augmentation", lists the differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from autoseg.augment.clahe import equalise_tiles
from autoseg.augment.draws import Rectangle, SampleDraw
from autoseg.augment.normalization import Intensity
from autoseg.extensions import find

#: Changes a normalised image, fp32 (C, P) on the device, in place; all that it draws comes from the generator.
Transform = Callable[[Tensor, np.random.Generator], None]
#: autoseg's own are the chain below; other packages add theirs under the entry-point group autoseg.transforms.
TRANSFORMS: dict[str, Transform] = {}
UPSAMPLE = {2: "bilinear", 3: "trilinear"}


def augment_intensity_(image: Tensor, draw: SampleDraw, rule: Intensity) -> None:
    """Normalise, then equalise tiles, add noise, blur, change brightness, contrast, resolution and gamma, blank out rectangles; then what
    other packages add.

    Parameters
    ----------
    image : fp32 Tensor, (C, P)
        In the stored units, clipped; overwritten. New images of a patch's size cost more time than what is done to them.
    draw : SampleDraw
    rule : Intensity
        Mean and standard deviation of the channels.
    """
    # Brightness is a factor, and what comes before it commutes with a factor once the noise is multiplied as well: it is part of the
    # normalisation, which costs nothing.
    gains = [float(gain) for gain in draw.brightness]
    rule.standardise_(image, gains)
    if draw.clahe_clip > 0:
        for channel in image:
            channel.copy_(equalise_tiles(channel, draw.clahe_clip))
    if draw.noise_std > 0:
        generator = torch.Generator(image.device).manual_seed(draw.noise_seed)
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        for channel, added, gain in zip(image, noise, gains, strict=True):
            channel.add_(added, alpha=draw.noise_std * gain)
    for c, channel in enumerate(image):
        _change_channel(channel, draw, c)
    if draw.dropout:
        drop_rectangles_(image, draw.dropout)
    for name, seed in draw.added:
        find("transforms", name, TRANSFORMS)(image, np.random.default_rng(seed))


def _change_channel(x: Tensor, draw: SampleDraw, c: int) -> None:
    if draw.blur_sigma[c] > 0:
        x.copy_(gaussian_blur(x, float(draw.blur_sigma[c])))
    if draw.contrast[c] != 1:
        contrast_(x, float(draw.contrast[c]))
    if draw.lowres[c] < 1:
        x.copy_(low_resolution(x, float(draw.lowres[c]), keep=draw.coarse_axis))
    if draw.gamma_inverted[c] != 1:
        gamma_(x, float(draw.gamma_inverted[c]), inverted=True)
    if draw.gamma[c] != 1:
        gamma_(x, float(draw.gamma[c]))


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian, cut at 4 sigma, the border mirrored.

    Weighted shifts instead of a convolution: torch's single-channel conv2d takes 33 ms per axis at 1024 x 1024 on a CPU.
    """
    radius = max(1, math.ceil(4 * sigma))
    weights = _gaussian_weights(radius, sigma)
    pair = torch.empty_like(x)
    for axis in range(x.ndim):
        length = x.shape[axis]
        if length <= radius:
            continue
        padded = torch.cat([x.narrow(axis, 1, radius).flip(axis), x, x.narrow(axis, length - 1 - radius, radius).flip(axis)], axis)
        total = padded.narrow(axis, radius, length) * float(weights[radius])
        for shift in range(1, radius + 1):
            torch.add(padded.narrow(axis, radius - shift, length), padded.narrow(axis, radius + shift, length), out=pair)
            total.add_(pair, alpha=float(weights[radius + shift]))
        x = total
    return x


def _gaussian_weights(radius: int, sigma: float) -> NDArray[np.float64]:
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def contrast_(x: Tensor, factor: float) -> None:
    """Stretch about the mean, cut to the range that was there, in place."""
    low, high = torch.aminmax(x)
    mean = x.mean()
    x.sub_(mean).mul_(factor).add_(mean).clamp_(low, high)


def low_resolution(x: Tensor, zoom: float, *, keep: int | None = None) -> Tensor:
    """Sampled down to a coarser grid (nearest) and back (linear), but for the axis `keep`."""
    size = [s if axis == keep else max(1, round(s * zoom)) for axis, s in enumerate(x.shape)]
    small = F.interpolate(x[None, None], size=size, mode="nearest-exact")
    return F.interpolate(small, size=list(x.shape), mode=UPSAMPLE[x.ndim], align_corners=False)[0, 0]


def gamma_(x: Tensor, exponent: float, *, inverted: bool = False) -> None:
    """Power law on the range scaled to [0, 1], in place; mean and standard deviation are kept.

    Parameters
    ----------
    x : fp32 Tensor, (P)
    exponent : float
    inverted : bool
        The image's negative is transformed, and turned back.
    """
    low, high = torch.aminmax(x)
    mean = x.mean()
    extent = (high - low).clamp(min=1e-7)
    if inverted:
        extent, low = -extent, high
    # Norms of what is centred: a third of what torch's std takes on a CPU.
    deviation = torch.linalg.vector_norm(x.sub_(mean))
    x.add_(mean - low).div_(extent).clamp_(min=0).pow_(exponent)
    # The result is brought to the old mean and deviation: scaling it back to the old range first would change nothing.
    x.sub_(x.mean())
    scale = deviation / torch.linalg.vector_norm(x).clamp(min=1e-12)
    x.mul_(-scale if inverted else scale).add_(mean)


def drop_rectangles_(image: Tensor, rectangles: tuple[Rectangle, ...]) -> None:
    """Fill rectangles of all channels of an image (C, P) with the channel's mean, in place."""
    means = image.flatten(1).mean(dim=1).reshape(-1, *[1] * (image.ndim - 1))
    for rectangle in rectangles:
        pairs = zip(rectangle.start, rectangle.stop, image.shape[1:], strict=True)
        window = tuple(slice(round(start * size), max(round(stop * size), round(start * size) + 1)) for start, stop, size in pairs)
        image[(slice(None), *window)] = means
