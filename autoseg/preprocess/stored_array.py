"""One array in a blosc2 file, read by slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

import blosc2
import numpy as np
from numpy.typing import NDArray

from autoseg.errors import FileFormatError

#: Bytes of a chunk, what a reader decompresses at least. Measured on a 2048 x 2048 image: a whole read takes 9 ms whatever the chunk, a
#: 512 x 512 crop 2 ms.
CHUNK_BYTES = 1 << 20
#: Slices smaller than this share a chunk: a chunk of 2 KB costs as much to find as one of 64.
SLICES_BYTES = 1 << 16
#: zstd at its lowest level: 20 % smaller than lz4 on noisy 8-bit images and written in 20 ms per 2048 x 2048; level 5 takes 110 ms for 5 %.
COMPRESSION_LEVEL = 1


class Slicable(Protocol):
    """An array on disk: numpy's slicing reads only the chunks that it needs."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> NDArray[Any]: ...


def chunk_shape(shape: tuple[int, ...], itemsize: int, *, sliced: bool) -> tuple[int, ...]:
    """Chunks of (C, *spatial): at most `CHUNK_BYTES`, the longest axis halved until they fit; few slices deep where slices are read.

    Examples
    --------
    >>> chunk_shape((1, 2048, 2048), 1, sliced=False), chunk_shape((1, 40, 512, 512), 1, sliced=True)
    ((1, 1024, 1024), (1, 1, 512, 512))
    """
    chunk = list(shape)
    if sliced:
        slice_bytes = int(np.prod(shape)) // shape[1] * itemsize
        chunk[1] = min(shape[1], max(1, SLICES_BYTES // slice_bytes))
    while np.prod(chunk) * itemsize > CHUNK_BYTES and max(chunk[1:]) > 16:
        longest = 1 + int(np.argmax(chunk[1:]))
        chunk[longest] = -(-chunk[longest] // 2)
    return tuple(chunk)


def save_array(path: Path, array: NDArray[Any], chunks: tuple[int, ...]) -> None:
    """Write an array; not atomic: a folder that is renamed when it is whole holds it."""
    settings = {"codec": blosc2.Codec.ZSTD, "clevel": COMPRESSION_LEVEL, "nthreads": 1}
    # In memory first: blosc2 writing chunk by chunk took 12 ms a file for 35 small slices.
    compressed = blosc2.asarray(np.ascontiguousarray(array), chunks=chunks, cparams=settings)
    path.write_bytes(compressed.to_cframe())


def open_array(path: Path, advice: str) -> Slicable:
    """Open what `save_array` wrote; FileFormatError, also from a later read, names the file and says what to do."""
    try:
        return _Named(path, advice, cast(Slicable, blosc2.open(str(path), mode="r", dparams={"nthreads": 1})))
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(f"{path} is damaged. {advice}") from error


class _Named:
    """A blosc2 array whose errors name its file."""

    def __init__(self, path: Path, advice: str, array: Slicable) -> None:
        self.path, self.advice, self.array = path, advice, array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            return self.array[key]
        except (RuntimeError, ValueError) as error:
            raise FileFormatError(f"{self.path} is damaged. {self.advice}") from error
