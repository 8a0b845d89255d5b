"""DICOM files of one frame: pixels in MONOCHROME2's sense after the modality transform, and the spacing that holds at the patient.

GDCM (in SimpleITK) decodes, rescales, inverts MONOCHROME1 and turns palettes and YBR into RGB. What it gets wrong is done here, found with
files written byte by byte (tests/io/test_dicom.py): it reads stored bits that do not end at the lowest one from the wrong place, cannot
invert signed pixels, fills up a file cut short with zeros, and passes over the PixelSpacing of projection X-rays.

Windows and VOI LUTs are not applied. They say how somebody wants to look at the picture: they differ between viewers, are edited and lost,
and clip what lies outside. The scale of a linear window is undone by the normalisation in any case, and pixels without it are the same in
training and in prediction whoever saved the file. The modality transform (rescale) is applied: it gives pixels their unit, Hounsfield's
for instance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.geometry import Geometry
from autoseg.io.decoded import DAMAGED, DEFLATE, Decoded, channels_first, check_size, unreadable
from autoseg.io.volumes import itk_geometry, itk_pixels, read_header, read_itk

#: "gggg|eeee" -> text.
Tags = Mapping[str, str]

PHOTOMETRIC, SAMPLES, FRAMES, ROWS, COLUMNS = "0028|0004", "0028|0002", "0028|0008", "0028|0010", "0028|0011"
ALLOCATED, STORED, HIGH_BIT, SIGNED = "0028|0100", "0028|0101", "0028|0102", "0028|0103"
INTERCEPT, SLOPE = "0028|1052", "0028|1053"
PIXEL_SPACING, CALIBRATION = "0028|0030", "0028|0a02"
IMAGER_SPACING, MAGNIFICATION, SCANNED_SPACING = "0018|1164", "0018|1114", "0018|2010"

#: Transfer syntaxes without compression, little endian: implicit and explicit VR.
_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
#: How those of JPEG-LS and JPEG 2000 begin: an empty picture takes next to nothing.
_UNBOUNDED = ("1.2.840.10008.1.2.4.8", "1.2.840.10008.1.2.4.9")
_SYNTAX, _PIXEL_DATA = b"\x02\x00\x10\x00UI", b"\xe0\x7f\x10\x00"


class Slice(NamedTuple):
    """A DICOM file of one frame: (C, y, x), its grid and its tags."""

    array: NDArray[Any]
    geometry: Geometry
    tags: Tags


def read_dicom(path: Path) -> Decoded:
    """A DICOM file of one frame.

    Raises
    ------
    DataError
        Naming the file, if it cannot be read, is cut short, or holds several frames: they are moments of a film in some files and places
        of a volume in others.
    """
    array, geometry, _ = read_slice(path)
    return Decoded(array=array, geometry=geometry)


def read_slice(path: Path) -> Slice:
    """`read_dicom`, with the file's tags."""
    header = read_header(path)
    tags = {key: header.GetMetaData(key).strip(" \0") for key in header.GetMetaDataKeys()}
    if _number(tags, FRAMES, 1) > 1:
        frames = int(_number(tags, FRAMES, 1))
        raise unreadable(path, f"holds {frames} frames in one DICOM file", "save each frame as an image of its own, or a volume as NIfTI")
    stored = _stored_bytes(path, tags)
    if stored is None:  # compressed: the decoder takes the header's word for the size
        with path.open("rb") as stream:
            syntax = _transfer_syntax(stream.read(8192))
        declared = _bits(tags, ROWS) * _bits(tags, COLUMNS) * _bits(tags, SAMPLES) * _bits(tags, ALLOCATED) // 8
        check_size(path, declared, packs=None if syntax.startswith(_UNBOUNDED) else DEFLATE)
    if stored is not None and _is_misread(tags):
        array = _decode(np.frombuffer(stored, f"<u{_bits(tags, ALLOCATED) // 8}"), tags)[None]
    else:
        array = channels_first(*itk_pixels(read_itk(path), path))
    geometry = itk_geometry(header)
    spacing = dicom_spacing(tags)
    geometry = replace(geometry, spacing=spacing or (1.0, 1.0), unit="pixel" if spacing is None else "mm")
    return Slice(array.reshape(-1, *geometry.shape), geometry, tags)


