"""Predictions as files: a mask per class, or an integer map; whole or not there, on the input's grid."""

from __future__ import annotations

import gzip
import shutil
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoseg.case import Case
from autoseg.geometry import Geometry
from autoseg.io import nifti, nrrd
from autoseg.io.atomic import replacing, replacing_folder
from autoseg.io.filenames import VOLUME_SUFFIXES, image_suffix, says_how_it_lies
from autoseg.io.names import escape_name
from autoseg.io.orientation import orientation_of
from autoseg.io.png import encode_png
from autoseg.io.volumes import itk_geometry, read_header
from autoseg.labels import Mask

if TYPE_CHECKING:
    import SimpleITK as sitk

#: End of an overlay's name before its suffix.
OVERLAY = ".overlay"
#: Masks that are compressed at the same time, if they have at most so many pixels.
SIDE_BY_SIDE, SMALL = 2, 2**24


def output_suffix(case: Case, num_axes: int, *, exclusive: bool) -> str:
    """The suffix of a prediction's files: the input's if that holds a grid, else .png in 2D and .nii.gz in 3D.

    Masks of overlapping classes in 2D are always png.
    """
    suffix = image_suffix(case.images[0])
    if num_axes == 2 and not exclusive:
        return ".png"
    if suffix in VOLUME_SUFFIXES:
        return suffix
    return ".png" if num_axes == 2 else ".nii.gz"


def prediction_output_name(case: Case, num_axes: int, *, exclusive: bool) -> str:
    """What a finished prediction is called in its folder: CASE.png or CASE.nii.gz (a map), or CASE (a folder of masks)."""
    return escape_name(case.name) + (output_suffix(case, num_axes, exclusive=exclusive) if exclusive else "")


def write_masks(
    folder: Path, case_name: str, masks: Iterable[tuple[str, Mask]], geometry: Geometry, *, like: Path | None = None, suffix: str = ".png"
) -> Path:
    """Write folder/CASE/CLASS.png, 255 inside and 0 outside, and return folder/CASE.

    Parameters
    ----------
    folder : Path
    case_name : str
        Free text, as class names are; escaped for the file system.
    masks : iterable of (class, array of bool of shape (z,) y, x)
        Consumed one at a time; of small ones two lie in memory at the same time.
    geometry : Geometry
    like : Path, optional
        The input, whose header is kept where `suffix` allows.
    suffix : str
        From `output_suffix`.

    Notes
    -----
    The folder appears when all masks are written; one from an earlier run is replaced as a whole.
    """
    target = folder / escape_name(case_name)
    with replacing_folder(target) as temporary, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:

        def write(name: str, mask: Mask) -> None:
            # Of a png no second copy is made: of 20,000 x 20,000 pixels it would be 400 MB.
            bright = mask if suffix == ".png" else mask.view(np.uint8) * np.uint8(255)
            write_array(temporary / f"{escape_name(name)}{suffix}", bright, geometry, like=like)

        waiting: deque[Future[None]] = deque()
        for name, mask in masks:
            waiting.append(pool.submit(write, name, mask))
            is_small = mask.size <= SMALL
            del mask  # the next one is made while this one is still here
            while len(waiting) >= (SIDE_BY_SIDE if is_small else 1):
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    return target


def write_map(path: Path, array: NDArray[Any], geometry: Geometry, *, like: Path | None = None) -> None:
    """Write an integer map atomically, in the format of the path's suffix and the smallest unsigned dtype that holds it.

    Parameters
    ----------
    path : Path
        .png (2D), .nii, .nii.gz, .mha or .nrrd.
    array : array of integers from 0 to 65535, shape (z,) y, x
    geometry : Geometry
        The input's grid as it was read.
    like : Path, optional
        The input file: volumes go back from the canonical orientation to the file's own, the geometry of a NIfTI or NRRD is copied bit
        by bit, and a third axis of length 1 is kept.
    """
    if array.shape != geometry.shape:
        raise ValueError(f"array has the shape {array.shape}, its geometry {geometry.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise ValueError(f"a map holds values from 0 to 65535, got {low} to {high}")
    with replacing(path) as temporary:
        write_array(temporary, array.astype(np.uint8 if high < 256 else np.uint16), geometry, like=like)


def write_array(path: Path, array: NDArray[Any], geometry: Geometry, *, like: Path | None = None) -> None:
    """Write uint8 or uint16 pixels, on the grid `geometry`, in the format of the path's suffix; not atomic, for use inside `replacing`."""
    suffix = image_suffix(path)
    if suffix == ".png":
        path.write_bytes(encode_png(array))
        return
    if suffix not in VOLUME_SUFFIXES:
        raise ValueError(f"{path}: cannot write {suffix or 'this format'}; known are .png {' '.join(VOLUME_SUFFIXES)}")
    import SimpleITK as sitk

    like = like if like is not None and says_how_it_lies(like) else None
    placed = _placed_like(array, like) if like is not None else None
    image = placed or _placed(array, geometry)
    if suffix not in (".nii", ".nii.gz"):
        sitk.WriteImage(image, str(path), useCompression=True)
        if suffix == ".nrrd" and placed is not None and like is not None and image_suffix(like) == ".nrrd":
            nrrd.graft_geometry(path, like)
        return
    plain = path.with_name(path.name.removesuffix(".gz")) if suffix == ".nii.gz" else path
    sitk.WriteImage(image, str(plain))
    if placed is not None and like is not None and image_suffix(like) in (".nii", ".nii.gz"):
        nifti.graft_geometry(plain, like)
    if suffix == ".nii.gz":
        _zip(plain, path)
        plain.unlink()


def _zip(plain: Path, path: Path) -> None:
    """Compress a file in pieces; without its name and time, so that equal predictions are equal files."""
    with (
        plain.open("rb") as source,
        path.open("wb") as target,
        gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=4, mtime=0) as stream,
    ):
        shutil.copyfileobj(source, stream, 2**22)


def _placed_like(array: NDArray[Any], like: Path) -> sitk.Image | None:
    """The image on the input's own grid, with its orientation and its number of axes; None if the input is of another shape."""
    import SimpleITK as sitk

    if like.is_dir():
        return _placed_like_series(array, like)
    reader = read_header(like)
    grid = itk_geometry(reader)
    orientation = orientation_of(grid)
    if orientation.order(grid.shape) != array.shape:
        return None
    image = sitk.GetImageFromArray(orientation.inverse.turn(array))
    if image.GetDimension() == 2 and reader.GetDimension() == 3:
        image = sitk.JoinSeries(image)
    n = image.GetDimension()
    image.SetSpacing(reader.GetSpacing()[:n])
    image.SetOrigin(reader.GetOrigin()[:n])
    image.SetDirection(np.reshape(reader.GetDirection(), (reader.GetDimension(),) * 2)[:n, :n].ravel().tolist())
    return image


def _placed_like_series(array: NDArray[Any], folder: Path) -> sitk.Image | None:
    from autoseg.io.series import series_geometry

    grid = series_geometry(folder)
    orientation = orientation_of(grid)
    return _placed(orientation.inverse.turn(array), grid) if orientation.order(grid.shape) == array.shape else None


def _placed(array: NDArray[Any], geometry: Geometry) -> sitk.Image:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing[::-1])
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image


def remove_prediction(path: Path) -> None:
    """Remove a file or a folder of predictions; nothing happens if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
