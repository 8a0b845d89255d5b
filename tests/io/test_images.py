import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image as Pillow

from autoseg.errors import DataError
from autoseg.geometry import Geometry
from autoseg.io.images import Image, common_num_channels, read_image, to_channels
from tests.io.make import RAMP, write_picture, write_volume

COLOUR = np.stack([RAMP, RAMP + 1, RAMP * 2], -1).astype(np.uint8)
GREY_RGB = np.stack([RAMP] * 3, -1)


def with_alpha(colour: np.ndarray[Any, Any], alpha: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([colour, alpha[..., None]], -1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "PNG"])
@pytest.mark.parametrize("array", [RAMP, COLOUR], ids=["grey", "colour"])
def test_lossless_pictures(tmp_path: Path, suffix: str, array: np.ndarray[Any, Any]) -> None:
    image = read_image([write_picture(tmp_path / f"a.{suffix}", array)])
    assert image.geometry == Geometry.pixels((6, 8))
    assert image.array.dtype == np.uint8
    np.testing.assert_array_equal(image.array, array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0))


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "mha", "nrrd", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_dtypes_stay(tmp_path: Path, suffix: str, dtype: type[np.generic]) -> None:
    array = RAMP.astype(dtype) * np.array(3, dtype)
    image = read_image([write_volume(tmp_path / f"a.{suffix}", array)])
    assert image.array.dtype == dtype
    np.testing.assert_array_equal(image.array[0], array)


def test_jpg(tmp_path: Path) -> None:
    flat = np.full((16, 24), 90, np.uint8)
    image = read_image([write_picture(tmp_path / "a.jpg", flat, quality=95)])
    np.testing.assert_allclose(image.array[0], flat, atol=1)


def test_sixteen_bit_png(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 1000
    np.testing.assert_array_equal(read_image([write_picture(tmp_path / "a.png", deep)]).array[0], deep)


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    deep = COLOUR.astype(np.uint16) * 700
    path = tmp_path / "a.png"
    sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(path))
    np.testing.assert_array_equal(read_image([path]).array, np.moveaxis(deep, -1, 0))


def test_palette_becomes_colour(tmp_path: Path) -> None:
    with Pillow.fromarray(np.array([[0, 1]], np.uint8)) as picture:
        picture.putpalette([10, 20, 30, 40, 50, 60])
        picture.save(tmp_path / "a.png")
    assert read_image([tmp_path / "a.png"]).array[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    with Pillow.new("CMYK", (8, 8), (0, 255, 255, 0)) as picture:
        picture.save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read_image([tmp_path / "a.jpg"]).array[:, 4, 4], [255, 0, 0], atol=3)


def test_one_bit_png(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", RAMP > 20)
    np.testing.assert_array_equal(read_image([tmp_path / "a.png"]).array[0], (RAMP > 20).astype(np.uint8))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    with Pillow.fromarray(RAMP) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # a quarter turn clockwise to be upright
        picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image([tmp_path / "a.png"]).array[0], np.rot90(RAMP, -1))


def test_constant_opacity_is_left_out(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", with_alpha(GREY_RGB, np.full_like(RAMP, 255)))
    image = read_image([path])
    assert image.num_channels == 3
    assert image.is_grey
    np.testing.assert_array_equal(to_channels(image, 1), RAMP[None])


def test_varying_opacity_is_a_channel(tmp_path: Path) -> None:
    image = read_image([write_picture(tmp_path / "a.png", with_alpha(GREY_RGB, RAMP))])
    assert image.num_channels == 4
    assert not image.is_grey


def test_white_is_zero_tif_is_inverted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RAMP, photometric="miniswhite")
    np.testing.assert_array_equal(read_image([tmp_path / "a.tif"]).array[0], 255 - RAMP)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tif(tmp_path: Path, compression: str) -> None:
    path = write_picture(tmp_path / "a.tif", RAMP, compression=compression)
    np.testing.assert_array_equal(read_image([path]).array[0], RAMP)