def dicom_spacing(tags: Tags) -> tuple[float, float] | None:
    """Distance of pixel centres in mm, y and x, at the patient as well as the file tells; None: it does not tell.

    PixelSpacing, if there is no ImagerPixelSpacing or it was calibrated: it says how, or differs from ImagerPixelSpacing. Else that one,
    which holds at the detector, divided by EstimatedRadiographicMagnificationFactor if that is given. Else NominalScannedPixelSpacing, of
    digitised film. (DICOM PS3.3, 10.7.1.3; values that are not positive count as absent.)

    Examples
    --------
    >>> dicom_spacing({"0018|1164": "0.2\\\\0.1", "0018|1114": "1.25"})
    (0.16, 0.08)
    """
    pixel, imager = _pair(tags, PIXEL_SPACING), _pair(tags, IMAGER_SPACING)
    if pixel is not None and (imager is None or tags.get(CALIBRATION) or pixel != imager):
        return pixel
    if imager is None:
        return _pair(tags, SCANNED_SPACING)
    magnification = _number(tags, MAGNIFICATION, 1.0)
    return (imager[0] / magnification, imager[1] / magnification) if magnification > 0 else imager


def numbers(tags: Tags, key: str) -> tuple[float, ...]:
    """The finite numbers of a tag, as many as it holds; none if one of them is no number."""
    try:
        values = tuple(float(part) for part in tags.get(key, "").split("\\"))
    except ValueError:
        return ()
    return values if all(map(math.isfinite, values)) else ()


def _pair(tags: Tags, key: str) -> tuple[float, float] | None:
    values = numbers(tags, key)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _number(tags: Tags, key: str, default: float) -> float:
    values = numbers(tags, key)
    return values[0] if values else default


def _bits(tags: Tags, key: str) -> int:
    return int(_number(tags, key, 0))


def _is_misread(tags: Tags) -> bool:
    """True if GDCM cannot be asked for the pixels: grey ones whose highest bit lies elsewhere, or that are signed and inverted."""
    if _bits(tags, SAMPLES) != 1 or _bits(tags, ALLOCATED) not in (8, 16, 32):
        return False
    return _bits(tags, HIGH_BIT) + 1 != _bits(tags, STORED) or (tags[PHOTOMETRIC] == "MONOCHROME1" and _bits(tags, SIGNED) == 1)


def _decode(words: NDArray[Any], tags: Tags) -> NDArray[Any]:
    """Stored words as pixels: cut to their bits, signed or not, inverted within the range that the bits span, rescaled."""
    stored = _bits(tags, STORED)
    values = (words.astype(np.int64) >> (_bits(tags, HIGH_BIT) + 1 - stored)) & (2**stored - 1)
    signed = _bits(tags, SIGNED) == 1
    if signed:
        values = values - (values >> (stored - 1)) * 2**stored
    if tags[PHOTOMETRIC] == "MONOCHROME1":
        values = (-1 if signed else 2**stored - 1) - values
    slope, intercept = _number(tags, SLOPE, 1.0) or 1.0, _number(tags, INTERCEPT, 0.0)
    if not (slope.is_integer() and intercept.is_integer()):
        return np.asarray(values * slope + intercept, np.float64)
    values = values * int(slope) + int(intercept)
    return np.asarray(values, np.promote_types(np.min_scalar_type(values.min()), np.min_scalar_type(values.max())))


def _stored_bytes(path: Path, tags: Tags) -> bytes | None:
    """The pixel data of a file that is not compressed, None of another one.

    Raises
    ------
    DataError
        If there are fewer bytes than the header says.
    """
    data = path.read_bytes()
    if _transfer_syntax(data) not in _PLAIN:
        return None
    bits = _bits(tags, ROWS) * _bits(tags, COLUMNS) * _bits(tags, SAMPLES) * _bits(tags, ALLOCATED)
    if tags.get(PHOTOMETRIC, "").endswith("_422"):
        bits = bits * 2 // 3  # two pixels share their colour
    wanted, place, held = -(-bits // 8), -1, 0
    # The tag's bytes may stand in an icon before the pixels, or by chance within them: the pixels are where enough bytes follow.
    while (place := data.find(_PIXEL_DATA, place + 1)) >= 0:
        start = place + (12 if data[place + 4 : place + 6] in (b"OB", b"OW") else 8)
        length = int.from_bytes(data[start - 4 : start], "little")
        if min(length, len(data) - start) >= wanted:
            return data[start : start + wanted]
        held = max(held, min(length, len(data) - start))
    raise unreadable(path, f"is cut short: it holds {held:,} of {wanted:,} bytes of pixels", DAMAGED)


def _transfer_syntax(data: bytes) -> str:
    """From the file's meta group; files without one are implicit VR, little endian."""
    place = data.find(_SYNTAX, 128, 4096)
    if place < 0:
        return _PLAIN[0]
    length = int.from_bytes(data[place + 6 : place + 8], "little")
    return data[place + 8 : place + 8 + length].decode("ascii", "replace").strip(" \0")
