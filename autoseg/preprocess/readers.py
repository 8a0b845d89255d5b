"""Prepared cases that a training reads are not made again under it.

Each training holds a lock of its own in STORE/.readers; whoever replaces cases holds STORE/.lock and looks for readers. Each of the two
takes its own lock first and looks for the other's then, so that at least one of two that begin at once is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from autoseg.errors import RunError
from autoseg.io.atomic import NOT_WRITABLE
from autoseg.io.locks import holder, locked
from autoseg.io.names import escape_name, unescape_name
from autoseg.workspace import LOCK

READERS = ".readers"
REPLACED = "of which some have to be prepared again: their files changed, or they are damaged"


@contextmanager
def reading(folder: Path, name: str) -> Iterator[None]:
    """Keep a store's cases as they are while the block runs.

    Parameters
    ----------
    folder : Path
        The store's.
    name : str
        Of the training, unlike any other's that reads there.

    Raises
    ------
    RunError
        If they are being made again; names the process.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / READERS / escape_name(name), "read"))
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
        if (owner := holder(folder / LOCK)) is not None:
            raise RunError(
                f"the cases in {folder} are being prepared again by {owner}. Wait until it has ended, and give the command again."
            )
        yield


@contextmanager
def remaking(folder: Path, why: str = REPLACED) -> Iterator[None]:
    """Hold a store while cases of it are replaced or deleted.

    Parameters
    ----------
    folder : Path
        The store's.
    why : str
        Completes "reads the cases in FOLDER, ...".

    Raises
    ------
    RunError
        If a training reads them; names it.
    """
    with locked(folder / LOCK, "prepared"):
        for path in sorted((folder / READERS).glob("*")):
            if (owner := holder(path)) is not None:
                raise RunError(
                    f"the training {unescape_name(path.name)} ({owner}) reads the cases in {folder}, {why}. Wait until it has ended, or "
                    "stop it, and give the command again."
                )
        yield
