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
from pathlib import Path
from typing import Any

import blosc2
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


def read_probabilities(path: Path) -> Bytes:
    """Read (K, *spatial) bytes; divided by 255 they are probabilities to within 1.5/255.

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
        return _decode(data)
    except (ValueError, KeyError, TypeError, RuntimeError, struct.error) as error:
        raise FileFormatError(f"{path} is damaged ({error}); predict it again") from None


def _decode(data: bytes) -> Bytes:
    place = len(MAGIC) + 8
    (length,) = struct.unpack("<Q", data[len(MAGIC) : place])
    header = json.loads(data[place : place + length])
    place += length
    if len(data) != place + sum(header["sizes"]):
        raise ValueError(f"{len(data)} bytes, expected {place + sum(header['sizes'])}")
    result = np.zeros((len(header["boxes"]), *header["shape"]), np.uint8)
    for plane, box, size in zip(result, header["boxes"], header["sizes"], strict=True):
        if size:
            target = plane[tuple(slice(*ends) for ends in box)]
            target[...] = np.frombuffer(blosc2.decompress2(data[place : place + size]), np.uint8).reshape(target.shape)
        place += size
    return result


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
    filters = {"filters": [blosc2.Filter.NOFILTER], "filters_meta": [0]}
    return bytes(blosc2.compress2(values, typesize=1, codec=blosc2.Codec.ZSTD, clevel=5, nthreads=1, **filters))
