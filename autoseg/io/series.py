"""A folder of DICOM slices as one volume.

A folder is a series if its DICOM files say where their slices lie (ImagePositionPatient) and these places differ: CT, MR, PET. Projection
X-rays have no such place; each file of theirs is an image, even where several views share a series.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import DataError
from autoseg.geometry import Geometry
from autoseg.io.decoded import Decoded, unreadable
from autoseg.io.dicom import Tags, numbers, read_slice
from autoseg.io.filenames import image_files, is_dicom
from autoseg.io.orientation import Orientation, orientation_of
from autoseg.io.volumes import itk_geometry, read_header

POSITION, DIRECTIONS = "0020|0032", "0020|0037"
SERIES, NUMBER = "0020|000e", "0020|0011"
#: Steps between slices may differ by this share of the usual one: headers are rounded.
STEP_TOLERANCE = 0.02


class _Header(NamedTuple):
    path: Path
    position: NDArray[np.float64]
    along_x: NDArray[np.float64]
    along_y: NDArray[np.float64]
    tags: Tags

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.along_x, self.along_y)

    @property
    def depth(self) -> float:
        return float(self.position @ self.normal)


def is_series(folder: Path) -> bool:
    """True if a folder's DICOM files are slices of a volume, by their headers.

    Raises
    ------
    DataError
        If slices of several series lie in the folder.
    """
    files = dicom_files(folder)
    if len(files) < 2:
        return False
    series: dict[str, list[_Header]] = {}
    for header in filter(None, map(_read_header, files)):
        series.setdefault(header.tags.get(SERIES, ""), []).append(header)
    if not any(len({tuple(header.position) for header in members}) > 1 for members in series.values()):
        return False
    if len(series) > 1:
        # By their numbers and files: a description is free text, in which names of persons stand as well.
        named = ", ".join(sorted(f"{_title(members[0])} ({len(members)} files)" for members in series.values()))
        raise unreadable(folder, f"holds the slices of {len(series)} series: {named}", "put each series into a folder of its own")
    return True


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files that lie directly in a folder."""
    return [path for path in image_files(folder) if is_dicom(path)]


def read_series(folder: Path) -> Decoded:
    """The volume of a series, slices in the order of their places, turned to the canonical orientation (`io.orientation`).

    Raises
    ------
    DataError
        Naming the folder or file: a slice that cannot be read, lies elsewhere or in another direction than the others, is missing, or is
        there twice.
    """
    headers = _headers(folder)
    geometry = _grid(folder, headers)
    planes = []
    for header in headers:
        array = read_slice(header.path).array
        if array.shape != (1, *geometry.shape[1:]):
            raise unreadable(header.path, f"is a slice of the shape {array.shape}, the first one of {(1, *geometry.shape[1:])}")
        planes.append(array)
    volume = np.stack(planes, axis=1)
    orientation = orientation_of(geometry)
    if orientation.is_canonical:
        return Decoded(array=volume, geometry=geometry)
    return Decoded(array=orientation.turn(volume), geometry=orientation.turn_grid(geometry), orientation=orientation)


def series_geometry(folder: Path) -> Geometry:
    """The grid of a series as its files have it, from the headers alone; the last ones are kept, as every mask asks for it."""
    return _series_geometry(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _series_geometry(folder: Path, mtime_ns: int) -> Geometry:
    return _grid(folder, _headers(folder))


def file_orientation(path: Path) -> Orientation:
    """How a volume or a series is turned when it is read, from its header alone; DataError if that cannot be read."""
    return orientation_of(series_geometry(path) if path.is_dir() else itk_geometry(read_header(path)))


def _headers(folder: Path) -> list[_Header]:
    if not is_series(folder):
        raise unreadable(folder, "is a folder that holds no series of DICOM slices", "name image files, or a folder of one series")
    headers = [header for path in dicom_files(folder) if (header := _read_header(path)) is not None]
    return sorted(headers, key=lambda header: header.depth)


def _read_header(path: Path) -> _Header | None:
    """None if the file says no place, or is no image; a damaged one is named when it is read by itself."""
    try:
        reader = read_header(path)
    except DataError:
        return None
    tags = {key: reader.GetMetaData(key).strip(" \0") for key in reader.GetMetaDataKeys()}
    position, directions = numbers(tags, POSITION), numbers(tags, DIRECTIONS)
    if len(position) != 3 or len(directions) != 6:
        return None
    return _Header(path, np.array(position), np.array(directions[:3]), np.array(directions[3:]), tags)


def _grid(folder: Path, headers: list[_Header]) -> Geometry:
    """One grid for all slices.

    Raises
    ------
    DataError
        If they lie on none.
    """
    first = headers[0]
    plane = read_slice(first.path).geometry
    for header in headers[1:]:
        if not np.allclose([header.along_x, header.along_y], [first.along_x, first.along_y], atol=1e-3):
            raise unreadable(header.path, f"lies in another direction than {first.path.name}", "is it a scout view? move it elsewhere")
    steps = np.diff([header.depth for header in headers])
    step = float(np.median(steps))
    for (before, after), distance in zip(pairwise(headers), steps, strict=True):
        if distance <= 1e-4:
            raise unreadable(after.path, f"lies at the same place as {before.path.name}", "keep one phase or copy of the series")
        if abs(distance - step) > STEP_TOLERANCE * step:
            said = f"lies {distance:g} mm behind {before.path.name}, other slices {step:g} mm apart"
            raise unreadable(after.path, said, "a slice is missing, or the series is of several parts")
    mean = float(steps.mean())
    shift = (headers[-1].position - first.position) / (len(headers) - 1)
    if np.linalg.norm(shift - first.normal * mean) > STEP_TOLERANCE * min(plane.spacing):
        raise unreadable(folder, "holds slices that are shifted against each other (a tilted gantry)", "resample it to an upright volume")
    return replace(
        plane,
        shape=(len(headers), *plane.shape),
        spacing=(mean, *plane.spacing),
        origin=tuple(first.position.tolist()),
        direction=tuple(np.stack([first.along_x, first.along_y, first.normal], axis=1).ravel().tolist()),
    )


def _title(header: _Header) -> str:
    return f"number {header.tags.get(NUMBER) or 'unknown'} with {header.path.name}"
