"""Masks of overlapping classes, a bit for each pixel and class: 30 masks of 20,000 x 20,000 pixels take 1.6 GB instead of 12."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.labels import Mask


class BitMasks:
    """An array of bool, (K, *shape), that keeps eight classes in a byte; `np.asarray` unpacks it.

    Parameters
    ----------
    planes : array of uint8, (ceil(K / 8), *shape)
        Class k is bit 7 - k % 8 of plane k // 8, as `np.packbits` orders them.
    num : int
        K.

    Examples
    --------
    >>> masks = BitMasks.empty(2, (1, 3))
    >>> masks.put((slice(0, 1),), np.array([[[True, False, True]], [[False, False, True]]]))
    >>> masks.planes.tolist(), masks[1].tolist()
    ([[[128, 0, 192]]], [[False, False, True]])
    """

    dtype = np.dtype(np.bool_)

    def __init__(self, planes: NDArray[np.uint8], num: int) -> None:
        if len(planes) != -(-num // 8):
            raise ValueError(f"{num} masks need {-(-num // 8)} planes, got {len(planes)}")
        self.planes = planes
        self.num = num

    @classmethod
    def empty(cls, num: int, shape: tuple[int, ...]) -> BitMasks:
        """Nothing set."""
        return cls(np.zeros((-(-num // 8), *shape), np.uint8), num)

    @property
    def shape(self) -> tuple[int, ...]:
        """(K, *spatial)."""
        return (self.num, *self.planes.shape[1:])

    def put(self, place: tuple[slice, ...], masks: NDArray[np.bool_]) -> None:
        """Set all classes of a part, (K, *place); fastest where the classes lie innermost in memory, as `infer.blend` gives them."""
        if masks.strides[0] < masks.strides[-1]:
            inner = np.packbits(np.ascontiguousarray(np.moveaxis(masks, 0, -1)), axis=-1)
            self.planes[:, *place] = np.moveaxis(inner, -1, 0)
            return
        part = self.planes[:, *place]
        part[...] = 0
        for k, mask in enumerate(masks):
            part[k // 8] |= mask * np.uint8(128 >> k % 8)

    def set(self, k: int, mask: Mask) -> None:
        """Replace one class's mask."""
        bit = np.uint8(128 >> k % 8)
        plane = self.planes[k // 8]
        plane &= ~bit
        plane |= np.asarray(mask, np.bool_) * bit

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, k: int) -> Mask:
        """The mask of class `k`, a new array."""
        if not -self.num <= k < self.num:
            raise IndexError(f"there are {self.num} masks, no mask {k}")
        k %= self.num
        found = self.planes[k // 8] & np.uint8(128 >> k % 8)
        inside: Mask = found.view(np.bool_)
        np.not_equal(found, 0, out=inside)
        return inside

    def __iter__(self) -> Iterator[Mask]:
        return (self[k] for k in range(self.num))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.stack(list(self)).astype(dtype or np.bool_, copy=False)
