"""What every format's reader returns, and how it says that a file cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import DataError
from autoseg.geometry import Geometry
from autoseg.io.orientation import Orientation
from autoseg.io.ram import free_bytes

#: Bytes of pixels per byte of file beyond which a header lies: deflate reaches 1032 (RFC 1951, 3.2.5: 258 bytes in two codes of one bit).
DEFLATE = 1100
#: LZW, in tif and gif: a code of 12 bits stands for at most 4096 bytes, 2731 per byte; what writers begin anew in time reaches 1335.
LZW = 2800
#: Bytes of memory that are taken to be free where the system does not say.
UNKNOWN_FREE = 2**33
#: What to do about a file cut short.
DAMAGED = "copy it again from where it came from, or remove it"


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """The content of one image file.

    Parameters
    ----------
    array : array, shape (C, (z,) y, x)
        In the file's own dtype; channels first whatever the file's order.
    geometry : Geometry
    has_alpha : bool
        True if the last channel is opacity.
    orientation : Orientation or None
        How a volume was turned when it was read (array and geometry are canonical); None: it lies as in its file.
    """

    array: NDArray[Any]
    geometry: Geometry
    has_alpha: bool = False
    orientation: Orientation | None = None


def unreadable(path: Path, reason: str, advice: str = "") -> DataError:
    """The error of a file that cannot be used: its name, why, and what to do if that is not plain."""
    return DataError([f"{path}: {reason}" + (f"; {advice}" if advice else "")])


def check_file(path: Path) -> None:
    """Raise DataError unless there is an ordinary file with something in it: a pipe would be waited for, an empty file has no format."""
    if not path.exists():
        raise unreadable(path, "does not exist, or is a link that leads nowhere")
    if not path.is_file():
        raise unreadable(path, "is no ordinary file (a pipe or a device)", "put the image itself there")
    # What the kernel makes up (/proc) says 0 as well; a read decides.
    if path.stat().st_size == 0 and not _holds_anything(path):
        raise unreadable(path, "is empty (0 bytes)", DAMAGED)


def check_size(path: Path, declared: int, *, packs: int | None = DEFLATE) -> None:
    """Raise DataError if a file's header asks for more bytes of pixels than the file can hold, before any memory is taken for them.

    Parameters
    ----------
    path : Path
    declared : int
        Bytes of pixels that the header asks for.
    packs : int or None
        Most bytes of pixels in a byte of the file; None: its compression has no bound (an empty image in zstd or JPEG 2000 takes next to
        nothing). What lies beyond deflate's must fit into a quarter of the memory that is free: several files may be read at a time, and
        pixels are copied on their way.
    """
    size = path.stat().st_size
    if declared <= DEFLATE * size:
        return
    asked = f"its header asks for {declared:,} bytes of pixels"
    if packs is not None and declared > packs * size:
        raise unreadable(path, f"is damaged: {asked}, more than its {size:,} bytes can hold", DAMAGED)
    known = free_bytes()
    free = UNKNOWN_FREE if known is None else known
    if declared > free / 4:
        said = f"{asked}, its own are {size:,}, and it may take a quarter of the {free:,} bytes of memory that are free"
        raise unreadable(path, said, "if the image is smaller than that, " + DAMAGED)


def _holds_anything(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return bool(stream.read(1))
    except OSError as error:
        raise unreadable(path, f"cannot be read ({error.strerror})", "see who may read it, and whether its disk is sound") from None


def not_finite(path: Path, number: int) -> DataError:
    """The error of an image with this many values that are NaN or infinite."""
    said = f"holds {number:,} value{'s that are' if number > 1 else ' that is'} NaN or infinite"
    return unreadable(path, said, "replace them, by the image's lowest value for instance")


def channels_first(array: NDArray[Any], has_channels: bool) -> NDArray[Any]:
    """(..., C) or plain spatial axes as (C, ...), contiguous."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 0) if has_channels else array[None])
