"""LabelMe: a JSON file per image, as a rule beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import DataError
from autoseg.io.filenames import natural_key
from autoseg.io.labelme import holds_picture, is_labelme, read_labelme
from autoseg.io.layouts.base import Layout
from autoseg.io.layouts.lookup import ImageLookup, case_names, files_like, is_test
from autoseg.io.truth import IGNORE

log = logging.getLogger(__name__)


class LabelMeLayout(Layout):
    """One file of shapes per image, which lies beside it or, if it does not, inside the file (imageData).

    Those in a folder "test" are test images. Classes are the labels, in natural order.
    A label "ignore" marks unlabelled pixels. Images without a file are not labelled yet and are left out.
    """

    needs = "LabelMe JSON files with the images that they name (a.json beside a.png)"

    def recognises(self, folder: Path) -> bool:
        """True if a JSON file, at most two levels down, holds shapes and an imagePath."""
        return next(labelme_files(folder), None) is not None

    def read(self, folder: Path, name: str) -> Dataset:
        """The data set; all files are looked through for their labels."""
        files = list(labelme_files(folder))
        cases, labels = _cases(files, folder)
        train = [case for case in cases if case.truth is not None and not is_test(case.truth.files[0], folder)]
        if not train or not labels - {IGNORE}:
            raise DataError([f"{folder}: holds no shapes of images to train on; it needs {self.needs}"])
        classes = tuple(sorted(labels - {IGNORE}, key=natural_key))
        return Dataset(
            name=name,
            root=folder,
            layout="labelme",
            classes=classes,
            ignore_value=len(classes) + 1 if IGNORE in labels else None,
            train=tuple(train),
            test=tuple(case for case in cases if case not in train),
        )


def labelme_files(folder: Path) -> Iterator[Path]:
    """Those in a folder, and at most two levels down."""
    return files_like(folder, is_labelme, ("shapes", "imagePath"))


def _cases(files: list[Path], root: Path) -> tuple[list[Case], set[str]]:
    lookup = ImageLookup(root)
    found: dict[Path, Path] = {}
    labels: set[str] = set()
    problems: list[str] = []
    for path in files:
        try:
            image_path, regions = read_labelme(path)
            image = _find(lookup, image_path, path)
        except DataError as error:
            problems += error.problems
            continue
        except ValueError as error:
            problems.append(f"{path}: imagePath: {error}")
            continue
        if image in found:
            problems.append(f"{path}: {image} has shapes in {found[image]}, too; keep one of them")
        found[image] = path
        labels |= {region.label for region in regions}
    if problems:
        raise DataError(problems)
    if unlabelled := lookup.count - len(found.keys() - set(files)):
        log.warning("%s: %d images have no LabelMe file and are left out", root, unlabelled)
    named = zip(case_names([path.with_suffix("") if path in files else path for path in found], root), found.items(), strict=True)
    cases = (Case(name=name, images=(image,), truth=Truth(kind="labelme", files=(path,))) for name, (image, path) in named)
    return sorted(cases, key=lambda case: natural_key(case.name)), labels


def _find(lookup: ImageLookup, name: str, file: Path) -> Path:
    """The image that a file names; the file itself if there is none and the image lies inside."""
    try:
        return lookup.find(name, [file.parent])
    except ValueError:
        if holds_picture(file):
            return file
        raise
