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

#: Bytes of pixels per byte of file beyond which a header lies: deflate reaches 1032, and nothing read here compresses better.
MAX_COMPRESSION = 1100
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


def check_size(path: Path, declared: int) -> None:
    """Raise DataError if a file's header asks for more bytes of pixels than the file can hold, before any memory is taken for them."""
    size = path.stat().st_size
    if declared > MAX_COMPRESSION * size:
        said = f"is damaged: its header asks for {declared:,} bytes of pixels, more than its {size:,} bytes can hold"
        raise unreadable(path, said, DAMAGED)


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
