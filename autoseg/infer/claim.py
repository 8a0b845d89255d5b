"""A folder of predictions belongs to the command that writes into it: to one, or to one for each part (--part)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from autoseg.io.atomic import remove_leftovers
from autoseg.io.locks import locked, refuse_if_locked

LOCK, PART_LOCK = ".predict.lock", ".predict-{}-of-{}.lock"
DOING = "predicted into"


@contextmanager
def claimed(out: Path, part: tuple[int, int] | None) -> Iterator[None]:
    """Hold a folder, or a part's place in it, while the block runs; what ended processes left half written in it goes.

    Raises
    ------
    RunError
        If another process predicts into the folder: the same part, the whole, or, for the whole, any part.
    """
    own = out / (LOCK if part is None else PART_LOCK.format(*part))
    with locked(own, DOING):
        # Own lock first, then a look at the others': of two that begin at once at least one sees the other.
        entries = sorted(out.iterdir())
        for other in (path for path in entries if fnmatch(path.name, PART_LOCK.format("*", "*"))) if part is None else (out / LOCK,):
            refuse_if_locked(other, DOING)
        remove_all_leftovers(out)
        yield


def remove_all_leftovers(out: Path) -> None:
    """What ended processes left half written goes."""
    for folder in (out, *(path for path in out.iterdir() if path.is_dir())):
        remove_leftovers(folder)
