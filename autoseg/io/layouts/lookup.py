"""Images that another tool's JSON names: by a path that may be of another machine, or of another folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from autoseg.errors import FileFormatError
from autoseg.io.filenames import nested_image_files
from autoseg.io.json_files import read_plain_json
from autoseg.io.layouts.handbone import name_uniquely


def json_files(folder: Path) -> list[Path]:
    """The .json files in a folder and up to two levels below it, in order; hidden ones are passed over."""
    found = (path for pattern in ("*.json", "*/*.json", "*/*/*.json") for path in folder.glob(pattern))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def files_like(folder: Path, accepts: Callable[[object], bool], words: Sequence[str]) -> Iterator[Path]:
    """The JSON files of a kind: whose content is accepted, and damaged ones that hold all of `words`, so that reading can name them."""
    for path in json_files(folder):
        try:
            wanted = accepts(read_plain_json(path))
        except FileFormatError:
            text = path.read_bytes() if path.is_file() else b""
            wanted = all(f'"{word}"'.encode() in text for word in words)
        if wanted:
            yield path


def case_names(images: Sequence[Path], root: Path) -> list[str]:
    """A unique name for each image, those outside of the root included."""
    return name_uniquely([path if path.is_relative_to(root) else root / path.name for path in images], root)


def is_test(path: Path, root: Path) -> bool:
    """True if a file below `root` is meant for testing: a folder or the file's name says so ("test", "instances_test2017.json")."""
    parts = path.relative_to(root).parts
    stem = path.stem.removeprefix("instances_").removeprefix("image_info_")
    return "test" in (part.lower() for part in parts[:-1]) or stem.rstrip("0123456789").rstrip("-_").lower() == "test"


class ImageLookup:
    """The images below a folder.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] = {}
        for path in nested_image_files(root):
            self._by_name.setdefault(path.name, []).append(path)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._by_name.values()))

    def find(self, name: str, places: Sequence[Path]) -> Path:
        """The image that a file means by `name`.

        As the name says it, from each of `places`; else the image below the root whose path shares most of the name's last parts: files
        are written on other machines, with absolute paths and backslashes.

        Raises
        ------
        ValueError
            If there is none, or several that fit as well.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        for candidate in (place.joinpath(*parts) for place in places):
            if candidate.is_file():
                return Path(os.path.normpath(candidate))
        # A drive or a leading slash is no part of the path below the root.
        wanted = [part for part in parts if part not in ("/", "..", ".") and not part.endswith(":")]
        found = self._by_name.get(wanted[-1], []) if wanted else []
        scores = {path: _common_end(path.relative_to(self.root).parts, wanted) for path in found}
        best = [path for path in found if scores[path] == max(scores.values())]
        if len(best) > 1:
            raise ValueError(f"{name!r} may be {best[0]} or {best[1]}; write the folder into the name")
        if not best:
            raise ValueError(f"there is no image {name!r} in {self.root}")
        return best[0]


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    same = 0
    for left, right in zip(reversed(a), reversed(b), strict=False):
        if left != right:
            break
        same += 1
    return same
