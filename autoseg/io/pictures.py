"""png, jpg, bmp and gif, through pillow: palettes, CMYK, EXIF orientation, and an error for a file cut short.

SimpleITK returns truncated jpg and bmp files as if they were whole; it serves 16-bit colour, which pillow would cut to 8 bits.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from autoseg.geometry import Geometry
from autoseg.io.decoded import DAMAGED, DEFLATE, LZW, Decoded, channels_first, check_size, unreadable
from autoseg.io.volumes import read_itk

if TYPE_CHECKING:
    from PIL.Image import Image


def read_picture(path: Path, *, keep_palette_indices: bool = False) -> Decoded:
    """A png, jpg or bmp file, upright by its EXIF tag; no physical size, so distances are pixels.

    Parameters
    ----------
    path : Path
    keep_palette_indices : bool
        True for label maps: many tools store class numbers as indices of a coloured palette.

    Raises
    ------
    DataError
        If it is no such file, truncated or damaged, animated, or larger than its bytes can hold.
    """
    if _is_deep_colour(_head(path)):
        return _read_deep_colour(path)
    return _read(path, path, path.stat().st_size, keep_palette_indices)


def read_picture_bytes(data: bytes, path: Path) -> Decoded:
    """A picture that lies in another file, `path`, as the bytes of a png, jpg or bmp file; otherwise as `read_picture`."""
    if _is_deep_colour(data[:26]):
        raise unreadable(path, "holds a picture of 16-bit colours", "save it as a file of its own beside it")
    return _read(path, io.BytesIO(data), len(data), False)


def _read(path: Path, source: Path | BinaryIO, size: int, keep_palette_indices: bool) -> Decoded:
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with _open(source) as picture:
            _check_header(picture, path)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return _decode(upright, keep_palette_indices)
    except UnidentifiedImageError:
        raise unreadable(path, f"holds {size} bytes that are no image in a known format", DAMAGED) from None
    except (OSError, SyntaxError, ValueError) as error:  # pillow raises SyntaxError for damaged png chunks
        raise unreadable(path, f"is truncated or damaged ({error})", DAMAGED) from None


def _open(source: Path | BinaryIO) -> Image:
    """Pillow's lazy image."""
    from PIL import Image

    # Pillow stops at 180 million pixels, for all of a process; `_check_header` holds a file's size against its header instead.
    Image.MAX_IMAGE_PIXELS = None
    # The whole of pillow's formats is not opened to bytes inside of other files.
    return Image.open(source, formats=None if isinstance(source, Path) else ("PNG", "JPEG", "BMP"))


def _check_header(picture: Image, path: Path) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise unreadable(path, f"is animated ({frames} frames)", "save each frame as an image of its own")
    packs = (LZW if picture.format == "GIF" else DEFLATE) * 8 // _bits(picture)
    check_size(path, picture.width * picture.height * len(picture.getbands()), packs=packs)


def _bits(picture: Image) -> int:
    """Of a pixel and band in the file: a png's greys and indices of a palette may have 1, 2 or 4."""
    packing = str(tile[0][3]) if (tile := getattr(picture, "tile", None)) else ""
    return 1 if picture.mode == "1" else int(packing[-1]) if packing[-2:] in (";1", ";2", ";4") else 8


def _decode(picture: Image, keep_palette_indices: bool) -> Decoded:
    if picture.mode in ("P", "PA"):
        if not (keep_palette_indices and picture.mode == "P"):
            has_alpha = picture.mode == "PA" or "transparency" in picture.info
            picture = picture.convert("RGBA" if has_alpha else "RGB")
    elif picture.mode not in ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F", "RGB", "RGBA"):
        picture = picture.convert("RGB")
    array = np.array(picture)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    geometry = Geometry.pixels(array.shape[:2])
    return Decoded(array=channels_first(array, array.ndim == 3), geometry=geometry, has_alpha=picture.mode in ("LA", "RGBA"))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(26)
    except OSError as error:
        raise unreadable(path, f"cannot be read ({error.strerror})") from None


def _is_deep_colour(head: bytes) -> bool:
    """True for a png of 16 bits with more than one channel (IHDR: bit depth at byte 24, colour type at byte 25)."""
    return len(head) == 26 and head.startswith(b"\x89PNG") and head[24] == 16 and head[25] != 0


def _read_deep_colour(path: Path) -> Decoded:
    import SimpleITK as sitk

    with contextlib.suppress(OSError), _open(path) as picture:
        _check_header(picture, path)
    array = sitk.GetArrayFromImage(read_itk(path))
    return Decoded(array=channels_first(array, True), geometry=Geometry.pixels(array.shape[:2]), has_alpha=array.shape[-1] in (2, 4))
