"""tif, through tifffile; through SimpleITK where its codecs lack a compression."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoseg.geometry import Geometry
from autoseg.io.decoded import DAMAGED, DEFLATE, LZW, Decoded, channels_first, check_size, unreadable
from autoseg.io.tif_regions import DECODING_ERRORS, is_regional, open_regions
from autoseg.io.volumes import read_itk

if TYPE_CHECKING:
    import tifffile

# The last but one is how ImageJ itself writes the micro sign, as text.
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "um": 1e-3, "micron": 1e-3, "microns": 1e-3, "µm": 1e-3, "\\u00b5m": 1e-3, "nm": 1e-6}
#: Bytes of pixels from which on an image is read by region, or a file without compression mapped into memory instead of read into it.
LARGE = 2**26
#: Compression (the tag's number) -> most bytes of pixels in a byte of the file; JPEG and PackBits keep within deflate's bound.
PACKS = {1: DEFLATE, 5: LZW, 6: DEFLATE, 7: DEFLATE, 8: DEFLATE, 32773: DEFLATE, 32946: DEFLATE}
NATIVE = "<" if sys.byteorder == "little" else ">"
_CENTIMETRES = 3  # ResolutionUnit; 2, inches, is what printers' software writes and says nothing about an object


def read_tif(path: Path, *, keep_palette_indices: bool = False, by_region: bool = False) -> Decoded:
    """A tif file: one page is a 2D image, several are the sections of a volume.

    Parameters
    ----------
    path : Path
    keep_palette_indices : bool
        True for label maps, whose class numbers may be indices of a coloured palette.
    by_region : bool
        Where the image is large and can be read so, the array is a `TifRegions`: strips and tiles are decoded as it is sliced.

    Raises
    ------
    DataError
        If it cannot be read, is truncated, or its axes are neither (z,) y, x nor channels.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs about damaged files is raised below
    try:
        with tifffile.TiffFile(path) as file:
            if not file.pages or not file.series:
                raise unreadable(path, "holds no image: truncated or damaged", DAMAGED)
            _check_size(file.series[0], path)
            if by_region and file.series[0].nbytes >= LARGE and not _is_mappable(file.series[0]) and is_regional(file):
                return _regions(file, path)
            return _decode(file, path, keep_palette_indices)
    except (tifffile.TiffFileError, *DECODING_ERRORS) as error:
        raise unreadable(path, f"is truncated or damaged ({error})", DAMAGED) from None


def _check_size(series: tifffile.TiffPageSeries, path: Path) -> None:
    page = series.keyframe
    # Strips and tiles that a writer left out, being empty, take no bytes at all.
    packs = PACKS.get(int(page.compression)) if all(page.databytecounts) else None
    bits = min(8, max(1, page.bitspersample))
    check_size(path, series.nbytes, packs=None if packs is None else packs * 8 // bits)


def _decode(file: tifffile.TiffFile, path: Path, keep_palette_indices: bool) -> Decoded:
    series, page = file.series[0], file.series[0].keyframe
    array = _pixels(series, path)
    axes = _plain_axes(series.axes, array, path)
    array = array.reshape([size for size, name in zip(series.shape, series.axes, strict=True) if name in "YX" or size > 1])
    last = axes.endswith("C")
    if axes.startswith("C"):
        array, last = np.moveaxis(array, 0, -1), True
    if page.photometric == 0 and array.dtype.kind in "ub":  # white is zero
        array = ~array
    if page.photometric == 3 and page.colormap is not None and not keep_palette_indices:
        array, last = np.moveaxis(page.colormap[:, array] >> 8, 0, -1).astype(np.uint8), True
    if page.photometric == 5 and last and array.shape[-1] == 4 and array.dtype.kind == "u":
        array = _from_cmyk(array)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    geometry = _geometry(file, array.shape[:-1] if last else array.shape)
    return Decoded(array=channels_first(array, last), geometry=geometry, has_alpha=last and bool(page.extrasamples))


def _regions(file: tifffile.TiffFile, path: Path) -> Decoded:
    page = file.series[0].keyframe
    regions = open_regions(path, page)
    has_alpha = len(regions) > 1 and bool(page.extrasamples)
    return Decoded(array=regions.as_array(), geometry=_geometry(file, regions.shape[1:]), has_alpha=has_alpha)


def _geometry(file: tifffile.TiffFile, shape: tuple[int, ...]) -> Geometry:
    spacing = _spacing_mm(file, len(shape))
    geometry = Geometry.pixels(shape)
    if spacing is None:
        return geometry
    return Geometry(shape=shape, spacing=spacing, origin=geometry.origin, direction=geometry.direction)


def _is_mappable(series: tifffile.TiffPageSeries) -> bool:
    """True if the pixels lie in the file as they would in memory, one after the other."""
    native = (series.keyframe.parent.byteorder == NATIVE) or series.dtype.itemsize == 1
    return series.dataoffset is not None and bool(series.keyframe.is_memmappable) and native


def _pixels(series: tifffile.TiffPageSeries, path: Path) -> NDArray[Any]:
    if series.nbytes >= LARGE and _is_mappable(series):
        # Pages that are read come from the file, and go without being written anywhere when memory is short.
        mapped: NDArray[Any] = series.asarray(out="memmap")
        return mapped
    try:
        return series.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    import SimpleITK as sitk

    array: NDArray[Any] = sitk.GetArrayFromImage(read_itk(path))
    return array.reshape(series.shape)


def _plain_axes(axes: str, array: NDArray[Any], path: Path) -> str:
    """The axes longer than one in our letters: C, then Z, Y, X, or C at the end. tifffile says S for samples, I, Q and T for pages."""
    kept = "".join(name for name, size in zip(axes, array.shape, strict=True) if name in "YX" or size > 1)
    plain = kept.replace("S", "C").replace("I", "Z").replace("Q", "Z").replace("T", "Z")
    if plain not in ("YX", "ZYX", "CYX", "YXC", "ZYXC", "CZYX"):
        sizes = ", ".join(f"{name} {size}" for name, size in zip(axes, array.shape, strict=True))
        raise unreadable(path, f"has the axes {sizes}", "save each image as a file of its own")
    return plain


def _from_cmyk(array: NDArray[Any]) -> NDArray[Any]:
    """RGB of inks, pillow's formula: (1 - ink) (1 - black)."""
    top = int(np.iinfo(array.dtype).max)
    inks = array.astype(np.uint64)
    return ((top - inks[..., :3]) * (top - inks[..., 3:]) // top).astype(array.dtype)


def _spacing_mm(file: tifffile.TiffFile, num_axes: int) -> tuple[float, ...] | None:
    """ImageJ's unit, or a resolution per centimetre; None if the file gives no size in millimetres."""
    page = file.pages.first
    described = file.imagej_metadata or {}
    unit_mm = _MM_PER_UNIT.get(str(described.get("unit", "")).lower())
    if unit_mm is None and page.resolutionunit == _CENTIMETRES and not described:
        unit_mm = _MM_PER_UNIT["cm"]
    if unit_mm is None or "XResolution" not in page.tags or "YResolution" not in page.tags:
        return None
    per_x, per_y = (_ratio(page.tags[name].value) for name in ("XResolution", "YResolution"))
    if per_x <= 0 or per_y <= 0:
        return None
    sections = float(described.get("spacing", 0)) * unit_mm
    if num_axes == 3 and sections <= 0:
        return None
    plane = (unit_mm / per_y, unit_mm / per_x)
    return (sections, *plane) if num_axes == 3 else plane


def _ratio(value: tuple[int, int]) -> float:
    return value[0] / value[1] if value[1] else 0.0
