"""A folder of nothing but labels, as the data set that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import AutosegError, DataError, UsageError
from autoseg.evaluate.predictions import Prediction, find_predictions
from autoseg.io.filenames import natural_key
from autoseg.io.layouts import known_layouts, read_dataset
from autoseg.io.layouts.classes import found_classes
from autoseg.io.layouts.dataset_json import FILE_NAME, read_description
from autoseg.io.layouts.handbone import name_uniquely
from autoseg.io.polygons import read_polygons
from autoseg.io.pseudonyms import Salt


def read_truth_folder(folder: Path, predictions: Sequence[Prediction], like: Dataset | None = None, *, salt: Salt | None = None) -> Dataset:
    """The data set of a folder of truth: a raw data set in any layout, or labels alone.

    Labels alone are maps (CASE.png), masks (CASE/CLASS.png) or polygons (CASE.json, in folders or not). Their classes are those of `like`,
    else of the data set that the folder is a part of (labelsTs beside dataset.json), else of the labels themselves.

    Parameters
    ----------
    folder : Path
    predictions : sequence of Prediction
        Polygons say nothing of a grid: where the image is not known it is the prediction's.
    like : Dataset, optional
        Says which classes there are and what values stand for; gives images, and groups, to cases of the same name.
    salt : Salt, optional
        Of patients' names, as for `read_dataset`.

    Raises
    ------
    UsageError
        If there is no such folder, or it holds no labels.
    DataError, FileFormatError
        If its description or its labels cannot be understood.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder of labels.")
    if any(layout.recognises(folder) for layout in known_layouts().values()):
        return read_dataset(folder, salt=salt)
    if like is None and any(layout.recognises(folder.resolve().parent) for layout in known_layouts().values()):
        # What lies around the labels is asked for class names alone: whatever is wrong with it is no fault of theirs.
        with suppress(AutosegError):
            like = read_dataset(folder.resolve().parent, salt=salt)
    truths = _truths(folder)
    if not truths:
        raise UsageError(
            f"{folder} holds no labels: neither a raw data set nor CASE.png (a map), CASE/CLASS.png (masks) or CASE.json (polygons)."
        )
    known = {case.name: case for case in (*like.train, *like.test)} if like is not None else {}
    predicted = {prediction.case: prediction.files[0] for prediction in predictions}
    cases = tuple(case for name, truth in truths.items() if (case := _case(name, truth, known, predicted)) is not None)
    return replace(like or _described(folder, list(truths.values())), train=(), test=cases)


def _truths(folder: Path) -> dict[str, Truth]:
    """Case -> its labels; polygons only where there is no image file."""
    found = {
        entry.case: Truth(kind="masks" if entry.classes else "map", files=entry.files, classes=entry.classes)
        for entry in find_predictions(folder)
    }
    if found:
        return found
    files = [path for path in sorted(folder.rglob("*.json"), key=lambda path: natural_key(str(path))) if _holds_polygons(path)]
    names = name_uniquely([path.with_suffix("") for path in files], folder)
    return {name: Truth(kind="polygons", files=(path,)) for name, path in zip(names, files, strict=True)}


def _holds_polygons(path: Path) -> bool:
    try:
        return path.name != FILE_NAME and bool(read_polygons(path))
    except DataError:
        return False


def _case(name: str, truth: Truth, known: Mapping[str, Case], predicted: Mapping[str, Path]) -> Case | None:
    """The case on the grid of its image, else of its labels, else of its prediction; None for polygons without any of these."""
    if name in known:
        return replace(known[name], truth=truth)
    grid = truth.files[0] if truth.kind != "polygons" else predicted.get(name)
    return None if grid is None else Case(name=name, images=(grid,), truth=truth)


def _described(folder: Path, truths: Sequence[Truth]) -> Dataset:
    """What dataset.json in the folder says, else what the labels themselves show."""
    described = read_description(folder)
    if described.classes is not None:
        classes, values, ignore_value = described.classes, described.values, described.ignore_value
    elif truths[0].kind == "polygons":
        labels = {polygon.label for truth in truths for polygon in read_polygons(truth.files[0])}
        classes, values, ignore_value = tuple(sorted(labels, key=natural_key)), {}, None
    else:
        classes, values, ignore_value = found_classes(truths)
    if any(truth.kind != "map" for truth in truths):
        values = {}
    return Dataset(
        name=folder.name,
        root=folder,
        layout="folders",
        classes=classes,
        values=values,
        ignore_value=ignore_value,
        spacing=described.spacing,
    )
