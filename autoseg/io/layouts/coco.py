"""COCO: JSON files of instances and the images they name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import DataError
from autoseg.io.coco import CocoFile, is_coco, read_coco
from autoseg.io.filenames import natural_key
from autoseg.io.layouts.base import Layout
from autoseg.io.layouts.lookup import ImageLookup, case_names, files_like, is_test
from autoseg.io.truth import IGNORE


class CocoLayout(Layout):
    """One or more files of instances; those of a folder or name "test" hold the test images, all others are trained on.

    Classes are the categories that annotations use, in the order of the files; a category called "ignore" marks unlabelled pixels. An
    image without annotations is one without any class.
    """

    needs = "COCO JSON files of instances (annotations/instances_train.json, train/_annotations.coco.json) and their images"

    def recognises(self, folder: Path) -> bool:
        """True if a JSON file, at most two levels down, holds images, annotations and categories."""
        return next(_coco_files(folder), None) is not None

    def read(self, folder: Path, name: str) -> Dataset:
        """The data set."""
        files = [read_coco(path) for path in _coco_files(folder)]
        train, test = (cases_of([file for file in files if is_test(file.path, folder) == tested], folder) for tested in (False, True))
        if not train:
            raise DataError([f"{folder}: holds COCO files of test images only; it needs {self.needs}"])
        classes = _classes([file for file in files if not is_test(file.path, folder)])
        return Dataset(
            name=name,
            root=folder,
            layout="coco",
            classes=tuple(label for label in classes if label != IGNORE),
            ignore_value=len(classes) if IGNORE in classes else None,
            train=tuple(train),
            test=tuple(test),
        )


def _coco_files(folder: Path) -> Iterator[Path]:
    return files_like(folder, is_coco, ("images", "annotations", "categories"))


def cases_of(files: list[CocoFile], root: Path) -> list[Case]:
    """The images that the files name, somewhere below `root`; DataError for all that are not there or are named twice."""
    lookup = ImageLookup(root)
    found: dict[Path, Truth] = {}
    problems = []
    for file in files:
        split = file.path.stem.removeprefix("instances_")
        folders = [file.path.parent, root, *(place / part for place in (root, root / "images") for part in ("images", split, "."))]
        for image in file.images.values():
            try:
                path = lookup.find(image.file_name, folders)
            except ValueError as error:
                problems.append(f"{file.path}: image {image.id}: {error}")
                continue
            if path in found:
                problems.append(f"{file.path}: image {image.id}: {path} has annotations under another id or in {found[path].files[0]}")
            found[path] = Truth(kind="coco", files=(file.path,), entry=image.id)
    if problems:
        raise DataError(problems)
    named = zip(case_names(list(found), root), found.items(), strict=True)
    cases = (Case(name=name, images=(path,), truth=truth) for name, (path, truth) in named)
    return sorted(cases, key=lambda case: natural_key(case.name))


def _classes(files: list[CocoFile]) -> list[str]:
    used = [{a["category_id"] for members in file.annotations.values() for a in members} for file in files]
    names = [name for file, ids in zip(files, used, strict=True) for key, name in file.categories.items() if key in ids]
    if not names:
        raise DataError([f"{files[0].path}: holds no annotations"])
    return list(dict.fromkeys(names))
