"""Tiles of one value, such as black borders: what the nets say of them is computed once per value."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

#: Bytes of results that are kept: of 31 heads at 512 x 512 four values'.
MAX_BYTES = 2**27


def constant_values(tile: NDArray[Any]) -> NDArray[Any] | None:
    """The value of each channel (C,) of a tile (C, *patch), if each channel holds exactly one; else None."""
    flat = tile.reshape(len(tile), -1)
    first = flat[:, :1]
    # Few tiles get beyond the second look.
    if not np.array_equal(first, flat[:, -1:]) or not np.array_equal(first, flat[:, flat.shape[1] // 2, None]):
        return None
    return first[:, 0] if bool((flat == first).all()) else None


class KnownTiles:
    """Results of constant tiles by what the nets saw, the latest used ones within `max_bytes`.

    Belongs to one set of nets: a key says what went in, not what computed it.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._results: OrderedDict[bytes, Tensor] = OrderedDict()

    def get(self, key: bytes) -> Tensor | None:
        """Probabilities (H, *patch), or None."""
        if key not in self._results:
            return None
        self._results.move_to_end(key)
        return self._results[key]

    def put(self, key: bytes, result: Tensor) -> None:
        """Keep a result, which must not change afterwards; the longest unused ones make room."""
        self._results[key] = result
        while sum(known.nbytes for known in self._results.values()) > self.max_bytes:
            self._results.popitem(last=False)
