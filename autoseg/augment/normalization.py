"""The stored image becomes the net's input on the device: images are stored in the smallest lossless dtype, not normalised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from autoseg.augment.pinned import to_device


class Statistics(Protocol):
    """Anything that says how channels are normalised, such as preprocess.PreparedMeta."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel."""
        ...

    @property
    def lower(self) -> tuple[float, ...]:
        """Per channel."""
        ...

    @property
    def upper(self) -> tuple[float, ...]:
        """Per channel."""
        ...


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """How one case's channels are normalised: (clip(x, lower, upper) - mean) / std.

    Parameters
    ----------
    mean, std, lower, upper : tuple of float, one per channel
        lower and upper are -inf and inf where nothing is clipped.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == len(self.lower) == len(self.upper):
            raise ValueError(f"mean, std, lower and upper need one entry per channel, got {self}")

    @classmethod
    def identity(cls, channels: int) -> Intensity:
        """Leaves the image as it is."""
        return cls(mean=(0.0,) * channels, std=(1.0,) * channels, lower=(-math.inf,) * channels, upper=(math.inf,) * channels)

    @classmethod
    def of(cls, statistics: Statistics) -> Intensity:
        """The normalisation that a prepared case's meta describes."""
        return cls(mean=statistics.mean, std=statistics.std, lower=statistics.lower, upper=statistics.upper)

    @property
    def clips(self) -> bool:
        """True if any limit is finite."""
        return any(map(math.isfinite, (*self.lower, *self.upper)))

    def apply(self, x: Tensor) -> Tensor:
        """Normalise a float32 Tensor (N, C, ...)."""

        def column(values: tuple[float, ...]) -> Tensor:
            return to_device(torch.tensor(values, dtype=torch.float32), x.device).reshape(1, -1, *[1] * (x.ndim - 2))

        if self.clips:
            x = torch.minimum(torch.maximum(x, column(self.lower)), column(self.upper))
        return (x - column(self.mean)) / column(self.std)

    def clip_(self, x: Tensor) -> None:
        """Clip a float32 Tensor (C, ...) in place."""
        for channel, lower, upper in zip(x, self.lower, self.upper, strict=True):
            if math.isfinite(lower) or math.isfinite(upper):
                channel.clamp_(lower, upper)

    def standardise_(self, x: Tensor, gains: Sequence[float]) -> None:
        """Subtract the mean, divide by the standard deviation and multiply by a gain, channel by channel of a Tensor (C, ...), in place."""
        for channel, mean, std, gain in zip(x, self.mean, self.std, gains, strict=True):
            if mean:
                channel.sub_(mean)
            if std != gain:
                channel.div_(std / gain)
