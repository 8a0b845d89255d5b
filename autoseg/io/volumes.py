"""NIfTI, MetaImage and NRRD files, through SimpleITK, and the parts of it that DICOM shares."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autoseg.geometry import Geometry
from autoseg.io.decoded import DAMAGED, Decoded, channels_first, check_size, unreadable
from autoseg.io.filenames import image_suffix
from autoseg.io.nifti import check_complete
from autoseg.io.orientation import orientation_of

if TYPE_CHECKING:
    import SimpleITK as sitk

_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_saved = -1


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep C libraries from writing to the process's stderr; what they fail at is raised as an error anyway.

    The file descriptor is one for all threads: the first to enter turns it away, the last to leave turns it back.
    """
    global _quiet_depth, _quiet_saved
    with _quiet_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            sys.stderr.flush()
            _quiet_saved = os.dup(2)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                os.dup2(_quiet_saved, 2)
                os.close(_quiet_saved)


def read_itk(path: Path) -> sitk.Image:
    """The file as SimpleITK reads it, DICOM's rescale applied and MONOCHROME1 inverted (`io.dicom` says what ITK gets wrong of it).

    Raises
    ------
    DataError
        Naming the file and ITK's own reason.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(path, f"cannot be read as an image ({itk_reason(error)})", DAMAGED) from None
    return image


def itk_reason(error: RuntimeError) -> str:
    """The last line of an ITK message that says something: the first ones hold paths of ITK's own source."""
    lines = [line.split("): ")[-1].removeprefix("sitk::ERROR: ").strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), "no reason given")


def read_volume(path: Path) -> Decoded:
    """A NIfTI, MetaImage or NRRD file.

    A third axis of length 1 makes a 2D image. A fourth axis (NIfTI of the Medical Segmentation Decathlon) holds channels. Volumes are
    turned to the canonical orientation (`io.orientation`), so that an axis means the same direction of the body in every case.

    Raises
    ------
    DataError
        If it cannot be read, is truncated, or has more axes than that.
    """
    if image_suffix(path) in (".nii", ".nii.gz"):
        check_complete(path)
    else:
        # The pixels must lie in the file itself: a header that names another file could name any file.
        header = read_header(path)
        check_size(path, math.prod(header.GetSize()) * header.GetNumberOfComponents())
    image = read_itk(path)
    array = channels_first(*itk_pixels(image, path))
    geometry = itk_geometry(image)
    del image  # of a large volume half a gigabyte, before it is turned
    array = array.reshape(array.shape[0], *geometry.shape)
    orientation = orientation_of(geometry)
    if orientation.is_canonical:
        return Decoded(array=array, geometry=geometry)
    return Decoded(array=orientation.turn(array), geometry=orientation.turn_grid(geometry), orientation=orientation)


class Grid(Protocol):
    """What a SimpleITK image and a reader of its header have in common."""

    def GetDimension(self) -> int: ...
    def GetSize(self) -> tuple[int, ...]: ...
    def GetSpacing(self) -> tuple[float, ...]: ...
    def GetOrigin(self) -> tuple[float, ...]: ...
    def GetDirection(self) -> tuple[float, ...]: ...


def itk_geometry(image: Grid) -> Geometry:
    """The grid of a SimpleITK image or header of 2 to 4 axes, as in the file; a fourth axis is left out, and a third one of length 1."""
    size, n = image.GetSize(), image.GetDimension()
    axes = 2 if n == 2 or size[2] == 1 else 3
    direction = np.reshape(image.GetDirection(), (n, n))[:axes, :axes]
    return Geometry(
        shape=tuple(reversed(size[:axes])),
        spacing=tuple(reversed(image.GetSpacing()[:axes])),
        origin=tuple(image.GetOrigin()[:axes]),
        direction=tuple(direction.ravel().tolist()),
    )


def read_header(path: Path) -> sitk.ImageFileReader:
    """The file's header as SimpleITK reads it: size, grid and tags, no pixels; DataError names a file that cannot be read."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, f"cannot be read as an image ({itk_reason(error)})", DAMAGED) from None
    return reader


def itk_pixels(image: sitk.Image, path: Path) -> tuple[NDArray[Any], bool]:
    """The array and whether its last axis holds channels."""
    import SimpleITK as sitk

    array: NDArray[Any] = sitk.GetArrayFromImage(image)
    is_vector = image.GetNumberOfComponentsPerPixel() > 1
    if image.GetDimension() == 4 and not is_vector:
        return np.moveaxis(array, 0, -1), True
    if image.GetDimension() > 3:
        raise unreadable(path, f"has {image.GetDimension()} axes", "images have 2 or 3, and one more for channels")
    return array, is_vector
