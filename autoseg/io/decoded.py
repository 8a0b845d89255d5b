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


def channels_first(array: NDArray[Any], has_channels: bool) -> NDArray[Any]:
    """(..., C) or plain spatial axes as (C, ...), contiguous."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 0) if has_channels else array[None])
