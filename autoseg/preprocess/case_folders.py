"""Folders of cases: each is made under another name and renamed when it is whole, so that a case is all there or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from autoseg.errors import FileFormatError


@contextmanager
def replacing_case(final: Path) -> Iterator[Path]:
    """Give an empty temporary folder; when the block ends well it becomes `final`, in place of an earlier one."""
    temporary = final.with_name(f".tmp-{os.getpid()}-{final.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if final.exists():
            # Not one step: a reader sees the old case, none, or the new one, and never half of one.
            old = final.with_name(f".old-{os.getpid()}-{final.name}")
            final.rename(old)
            temporary.rename(final)
            shutil.rmtree(old)
        else:
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what processes that are gone left half written."""
    for path in folder.glob(".[to][ml][pd]-*") if folder.is_dir() else ():
        owner = path.name.split("-")[1]
        if not (owner.isdigit() and _is_running(int(owner))):
            shutil.rmtree(path, ignore_errors=True)


def sizes_of(folder: Path) -> dict[str, int]:
    """Bytes of each file of a folder, for the record that is written last."""
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def check_sizes(folder: Path, sizes: Mapping[str, int], *, advice: str) -> None:
    """FileFormatError if a file is missing or not as long as it was; `advice` says what to do."""
    for file, size in sizes.items():
        path = folder / file
        if not path.is_file() or path.stat().st_size != size:
            raise FileFormatError(f"{path} is missing or cut short; {advice}")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # asks, sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
