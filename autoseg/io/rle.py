"""Run lengths of a binary mask as text: "start length start length ...", row-major, starts counted from 1."""

from __future__ import annotations

import numpy as np

from autoseg.labels import Mask


def encode_rle(mask: Mask) -> str:
    """A mask as run lengths.

    Parameters
    ----------
    mask : array of bool, shape (y, x)

    Returns
    -------
    str
        Empty for an empty mask.

    Examples
    --------
    >>> encode_rle(np.array([[0, 1, 1], [1, 0, 1]], bool))
    '2 3 6 1'
    """
    flat = np.concatenate([[False], np.asarray(mask, np.bool_).ravel(), [False]])
    # Every second change begins a run; the padding in front makes index i of the changes the 1-based pixel i.
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = changes.reshape(-1, 2)
    runs[:, 1] -= runs[:, 0]
    return " ".join(map(str, runs.ravel().tolist()))


def decode_rle(text: str, shape: tuple[int, int]) -> Mask:
    """The mask of run lengths, bool, of `shape` (y, x).

    Raises
    ------
    ValueError
        If the text holds anything but pairs of whole numbers, or runs overlap, descend, are empty or leave the image.
    """
    try:
        runs = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise ValueError(f"run lengths must be whole numbers, got {text[:60]!r}") from None
    if runs.size % 2:
        raise ValueError(f"run lengths must be pairs of start and length, got {runs.size} numbers")
    size = shape[0] * shape[1]
    # Numbers beyond the image are wrong whatever they mean, and kept within it their sums cannot overflow.
    within = bool(((runs >= 0) & (runs <= size)).all())
    starts, lengths = runs[0::2] - 1, runs[1::2]
    ends = starts + lengths
    if not within or (starts < 0).any() or (lengths < 1).any() or (ends > size).any() or (starts[1:] < ends[:-1]).any():
        raise ValueError(f"runs must ascend without overlap within 1 to {size}, the pixels of {shape}; got {text[:60]!r}")
    steps = np.zeros(size + 1, np.int8)
    steps[starts] += 1
    steps[ends] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_).reshape(shape)
