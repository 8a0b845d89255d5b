"""How far a fold is right now: a small file that the process which trains it writes every few seconds, for others to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from autoseg.errors import FileFormatError
from autoseg.io.atomic import write_fleeting
from autoseg.io.json_files import load_json, to_json

LIVE = ".live.json"


@dataclass(frozen=True, kw_only=True)
class Live:
    """What a process says of the fold that it trains; when it ends in order, the last it says stays.

    Parameters
    ----------
    doing : {"training", "validating", "stopped", "failed"}
    share : float
        Done of the training, in [0, 1]; while validating, of the validation cases.
    left_s : float or None
        Seconds to the end of all folds of the command; None while that is not known.
    why : str
        What went wrong; empty unless it failed.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    doing: Literal["training", "validating", "stopped", "failed"]
    share: float
    left_s: float | None = None
    why: str = ""


def write_live(folder: Path, live: Live) -> None:
    """Say how far the fold in `folder` is; OSError if it is not there."""
    write_fleeting(folder / LIVE, to_json(live).encode())


def read_live(folder: Path) -> Live | None:
    """What was said last; None if nothing was, or it cannot be read."""
    try:
        return load_json(folder / LIVE, Live)
    except FileFormatError:
        return None
