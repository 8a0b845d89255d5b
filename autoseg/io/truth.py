"""A case's labels as a code map, whatever they are stored as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import DataError
from autoseg.geometry import Geometry, overlays
from autoseg.io.coco import read_coco
from autoseg.io.decoded import unreadable
from autoseg.io.filenames import says_how_it_lies
from autoseg.io.images import decode_file, grid_difference
from autoseg.io.labelme import read_labelme
from autoseg.io.polygons import draw_class, read_polygons
from autoseg.io.regions import draw_regions
from autoseg.io.series import file_orientation
from autoseg.labels import CodeMap, Mask, encode_map, encode_masks

#: The name of the mask file, and of the label in dataset.json, that marks unlabelled pixels (nnU-Net's name).
IGNORE = "ignore"


def read_truth(dataset: Dataset, case: Case, geometry: Geometry) -> CodeMap:
    """The labels of a case on the grid of its image.

    Parameters
    ----------
    dataset : Dataset
        Says what values stand for, and which classes there are.
    case : Case
        With a truth.
    geometry : Geometry
        The image's grid as read, or with the spacing that dataset.json declares.

    Raises
    ------
    DataError
        Naming the file: unreadable, another grid than the image, undeclared values, masks that are not binary, wrong polygons.
    """
    truth = case.truth
    if truth is None:
        raise ValueError(f"case {case.name} has no truth to read")
    if truth.kind == "map":
        return _from_map(dataset, truth, geometry, image=case.images[0])
    if truth.kind == "polygons":
        return _from_polygons(dataset, truth, geometry)
    if truth.kind in ("coco", "labelme"):
        return _from_regions(dataset, truth, geometry)
    return _from_masks(dataset, truth, geometry, image=case.images[0])


def read_label_file(path: Path) -> tuple[NDArray[Any], Geometry]:
    """One file of labels: integers of one channel, shape (z,) y, x, and their grid. Whole numbers stored as float32 become int64.

    Raises
    ------
    DataError
        If it cannot be read, has colours (one mask per channel included), or holds fractions.
    """
    decoded = decode_file(path, keep_palette_indices=True)
    array = decoded.array
    if decoded.has_alpha and (array[-1] == array[-1].flat[0]).all():
        array = array[:-1]
    if len(array) > 1 and any((channel != array[0]).any() for channel in array[1:]):
        advice = "labels are one channel of class numbers; overlapping classes belong in labelsTr/CASE/CLASS.png, one mask each"
        raise unreadable(path, f"is an image of {len(array)} channels that differ", advice)
    labels = array[0]
    if labels.dtype.kind == "f":
        whole = labels.astype(np.int64) if np.isfinite(labels).all() else None
        if whole is None or (whole != labels).any():
            advice = "labels are class numbers; resample them with nearest neighbour"
            raise unreadable(path, "holds values that are no whole numbers", advice)
        labels = whole
    return labels, decoded.geometry


def distinct_values(labels: NDArray[Any]) -> list[int]:
    """The values of an integer array, ascending; counted rather than sorted where they fit 16 bits."""
    if labels.dtype in (np.uint8, np.uint16):
        return [int(value) for value in np.flatnonzero(np.bincount(labels.ravel()))]
    return [int(value) for value in np.unique(labels)]


def _from_map(dataset: Dataset, truth: Truth, geometry: Geometry, *, image: Path) -> CodeMap:
    (path,) = truth.files
    labels = _read_on_grid(path, geometry, image=image, any_spacing=dataset.spacing is not None)
    place = {name: k for k, name in enumerate(dataset.classes)}
    sets = {0: ()} | {value: tuple(place[name] for name in names) for value, names in dataset.values.items()}
    unknown = set(distinct_values(labels)) - set(sets) - {dataset.ignore_value}
    if unknown:
        raise unreadable(path, *_undeclared(unknown, dataset))
    return encode_map(labels, sets, len(dataset.classes), dataset.ignore_value)


def _undeclared(unknown: set[int], dataset: Dataset) -> tuple[str, str]:
    """What is wrong with undeclared values, and what to do."""
    if not dataset.values:
        return "is one map of labels, but the data set has one mask per class", "give every case the same kind of labels"
    declared = ", ".join(f"{value} ({' + '.join(names) or 'background'})" for value, names in sorted({0: (), **dataset.values}.items()))
    if dataset.ignore_value is not None:
        declared += f", {dataset.ignore_value} (ignore)"
    if unknown == {255} and set(dataset.values) == {1}:
        return (
            f"is a mask of 0 and 255 where a map was declared: {declared}",
            f'divide its values by 255, or declare the class as 255 in dataset.json: "{dataset.classes[0]}": 255',
        )
    shown = ", ".join(map(str, sorted(unknown)[:10])) + (", ..." if len(unknown) > 10 else "")
    return f"holds the undeclared value{'s' if len(unknown) > 1 else ''} {shown}", f"declared are {declared}"


def _from_masks(dataset: Dataset, truth: Truth, geometry: Geometry, *, image: Path) -> CodeMap:
    files = dict(zip(truth.classes, truth.files, strict=True))
    unknown = [(name, path) for name, path in files.items() if name not in dataset.classes and name != IGNORE]
    if unknown:
        declared = ", ".join(dataset.classes)
        raise DataError([f"{path}: the class {name!r} is not declared; declared are {declared}" for name, path in unknown])

    read = partial(read_mask, geometry=geometry, image=image, any_spacing=dataset.spacing is not None)

    def masks() -> Iterator[Mask]:
        for name in dataset.classes:
            yield read(files[name]) if name in files else np.zeros(geometry.shape, np.bool_)

    ignored = read(files[IGNORE]) if IGNORE in files and IGNORE not in dataset.classes else None
    return encode_masks(masks(), geometry.shape, ignored)


def read_mask(path: Path, geometry: Geometry, *, image: Path, any_spacing: bool = False) -> Mask:
    """A binary mask, bool, on the grid `geometry` of the file `image`: 0 and any one other value.

    With `any_spacing` the file's own spacing does not count: dataset.json declares another one.

    Raises
    ------
    DataError
        Naming the file, if it has another grid or more values.
    """
    labels = _read_on_grid(path, geometry, image=image, any_spacing=any_spacing)
    # A binary array is one whose values all equal one of two; sorting them is slower by far.
    highest = labels.max()
    mask: Mask = np.asarray(labels != 0)
    if not ((labels == highest) | ~mask).all():
        values = distinct_values(labels)
        shown = ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
        advice = "save it without smoothing or jpg compression, or threshold it"
        raise unreadable(path, f"is no binary mask: it holds {len(values)} values ({shown}), expected 0 and one other", advice)
    return mask


def _from_polygons(dataset: Dataset, truth: Truth, geometry: Geometry) -> CodeMap:
    (path,) = truth.files
    if geometry.num_axes != 2:
        raise unreadable(path, f"holds polygons, and its image is a volume of {geometry.shape}")
    polygons = read_polygons(path)
    unknown = sorted({polygon.label for polygon in polygons} - set(dataset.classes))
    if unknown:
        declared = ", ".join(dataset.classes)
        raise DataError([f"{path}: the class {name!r} is not declared; declared are {declared}" for name in unknown])
    try:
        return encode_masks((draw_class(polygons, name, geometry.shape) for name in dataset.classes), geometry.shape)
    except ValueError as error:
        raise unreadable(path, str(error)) from None


def _from_regions(dataset: Dataset, truth: Truth, geometry: Geometry) -> CodeMap:
    (path,) = truth.files
    if geometry.num_axes != 2:
        raise unreadable(path, f"holds outlines, and its image is a volume of {geometry.shape}")
    if truth.kind == "labelme":
        regions = read_labelme(path)[1]
    else:
        file = read_coco(path)
        image = file.images[truth.entry]
        if image.width and image.height and (image.height, image.width) != geometry.shape:
            said = f"image {image.id} is {image.width}x{image.height} there, {image.file_name} is {geometry.shape[1]}x{geometry.shape[0]}"
            raise unreadable(path, said, "was the image resized or turned after it was annotated?")
        regions = file.regions(truth.entry)
    return draw_regions(regions, dataset.classes, IGNORE, geometry.shape, str(path))


def _read_on_grid(path: Path, geometry: Geometry, *, image: Path, any_spacing: bool) -> NDArray[Any]:
    """The integers of a file of labels, turned as its image was.

    Files that both say how they lie are turned each by its own header. Where only one of them does (a tif beside a NIfTI), they lie voxel
    by voxel as in the files.
    """
    labels, grid = read_label_file(path)
    says = says_how_it_lies(path)
    if grid.num_axes == geometry.num_axes == 3 and says != says_how_it_lies(image):
        orientation = file_orientation(path).inverse if says else file_orientation(image)
        labels, grid = orientation.turn(labels), orientation.turn_grid(grid)
    _check_grid(path, grid, geometry, any_spacing=any_spacing)
    return labels


def _check_grid(path: Path, labels: Geometry, image: Geometry, *, any_spacing: bool) -> None:
    if labels.shape != image.shape:
        raise unreadable(path, f"has the shape {labels.shape}, its image {image.shape}", "labels and image must be of one size")
    if any_spacing:
        labels = replace(labels, spacing=image.spacing)
    if not overlays(labels, image):
        advice = "resample the labels onto the image, or copy its header"
        raise unreadable(path, f"lies elsewhere than its image: {grid_difference(labels, image)}", advice)