def test_tif_pages_are_sections(tmp_path: Path) -> None:
    stack = np.stack([RAMP + k for k in range(5)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    image = read_image([tmp_path / "a.tif"])
    assert image.geometry == Geometry.pixels((5, 6, 8))
    np.testing.assert_array_equal(image.array[0], stack)


def test_tif_with_a_physical_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RAMP, imagej=True, resolution=(4, 5), metadata={"unit": "um"})
    geometry = read_image([tmp_path / "a.tif"]).geometry
    assert geometry.unit == "mm"
    assert geometry.spacing == pytest.approx((0.0002, 0.00025))


def test_dots_per_inch_are_no_physical_size(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.tif", RAMP, dpi=(72, 72))
    assert read_image([path]).geometry == Geometry.pixels((6, 8))


@pytest.mark.parametrize("suffix", ["nii.gz", "mha", "nrrd"])
def test_axes_are_turned_to_array_order(tmp_path: Path, suffix: str) -> None:
    path = write_volume(tmp_path / f"a.{suffix}", np.zeros((2, 3, 4), np.uint8), spacing=(0.5, 1.5, 4), origin=(10, 20, 30))
    geometry = read_image([path]).geometry
    assert (geometry.shape, geometry.spacing, geometry.origin, geometry.unit) == ((2, 3, 4), (4.0, 1.5, 0.5), (10.0, 20.0, 30.0), "mm")


def test_a_third_axis_of_length_one_is_none(tmp_path: Path) -> None:
    image = read_image([write_volume(tmp_path / "a.nii.gz", RAMP[None], spacing=(0.5, 1.5, 4))])
    assert image.geometry.shape == (6, 8)
    assert image.geometry.spacing == (1.5, 0.5)
    np.testing.assert_array_equal(image.array, RAMP[None])


def test_a_fourth_axis_holds_channels(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    image = read_image([write_volume(tmp_path / "a.nii.gz", array)])
    assert image.geometry.shape == (3, 4, 5)
    np.testing.assert_array_equal(image.array, array)


def test_one_file_per_channel(tmp_path: Path) -> None:
    paths = [write_volume(tmp_path / f"a_{k}.mha", np.full((2, 3, 4), k, np.int16)) for k in range(3)]
    image = read_image(paths)
    assert image.array[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert not image.is_grey


def test_channels_on_other_grids_are_refused(tmp_path: Path) -> None:
    a = write_volume(tmp_path / "a.mha", np.zeros((2, 3, 4), np.uint8))
    b = write_volume(tmp_path / "b.mha", np.zeros((2, 3, 4), np.uint8), origin=(0, 0, 2))
    with pytest.raises(DataError, match=r"b\.mha: has another grid than the first channel, a\.mha: origin .*2\.0\) against"):
        read_image([a, b])


def write_dicom(path: Path, array: np.ndarray[Any, Any]) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array[None]), str(path))
    return path


def test_dicom_monochrome1_is_inverted(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    plain = read_image([path])
    assert plain.geometry.shape == (6, 8)
    np.testing.assert_array_equal(plain.array[0], RAMP)
    data = path.read_bytes()
    assert data.count(b"MONOCHROME2") == 1
    path.write_bytes(data.replace(b"MONOCHROME2", b"MONOCHROME1"))
    np.testing.assert_array_equal(read_image([path]).array[0], 255 - RAMP)


def test_dicom_without_suffix(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP).rename(tmp_path / "IM0001")
    np.testing.assert_array_equal(read_image([path]).array[0], RAMP)


def cut(path: Path, fraction: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


NOISE = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)


@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.6, 0.97])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "nii", "nii.gz", "mha", "nrrd"])
def test_a_truncated_file_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, fraction: float) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in ("png", "jpg", "bmp", "tif"):
        write_picture(path, NOISE)
    else:
        write_volume(path, NOISE[None].repeat(2, 0))
    with pytest.raises(DataError, match=str(path)) as caught:
        read_image([cut(path, fraction)])
    assert len(caught.value.problems) == 1
    assert "\n" not in caught.value.problems[0]
    assert capfd.readouterr() == ("", "")


