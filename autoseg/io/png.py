"""Grey pngs of masks and maps, written without trying filters: pillow tries five on every row, which takes most of its time on a mask."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bits of a pixel by dtype; larger numbers do not fit a png.
DEPTHS = {"uint8": 8, "uint16": 16}


def encode_png(array: NDArray[Any]) -> bytes:
    """A grey png file (ISO/IEC 15948) of an array (y, x).

    Parameters
    ----------
    array : array of uint8 or uint16, (y, x)

    Raises
    ------
    ValueError
        If the array has other axes or another dtype.

    Notes
    -----
    Masks are mostly runs, and coded as such: the file is no larger than one whose filters were chosen, in a third of the time
    (benchmarks/README.md, "Prediction").
    """
    if array.ndim != 2 or array.dtype.name not in DEPTHS:
        raise ValueError(f"a png holds two axes of uint8 or uint16, got {array.dtype} of the shape {array.shape}")
    height, width = array.shape
    pixels = np.ascontiguousarray(array.astype(array.dtype.newbyteorder(">"), copy=False)).view(np.uint8).reshape(height, -1)
    rows = np.zeros((height, 1 + pixels.shape[1]), np.uint8)  # each row begins with the number of its filter: 0, none
    rows[:, 1:] = pixels
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    packed = packer.compress(rows.data) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, DEPTHS[array.dtype.name], 0, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
