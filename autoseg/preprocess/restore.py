"""From the prepared grid back to the original one: the inverse of `prepare`, for what a net puts out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.preprocess.prepared import PreparedMeta
from autoseg.preprocess.resample import linear, resample


def restore(array: NDArray[Any], meta: PreparedMeta, *, outside: float | Sequence[float] = 0.0) -> NDArray[np.float32]:
    """Probabilities (H, *prepared) on the original grid (H, (z,) y, x), float32.

    Parameters
    ----------
    array : array, shape (H, *meta.shape)
    meta : PreparedMeta
    outside : float, or one per channel
        What the pixels hold that were cropped away: 0 for classes, 1 for a background channel.

    Notes
    -----
    Holds all channels at once; `restore_channels` gives them one by one.
    """
    return np.stack(list(restore_channels(array, meta, outside=outside)))


def restore_channels(array: NDArray[Any], meta: PreparedMeta, *, outside: float | Sequence[float] = 0.0) -> Iterator[NDArray[np.float32]]:
    """`restore`, a channel at a time: K classes never lie in memory together."""
    fill = [float(outside)] * len(array) if isinstance(outside, int | float) else list(outside)
    for channel, value in zip(array, fill, strict=True):
        yield restore_channel(channel, meta, outside=value)


def restore_channel(channel: NDArray[Any], meta: PreparedMeta, *, outside: float = 0.0) -> NDArray[np.float32]:
    """One channel of probabilities, shape meta.shape, on the original grid; linear interpolation keeps them within their range."""
    if channel.shape != meta.shape:
        raise ValueError(f"channel must have the prepared shape {meta.shape}, got {channel.shape}")
    there = channel.transpose(np.argsort(meta.axes))
    inside = resample(there, meta.box_shape, kernels=linear(there.ndim))
    return _put_back(inside, meta, outside)


def restore_exact(array: NDArray[Any], meta: PreparedMeta) -> NDArray[Any]:
    """An array of any dtype, shape meta.shape, on the original grid of a case of which nothing was resampled; 0 where it was cropped away.

    Raises
    ------
    ValueError
        If the case was resampled, or the array has another shape.
    """
    if meta.resampled_shape != meta.box_shape or array.shape != meta.shape:
        raise ValueError(f"{array.shape} cannot go back as it is: prepared {meta.shape}, cut out {meta.box_shape}")
    return _put_back(array.transpose(np.argsort(meta.axes)), meta, 0)


def restore_masks(array: NDArray[Any], meta: PreparedMeta, *, threshold: float | Sequence[float] = 0.5) -> Iterator[NDArray[np.bool_]]:
    """Masks on the original grid, one by one: where the probability (K, *prepared) lies above the threshold, one for all or each."""
    limits = [float(threshold)] * len(array) if isinstance(threshold, int | float) else list(threshold)
    for channel, limit in zip(array, limits, strict=True):
        if meta.resampled_shape == meta.box_shape:  # nothing to interpolate: a mask moves as it is
            yield _put_back((channel > limit).transpose(np.argsort(meta.axes)), meta, False)
        else:
            yield restore_channel(channel, meta) > limit


def restore_argmax(array: NDArray[Any], meta: PreparedMeta) -> NDArray[np.int32]:
    """Index of the largest channel (H, *prepared) on the original grid, int32; channel 0, the background, where pixels were cropped away.

    Two channels are in memory at a time; ties go to the earlier channel, as in np.argmax.
    """
    best = np.full(meta.box_shape, -np.inf, np.float32)
    index = np.zeros(meta.box_shape, np.int32)
    for h, channel in enumerate(array):
        values = resample(channel.transpose(np.argsort(meta.axes)), meta.box_shape, kernels=linear(channel.ndim))
        better = values > best
        best[better] = values[better]
        index[better] = h
    return _put_back(index, meta, 0)


def _put_back(inside: NDArray[Any], meta: PreparedMeta, outside: float) -> NDArray[Any]:
    if meta.box_shape == meta.geometry.shape:
        return inside
    out = np.full(meta.geometry.shape, outside, inside.dtype)
    out[tuple(slice(start, stop) for start, stop in meta.box)] = inside
    return out
