"""Grey pngs of masks and maps, written without trying filters: pillow tries five on every row, which takes most of its time on a mask."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bits of a pixel by dtype; larger numbers do not fit a png.
DEPTHS = {"bool": 8, "uint8": 8, "uint16": 16}

#: Bytes of rows that are copied at a time: a mask of 20,000 x 20,000 is not to lie in memory twice.
PIECE = 2**22
#: Bytes of a file that are written at a time, in a chunk of their own.
CHUNK = 2**20


class PngWriter:
    """A grey png file (ISO/IEC 15948) that is written from top to bottom, any number of rows at a time.

    Parameters
    ----------
    stream : binary file
    shape : (int, int)
        y, x.
    dtype : bool, uint8 or uint16
        True is written as 255.

    Notes
    -----
    Masks are mostly runs, and coded as such: the file is no larger than one whose filters were chosen, in a third of the time
    (benchmarks/README.md, "Prediction beside nnU-Net's").
    """

    def __init__(self, stream: BinaryIO, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.stream, self.shape = stream, shape
        self.row = 0
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
        self._packed = bytearray()
        head = struct.pack(">IIBBBBB", shape[1], shape[0], DEPTHS[np.dtype(dtype).name], 0, 0, 0, 0)
        stream.write(SIGNATURE + _chunk(b"IHDR", head))

    def write(self, rows: NDArray[Any]) -> None:
        """The next rows, (n, x)."""
        step = max(1, PIECE // max(1, rows[:1].nbytes))
        for top in range(0, len(rows), step):
            self._packed += self._packer.compress(_rows(rows[top : top + step]))
            while len(self._packed) >= CHUNK:
                self._give(CHUNK)
        self.row += len(rows)

    def end(self) -> None:
        """All rows are written; the stream stays open."""
        if self.row != self.shape[0]:
            raise ValueError(f"a png of {self.shape[0]} rows has got {self.row}")
        self._packed += self._packer.flush()
        while self._packed:
            self._give(min(CHUNK, len(self._packed)))
        self.stream.write(_chunk(b"IEND", b""))

    def _give(self, size: int) -> None:
        self.stream.write(_chunk(b"IDAT", bytes(self._packed[:size])))
        del self._packed[:size]


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
    """
    if array.ndim != 2 or array.dtype.name not in DEPTHS:
        raise ValueError(f"a png holds two axes of bool, uint8 or uint16, got {array.dtype} of the shape {array.shape}")
    stream = BytesIO()
    writer = PngWriter(stream, (array.shape[0], array.shape[1]), array.dtype)
    writer.write(array)
    writer.end()
    return stream.getvalue()


def read_rows(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The pixels of a file that `PngWriter` wrote in 8 bits, some millions at a time, (n, x); no other png is understood."""
    with path.open("rb") as stream:
        stream.seek(len(SIGNATURE))
        chunks = _chunks(stream)
        length = 1 + struct.unpack(">I", next(chunks)[1][:4])[0]
        rest = b""
        for part in _unpacked(content for kind, content in chunks if kind == b"IDAT"):
            rest += part
            whole = len(rest) // length * length
            yield np.frombuffer(rest[:whole], np.uint8).reshape(-1, length)[:, 1:]
            rest = rest[whole:]


def _unpacked(packed: Iterable[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    for content in packed:
        while content:
            yield unpacker.decompress(content, PIECE)
            content = unpacker.unconsumed_tail
    yield unpacker.flush()


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while head := stream.read(8):
        size, kind = struct.unpack(">I4s", head)
        content = stream.read(size)
        if stream.read(4) != struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))):
            raise ValueError(f"the chunk {kind!r} is not what was written")
        yield kind, content


def _rows(array: NDArray[Any]) -> memoryview:
    """Rows as a png has them: the number of each row's filter, 0 for none, and its pixels, the high byte first."""
    numbers = array.view(np.uint8) * np.uint8(255) if array.dtype == np.bool_ else array.astype(array.dtype.newbyteorder(">"), copy=False)
    pixels = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(array), -1)
    rows = np.zeros((len(array), 1 + pixels.shape[1]), np.uint8)
    rows[:, 1:] = pixels
    return rows.data.cast("B")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
