"""From the prepared grid back to the original one, the whole image at once: what `infer.slabs` is compared with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.preprocess.prepared import PreparedMeta
from autoseg.preprocess.resample import linear, resample


def restore(array: NDArray[Any], meta: PreparedMeta, *, outside: float | Sequence[float] = 0.0) -> NDArray[np.float32]:
    """Channels (H, *prepared) on the original grid (H, (z,) y, x); pixels that were cropped away hold `outside`, one for all or each."""
    fill = [float(outside)] * len(array) if isinstance(outside, int | float) else list(outside)
    return np.stack([restore_channel(channel, meta, outside=value) for channel, value in zip(array, fill, strict=True)])


def restore_channel(channel: NDArray[Any], meta: PreparedMeta, *, outside: float = 0.0) -> NDArray[np.float32]:
    """One channel on the original grid; linear interpolation keeps probabilities within their range."""
    if channel.shape != meta.shape:
        raise ValueError(f"channel must have the prepared shape {meta.shape}, got {channel.shape}")
    there = channel.transpose(np.argsort(meta.axes))
    out = np.full(meta.geometry.shape, outside, np.float32)
    out[tuple(slice(start, stop) for start, stop in meta.box)] = resample(there, meta.box_shape, kernels=linear(there.ndim))
    return out
