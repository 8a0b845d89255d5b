"""From stored values to what a net sees, on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.preprocess.prepared import PreparedMeta


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """How the stored image becomes the net's input, per channel: (clip(x, lower, upper) - mean) / std.

    Parameters
    ----------
    mean, std : tuple of float
    lower, upper : tuple of float
        -inf and inf where nothing is clipped.
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
    def of(cls, meta: PreparedMeta) -> Intensity:
        """The normalisation of a prepared case."""
        return cls(mean=meta.mean, std=meta.std, lower=meta.lower, upper=meta.upper)

    def apply(self, x: Tensor) -> Tensor:
        """Normalise a float32 Tensor (N, C, ...)."""

        def column(values: tuple[float, ...]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=x.device).reshape(1, -1, *[1] * (x.ndim - 2))

        if any(map(math.isfinite, (*self.lower, *self.upper))):
            x = torch.minimum(torch.maximum(x, column(self.lower)), column(self.upper))
        return (x - column(self.mean)) / column(self.std)
