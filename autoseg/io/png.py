"""Grey pngs of masks and maps, written without trying filters: pillow tries five on every row, which takes most of its time on a mask."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bits of a pixel by dtype; larger numbers do not fit a png.
DEPTHS = {"bool": 8, "uint8": 8, "uint16": 16}

#: Rows that are copied at a time: a mask of 20,000 x 20,000 is not to lie in memory twice.
ROWS = 256


def encode_png(array: NDArray[Any]) -> bytes:
    """A grey png file (ISO/IEC 15948) of an array (y, x).

    Parameters
    ----------
    array : array of bool, uint8 or uint16, (y, x)
        True is written as 255.

    Raises
    ------
    ValueError
        If the array has other axes or another dtype.

    Notes
    -----
    Masks are mostly runs, and coded as such: the file is no larger than one whose filters were chosen, in a third of the time
    (benchmarks/README.md, "Prediction beside nnU-Net's").
    """
    if array.ndim != 2 or array.dtype.name not in DEPTHS:
        raise ValueError(f"a png holds two axes of bool, uint8 or uint16, got {array.dtype} of the shape {array.shape}")
    height, width = array.shape
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    packed = b"".join(packer.compress(_rows(array[top : top + ROWS])) for top in range(0, height, ROWS)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, DEPTHS[array.dtype.name], 0, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _rows(array: NDArray[Any]) -> memoryview:
    """Rows as a png has them: the number of each row's filter, 0 for none, and its pixels, the high byte first."""
    numbers = array.view(np.uint8) * np.uint8(255) if array.dtype == np.bool_ else array.astype(array.dtype.newbyteorder(">"), copy=False)
    pixels = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(array), -1)
    rows = np.zeros((len(array), 1 + pixels.shape[1]), np.uint8)
    rows[:, 1:] = pixels
    return rows.data.cast("B")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
