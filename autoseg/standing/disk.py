"""What a data set takes on the disk, and what of it can be made again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoseg.io.atomic import discard_folder, is_leftover
from autoseg.preprocess.store import plan_key
from autoseg.standing.dataset import Standing
from autoseg.workspace import CASES, PICTURES, PREVIOUS, PROBABILITIES, VALIDATION, fold_folders, run_folders

#: Kinds that go without being asked for by name: nobody waits for them to be made again.
CHEAP = ("unused", "leftovers", "pictures")


@dataclass(frozen=True, kw_only=True)
class Removable:
    """Files that can be made again.

    Parameters
    ----------
    kind : {"unused", "leftovers", "pictures", "prepared", "probabilities"}
    what : str
        In words.
    again : str
        How they are made again; empty if nobody needs them.
    paths : tuple of Path
        Files and folders.
    num_bytes : int
    """

    kind: str
    what: str
    again: str
    paths: tuple[Path, ...]
    num_bytes: int

    def remove(self) -> None:
        """Delete the files."""
        for path in self.paths:
            if path.is_dir() and not path.is_symlink():
                discard_folder(path)
            else:
                path.unlink(missing_ok=True)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed; 0 if it is not there."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # gone meanwhile: somebody works here
    return total


def removables(standing: Standing) -> list[Removable]:
    """What can be made again, by kind, see `Removable`; kinds of which nothing is there are left out."""
    place, name = standing.place, standing.name
    results = place.results(name)
    stores, channels = (_folders(place.preprocessed(name) / part) for part in (CASES, PREVIOUS))
    used = {plan_key(known.plan, stage) for known in standing.plans for stage in known.plan.stages.values()}
    if any("plans" in note for note in standing.notes):
        # A plan that cannot be read may be mended, and then needs its cases.
        used |= {path.name for path in stores}
    unused = [path for path in stores if path.name not in used]
    pictures = _folders(results, PICTURES)
    # What goes without being asked for takes its leftovers along; what may stay does not keep them.
    leftovers = list(_leftovers(place.preprocessed(name), results, but_in={*unused, *pictures}))
    prepared = [path for path in stores if path.name in used] + channels
    folds = [fold for run in run_folders(results) for fold in fold_folders(run)]
    kinds = (
        ("unused", "prepared cases that no plan uses", "nothing asks for them", unused),
        ("leftovers", "half-written files of commands that ended", "", leftovers),
        ("pictures", "pictures that the report keeps", "autoseg report draws them again", pictures),
        (
            "prepared",
            "prepared cases",
            "autoseg plan_and_preprocess prepares them again (autoseg status gives the whole command)",
            prepared,
        ),
        (
            "probabilities",
            "probabilities of held-out cases (select, check --labels and cascades read them)",
            "made again only by validating the folds again",
            [path for path in (fold / VALIDATION / PROBABILITIES for fold in folds) if path.is_dir()],
        ),
    )
    return [_removable(kind, what, again, paths, leftovers) for kind, what, again, paths in kinds if paths]


def _removable(kind: str, what: str, again: str, paths: list[Path], leftovers: list[Path]) -> Removable:
    """Leftovers in the paths are a kind of their own."""
    inside = [path for path in leftovers if not set(paths).isdisjoint(path.parents)]
    num_bytes = sum(map(_bytes_of, paths)) - sum(map(_bytes_of, inside))
    return Removable(kind=kind, what=what, again=again, paths=tuple(paths), num_bytes=max(0, num_bytes))


def _bytes_of(path: Path) -> int:
    try:
        return folder_bytes(path) if path.is_dir() and not path.is_symlink() else path.lstat().st_size
    except FileNotFoundError:
        return 0  # gone meanwhile: somebody works here


def _leftovers(*folders: Path, but_in: set[Path]) -> Iterator[Path]:
    """The outermost leftovers below, links not followed; os.walk does not mind what goes meanwhile."""
    for folder in folders:
        for parent, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if Path(parent, name) not in but_in]
            found = [name for name in (*inner, *names) if is_leftover(Path(parent, name))]
            yield from (Path(parent, name) for name in found)
            inner[:] = [name for name in inner if name not in found]


def _folders(top: Path, name: str = "[!.]*") -> list[Path]:
    return sorted(path for path in top.glob(name) if path.is_dir() and not path.is_symlink())
