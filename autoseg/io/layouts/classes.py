"""Classes of a data set that has no dataset.json, from the labels themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.case import Truth
from autoseg.errors import DataError
from autoseg.io.filenames import natural_key
from autoseg.io.truth import IGNORE, distinct_values, read_label_file

#: More values than this without a declaration: rather a smoothed or lossy picture than classes.
MAX_UNDECLARED = 64

_DECLARE = 'say in dataset.json what the values mean: {"labels": {"background": 0, "NAME": 1, ...}}'


def found_classes(truths: Sequence[Truth]) -> tuple[tuple[str, ...], dict[int, tuple[str, ...]], int | None]:
    """Classes, the values that stand for them in maps, and the ignore value.

    Mask files give their names, in natural order. Maps give their values: one value is "class 1", several are "class VALUE". Reading
    all maps takes time; a dataset.json with labels spares it.

    Raises
    ------
    DataError
        If masks and maps stand side by side, or the values of the maps are no classes.
    """
    maps = [truth.files[0] for truth in truths if truth.kind == "map"]
    masks = [truth for truth in truths if truth.kind == "masks"]
    if maps and masks:
        other = masks[0].files[0].parent if masks[0].files else "an empty folder"
        raise DataError([f"{maps[0]}: is a map of labels, {other} holds masks; {_DECLARE}, or use one kind for all cases"])
    if maps:
        values = _map_values(maps)
        names = [f"class {value}" if len(values) > 1 else "class 1" for value in values]
        return tuple(names), {value: (name,) for value, name in zip(values, names, strict=True)}, None
    named = {name for truth in masks for name in truth.classes}
    classes = tuple(sorted(named - {IGNORE}, key=natural_key))
    if not classes:
        raise DataError([f"{masks[0].files[0].parent if masks[0].files else 'labelsTr'}: holds no mask of any class, CLASS.png"])
    # Masks hold no values: any number says that there are unlabelled pixels.
    return classes, {}, len(classes) + 1 if IGNORE in named else None


def _map_values(files: Sequence[Path]) -> list[int]:
    """The values other than 0 over all maps. Maps that cannot be read are left to the check of every case, which names them all."""
    first_with: dict[int, Path] = {}
    error: DataError | None = None
    for path in files:
        try:
            labels, _ = read_label_file(path)
        except DataError as problem:
            error = problem
            continue
        values = distinct_values(labels)
        if len(values) > MAX_UNDECLARED:
            raise DataError([f"{path}: holds {len(values)} values, too many for classes; save it without smoothing or jpg, or {_DECLARE}"])
        for value in values:
            first_with.setdefault(value, path)
    first_with.pop(0, None)
    if not first_with:
        raise error or DataError([f"{files[0].parent}: all label maps are empty; at least one must hold a class"])
    if set(first_with) == {1, 255}:
        raise DataError([f"{first_with[255]}: marks its class by 255, {first_with[1]} by 1; use one value for all"])
    return sorted(first_with)
