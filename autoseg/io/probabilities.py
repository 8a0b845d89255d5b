"""Probability maps in one small file: a byte a pixel, each class cut to the box where it is above 1/255, compressed.

Layout: MAGIC, the length of the header (8 bytes, little endian), the header (JSON: shape, and per class its box and number of bytes),
then the classes' blosc2 chunks one after the other. Nothing in it is executed when it is read.

Shapes: K classes (without the background of exclusive classes, which is what is left), then (z,) y, x. The file says nothing of where it
lies: volumes are in the canonical orientation (`io.orientation`), as `read_image` gives the image, and not in the input file's own.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import FileFormatError
from autoseg.io.atomic import write_bytes

MAGIC = b"autoseg-probabilities-1\n"
#: A byte of 1 is noise of a sigmoid that never reaches 0: it is stored as 0, so that boxes stay small. The error is 1.5/255 at most.
NOISE = 1
SUFFIX = ".prob"

Bytes = NDArray[np.uint8]
Box = list[list[int]]


def quantize(probabilities: NDArray[np.floating[Any]]) -> Bytes:
    """Probabilities in [0, 1] as bytes, round(255 p); p >= 0.5 is exactly byte >= 128."""
    return np.asarray(np.rint(probabilities * 255), np.uint8)


def write_probabilities(path: Path, probabilities: Sequence[NDArray[Any]] | NDArray[Any]) -> int:
    """Write atomically.

    Parameters
    ----------
    path : Path
    probabilities : array or sequence of arrays, (K, *spatial)
        Floats in [0, 1], or bytes from `quantize`.

    Returns
    -------
    int
        Size of the file in bytes.
    """
    boxes, chunks = [], []
    for plane in probabilities:
        values = plane if plane.dtype == np.uint8 else quantize(plane)
        box = _box_above_noise(values)
        inside = np.ascontiguousarray(values[tuple(slice(*ends) for ends in box)])
        inside = np.where(inside > NOISE, inside, np.uint8(0))
        boxes.append(box)
        chunks.append(_compress(inside))
    header = {"shape": list(probabilities[0].shape), "boxes": boxes, "sizes": [len(chunk) for chunk in chunks]}
    text = json.dumps(header).encode()
    data = b"".join([MAGIC, struct.pack("<Q", len(text)), text, *chunks])
    write_bytes(path, data)
    return len(data)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """A file of probabilities in memory, still compressed: classes are unpacked one at a time.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        (z,) y, x.
    boxes : tuple of tuple of slices
        Of each class; all is 0 outside of it.
    chunks : tuple of bytes
    """

    path: Path
    shape: tuple[int, ...]
    boxes: tuple[tuple[slice, ...], ...]
    chunks: tuple[bytes, ...]

    def inside(self, k: int) -> Bytes:
        """The bytes of class `k` in its box; FileFormatError if they are damaged."""
        shape = tuple(ends.stop - ends.start for ends in self.boxes[k])
        if not self.chunks[k]:
            return np.zeros(shape, np.uint8)
        import blosc2

        try:
            return np.frombuffer(blosc2.decompress2(self.chunks[k]), np.uint8).reshape(shape)
        except (ValueError, RuntimeError) as error:
            raise FileFormatError(f"{self.path} is damaged ({error}); predict it again") from None

    def cut(self, k: int, box: tuple[slice, ...]) -> Bytes:
        """The bytes of class `k` in any box of the image, 0 where nothing is stored."""
        cut = np.zeros(tuple(ends.stop - ends.start for ends in box), np.uint8)
        pairs = list(zip(self.boxes[k], box, strict=True))
        both = [slice(max(own.start, asked.start), min(own.stop, asked.stop)) for own, asked in pairs]
        if all(ends.start < ends.stop for ends in both):
            source = tuple(slice(ends.start - own.start, ends.stop - own.start) for ends, (own, _) in zip(both, pairs, strict=True))
            target = tuple(slice(ends.start - asked.start, ends.stop - asked.start) for ends, (_, asked) in zip(both, pairs, strict=True))
            cut[target] = self.inside(k)[source]
        return cut


def read_probabilities(path: Path) -> Bytes:
    """Read (K, *spatial) bytes; divided by 255 they are probabilities to within 1.5/255.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or of another kind.
    """
    stored = open_probabilities(path)
    result = np.zeros((len(stored.boxes), *stored.shape), np.uint8)
    for k, box in enumerate(stored.boxes):
        result[k][box] = stored.inside(k)
    return result


def open_probabilities(path: Path) -> Stored:
    """`read_probabilities` without unpacking: a few hundred KB for 29 classes at 2048 x 2048.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or of another kind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from None
    if not data.startswith(MAGIC):
        raise FileFormatError(f"{path} is no file of probabilities of this version of autoseg")
    try:
        return _parse(path, data)
    except (ValueError, KeyError, TypeError, RuntimeError, struct.error) as error:
        raise FileFormatError(f"{path} is damaged ({error}); predict it again") from None


def _parse(path: Path, data: bytes) -> Stored:
    place = len(MAGIC) + 8
    (length,) = struct.unpack("<Q", data[len(MAGIC) : place])
    header = json.loads(data[place : place + length])
    place += length
    sizes, boxes = header["sizes"], header["boxes"]
    if len(data) != place + sum(sizes) or len(sizes) != len(boxes):
        raise ValueError(f"{len(data)} bytes, expected {place + sum(sizes)}")
    chunks = []
    for size in sizes:
        chunks.append(data[place : place + size])
        place += size
    slices = tuple(tuple(slice(*ends) for ends in box) for box in boxes)
    return Stored(path=path, shape=tuple(header["shape"]), boxes=slices, chunks=tuple(chunks))


def _box_above_noise(values: Bytes) -> Box:
    above = values > NOISE
    box = []
    for axis in range(values.ndim):
        hit = np.flatnonzero(above.any(axis=tuple(other for other in range(values.ndim) if other != axis)))
        box.append([int(hit[0]), int(hit[-1]) + 1] if hit.size else [0, 0])
    return box


def _compress(values: Bytes) -> bytes:
    if not values.size:
        return b""
    import blosc2

    filters = {"filters": [blosc2.Filter.NOFILTER], "filters_meta": [0]}
    return bytes(blosc2.compress2(values, typesize=1, codec=blosc2.Codec.ZSTD, clevel=5, nthreads=1, **filters))