def test_a_truncated_lzw_tif_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = cut(write_picture(tmp_path / "a.tif", NOISE, compression="tiff_lzw"))
    with pytest.raises(DataError, match=str(path)):
        read_image([path])
    assert capfd.readouterr() == ("", "")


def test_damage_inside_a_gz_is_found(tmp_path: Path) -> None:
    path = write_volume(tmp_path / "a.nii.gz", NOISE[None].repeat(2, 0))
    data = bytearray(gzip.decompress(path.read_bytes()))
    damaged = bytearray(gzip.compress(bytes(data)))
    damaged[-6] ^= 1  # the checksum
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.nii\.gz: is truncated or damaged \(CRC check failed"):
        read_image([path])


def test_a_gif_with_frames_is_refused(tmp_path: Path) -> None:
    with Pillow.fromarray(RAMP) as first, Pillow.fromarray(RAMP + 9) as second:
        first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    with pytest.raises(DataError, match=r"a\.gif: is animated \(2 frames\); save each frame"):
        read_image([tmp_path / "a.gif"])


def test_a_header_of_a_huge_image_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    packed = b"IDAT" + zlib.compress(b"\0" * 1000)
    data += struct.pack(">I", len(packed) - 4) + packed + struct.pack(">I", zlib.crc32(packed))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png: is damaged: its header asks for 40,000,000,000 bytes of pixels, more than"):
        read_image([tmp_path / "a.png"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    array = RAMP.astype(np.float32)
    array[2, 3] = value
    with pytest.raises(DataError, match=r"a\.mha: holds 1 value that is NaN or infinite"):
        read_image([write_volume(tmp_path / "a.mha", array)])


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"hello" * 40)
    (tmp_path / "b.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "c.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "d.png").mkdir()
    reasons = {"a.png": "holds 200 bytes that are no image", "b.txt": "is of no known image format", "c.png": "leads nowhere"}
    for name, reason in (reasons | {"d.png": "is a folder", "e.png": "does not exist"}).items():
        with pytest.raises(DataError, match=rf"{name}: .*{reason}"):
            read_image([tmp_path / name])


def image(channels: int, *, is_grey: bool = False, dtype: type[np.generic] = np.uint8) -> Image:
    array = np.arange(channels, dtype=dtype)[:, None, None] + np.zeros((channels, 2, 2), dtype)
    return Image(paths=(Path("a.png"),), array=array, geometry=Geometry.pixels((2, 2)), is_grey=is_grey)


def test_channels_of_a_data_set() -> None:
    assert common_num_channels([(3, True), (1, False)]) == 1
    assert common_num_channels([(3, True), (3, False)]) == 3
    assert common_num_channels([(3, False), (4, False)]) == 4
    assert common_num_channels([(2, False), (2, False), (5, False)]) == 2
    assert common_num_channels([(3, True)], declared=3) == 3


def test_images_are_fitted_to_the_channels() -> None:
    assert to_channels(image(1), 3)[:, 0, 0].tolist() == [0, 0, 0]
    assert to_channels(image(3), 4)[:, 0, 0].tolist() == [0, 1, 2, 255]
    assert to_channels(image(1), 4)[:, 0, 0].tolist() == [0, 0, 0, 255]
    assert to_channels(image(3, is_grey=True), 1).shape == (1, 2, 2)
    assert to_channels(image(2), 2).shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("given", "num", "message"),
    [
        (image(3), 1, r"a\.png: has 3 colour channels, the data set has 1; convert it to grey"),
        (image(2), 3, r"a\.png: has 2 channels, the data set has 3"),
        (image(1, dtype=np.float32), 3, r"a\.png: has 1 channel, the data set has 3"),
    ],
)
def test_other_channels_are_refused(given: Image, num: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_channels(given, num)
