"""How much a file may ask for: nearly empty masks are small files and sound ones, headers that lie are not."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from autoseg.errors import DataError
from autoseg.io import decoded
from autoseg.io.images import decode_file, read_image
from tests.io.dicom import JPEG2000, write_encapsulated
from tests.io.make import write_picture

SIDE = 4096
EMPTY = np.zeros((SIDE, SIDE), np.uint8)
JPEG_XL = 50002


def disc(radius: int = 300) -> NDArray[np.uint8]:
    y, x = np.ogrid[:SIDE, :SIDE]
    return np.where(np.hypot(y - SIDE // 2, x - SIDE // 2) < radius, np.uint8(255), np.uint8(0))


def packed(path: Path) -> float:
    """Bytes of pixels per byte of file."""
    return EMPTY.nbytes / path.stat().st_size


@pytest.mark.parametrize(
    ("mask", "options"),
    [
        (disc(), {"compression": "zstd", "rowsperstrip": SIDE}),
        (disc(), {"compression": "zstd", "tile": (1024, 1024)}),
        (disc(20), {"compression": "lzw", "rowsperstrip": SIDE}),
        (disc(), {"compression": "lzma", "rowsperstrip": SIDE}),
        (disc(), {"compression": JPEG_XL, "rowsperstrip": SIDE}),
        (EMPTY, {"compression": "jpeg2000", "rowsperstrip": SIDE}),
    ],
    ids=lambda value: str(value.get("compression")) if isinstance(value, dict) else "",
)
def test_a_mask_that_is_nearly_empty(tmp_path: Path, mask: NDArray[np.uint8], options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", mask, **options)
    assert packed(tmp_path / "a.tif") > decoded.DEFLATE
    np.testing.assert_array_equal(read_image([tmp_path / "a.tif"]).array[0], mask)


def test_an_empty_gif(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.gif", EMPTY)
    assert packed(path) > decoded.DEFLATE
    assert not read_image([path]).array.any()


@pytest.mark.parametrize("colours", [2, 4, 16])
def test_a_png_of_few_colours(tmp_path: Path, colours: int) -> None:
    picture = Pillow.fromarray(disc() // 255)
    picture.putpalette([0, 0, 0, 255, 0, 0] + [0, 0, 0] * (colours - 2))
    picture.save(tmp_path / "a.png")
    assert packed(tmp_path / "a.png") > decoded.DEFLATE
    np.testing.assert_array_equal(decode_file(tmp_path / "a.png", keep_palette_indices=True).array[0], disc() // 255)


@pytest.mark.parametrize("compression", ["tiff_deflate", "group4"])
def test_a_tif_of_one_bit(tmp_path: Path, compression: str) -> None:
    Pillow.fromarray(disc() > 0).save(tmp_path / "a.tif", compression=compression)
    assert packed(tmp_path / "a.tif") > decoded.DEFLATE
    np.testing.assert_array_equal(read_image([tmp_path / "a.tif"]).array[0], disc() // 255)


def test_an_empty_dicom_in_jpeg_2000(tmp_path: Path) -> None:
    stream = bytes(imagecodecs.jpeg2k_encode(EMPTY, codecformat="j2k"))
    path = write_encapsulated(tmp_path / "a.dcm", stream, EMPTY.shape, "MONOCHROME2", syntax=JPEG2000)
    assert packed(path) > decoded.DEFLATE
    assert not read_image([path]).array.any()


def test_strips_that_were_left_out(tmp_path: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:256, :256] = 1
    tiles = (mask[:256, :256] if k == 0 else None for k in range((SIDE // 256) ** 2))
    tifffile.imwrite(tmp_path / "a.tif", tiles, shape=mask.shape, dtype=np.uint8, tile=(256, 256), compression="zlib")
    assert packed(tmp_path / "a.tif") > decoded.DEFLATE
    np.testing.assert_array_equal(read_image([tmp_path / "a.tif"]).array[0], mask)


def test_zstd_is_held_against_the_memory_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", EMPTY, compression="zstd", rowsperstrip=SIDE)
    monkeypatch.setattr(decoded, "free_bytes", lambda: 2**23)
    said = r"asks for 16,777,216 bytes .*, its own are \d+, and it may take a quarter of the 8,388,608 bytes of memory that are free; "
    with pytest.raises(DataError, match=said):
        read_image([tmp_path / "a.tif"])
    monkeypatch.setattr(decoded, "free_bytes", lambda: None)
    assert not read_image([tmp_path / "a.tif"]).array.any()
    monkeypatch.setattr(decoded, "UNKNOWN_FREE", 2**23)
    with pytest.raises(DataError, match=said):
        read_image([tmp_path / "a.tif"])


@pytest.mark.parametrize(("compression", "most"), [("zlib", decoded.DEFLATE), ("lzw", decoded.LZW), ("zstd", None)])
def test_a_header_that_lies(tmp_path: Path, compression: str, most: int | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, EMPTY[:64, :64], compression=compression)
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages.first.tags[name].overwrite(2**24)
    said = "more than its" if most else "of memory that are free"
    with pytest.raises(DataError, match=rf"asks for {2**48:,} bytes of pixels, .*{said}"):
        read_image([path])


def test_the_bounds_are_those_of_the_formats(tmp_path: Path) -> None:
    # Deflate (RFC 1951, 3.2.5): 258 bytes in two codes of one bit. LZW: of at most 4096 strings each is a byte longer than an earlier one,
    # and a code of 12 bits can name the longest again and again.
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    for packs, most in ((decoded.DEFLATE, 8 * 258 // 2), (decoded.LZW, 4096 * 2 // 3)):
        decoded.check_size(path, 100 * most, packs=packs)
        with pytest.raises(DataError, match="is damaged"):
            decoded.check_size(path, 110 * most, packs=packs)
