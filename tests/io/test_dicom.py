"""Pixels and spacing of DICOM files against values worked out by hand."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from autoseg.errors import DataError
from autoseg.io.dicom import dicom_spacing
from autoseg.io.images import read_image
from tests.io.dicom import CT, DX, write_dicom, write_encapsulated

GREY = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100
BYTES = np.arange(12, dtype=np.uint8).reshape(3, 4)
SIGNED = GREY.astype(np.int16) - 600
INVERSE = {0x0028_0004: "MONOCHROME1"}
TWELVE = {0x0028_0101: 12, 0x0028_0102: 11}


def rescale(slope: float, intercept: float) -> dict[int, object]:
    return {0x0028_1052: intercept, 0x0028_1053: slope}


@pytest.mark.parametrize(
    ("stored", "tags", "expected"),
    [
        (GREY, {}, GREY),
        (BYTES, {}, BYTES),
        (SIGNED, {}, SIGNED),
        # 12 bits of 16: what stands above them (old overlays) is no pixel; the sign is bit 11.
        (GREY | 0xF000, TWELVE, GREY),
        ((SIGNED & 0xFFF).astype(np.int16), TWELVE, SIGNED),
        # The highest bit is 15: the pixel is in the upper 12 bits.
        (GREY << 4 | 7, {0x0028_0101: 12, 0x0028_0102: 15}, GREY),
        ((SIGNED << 4).astype(np.int16), {0x0028_0101: 12, 0x0028_0102: 15}, SIGNED),
        (GREY << 2, {**INVERSE, 0x0028_0101: 12, 0x0028_0102: 13}, 4095 - GREY),
        # Inverted within the range of the stored bits, whatever the pixels are.
        (BYTES, INVERSE, 255 - BYTES),
        (GREY, INVERSE, 65535 - GREY),
        (GREY, {**INVERSE, **TWELVE}, 4095 - GREY),
        (SIGNED, INVERSE, -1 - SIGNED),
        ((SIGNED & 0xFFF).astype(np.int16), {**INVERSE, **TWELVE}, -1 - SIGNED),
        # Rescaled: inverted first, which comes to the same as inverted in the range of the rescaled values.
        (GREY, rescale(1, -1000), GREY.astype(int) - 1000),
        (GREY, rescale(0.5, 0.25), GREY * 0.5 + 0.25),
        (GREY, {**INVERSE, **TWELVE, **rescale(2, -10)}, 2 * (4095 - GREY.astype(int)) - 10),
        (GREY, {**INVERSE, **TWELVE, **rescale(-1, 4095)}, GREY),
        (SIGNED, {**INVERSE, **rescale(0.5, 3)}, 0.5 * (-1 - SIGNED) + 3),
        # A window is no part of the image.
        (GREY, {0x0028_1050: "500", 0x0028_1051: "100"}, GREY),
    ],
)  # fmt: skip
def test_grey_pixels(tmp_path: Path, stored: NDArray[Any], tags: dict[int, object], expected: NDArray[Any]) -> None:
    for name in ("a.dcm", "IM0001", "1.2.840.113"):
        image = read_image([write_dicom(tmp_path / name, stored, tags)])
        assert image.array.shape == (1, 3, 4)
        np.testing.assert_array_equal(image.array[0], expected)


def test_implicit_vr_without_a_meta_group(tmp_path: Path) -> None:
    def plain(tag: int, value: bytes) -> bytes:
        return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + len(value).to_bytes(4, "little") + value

    numbers = {0x0028_0002: 1, 0x0028_0010: 3, 0x0028_0011: 4, 0x0028_0100: 16, 0x0028_0101: 12, 0x0028_0102: 15, 0x0028_0103: 0}
    body = {0x0008_0016: b"1.2.840.10008.5.1.4.1.1.1\0", 0x0028_0004: b"MONOCHROME2 "}
    body |= {tag: value.to_bytes(2, "little") for tag, value in numbers.items()} | {0x7FE0_0010: (GREY << 4).tobytes()}
    path = tmp_path / "a.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + b"".join(plain(tag, value) for tag, value in sorted(body.items())))
    np.testing.assert_array_equal(read_image([path]).array[0], GREY)


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_rgb_by_pixel_and_by_plane(tmp_path: Path) -> None:
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    planes = np.ascontiguousarray(np.moveaxis(colours, -1, 0)).tobytes()
    for tags in ({}, {0x0028_0006: 1, 0x7FE0_0010: planes}):
        image = read_image([write_dicom(tmp_path / "a.dcm", colours, tags)])
        np.testing.assert_array_equal(image.array, np.moveaxis(colours, -1, 0))
        assert image.facts == (3, False, True)


def test_grey_stored_as_colour(tmp_path: Path) -> None:
    image = read_image([write_dicom(tmp_path / "a.dcm", np.repeat(BYTES[..., None], 3, -1))])
    assert image.is_grey


@pytest.mark.parametrize(("photometric", "pixel"), [("YBR_FULL", (76, 85, 255)), ("YBR_FULL_422", (76, 76, 85, 255))])
def test_ybr_becomes_rgb(tmp_path: Path, photometric: str, pixel: tuple[int, ...]) -> None:
    """JFIF: R = Y + 1.402 (Cr - 128) = 254, G and B cut at 0."""
    data = bytes(pixel) * (12 if len(pixel) == 3 else 6)
    path = write_dicom(tmp_path / "a.dcm", np.zeros((3, 4, 3), np.uint8), {0x0028_0004: photometric, 0x7FE0_0010: data})
    assert np.unique(read_image([path]).array.reshape(3, -1), axis=1).ravel().tolist() == [254, 0, 0]


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1", "YBR_FULL_422"])
def test_jpeg_inside(tmp_path: Path, photometric: str) -> None:
    grey = photometric.startswith("MONO")
    picture = Image.new("L" if grey else "RGB", (16, 16), 200 if grey else RED)
    picture.paste(40 if grey else BLUE, (8, 0, 16, 16))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    array = read_image([write_encapsulated(tmp_path / "a.dcm", stream.getvalue(), (16, 16), photometric)]).array
    expected = np.moveaxis(np.atleast_3d(np.array(picture)), -1, 0).astype(int)
    expected = 255 - expected if photometric == "MONOCHROME1" else expected
    away = [*range(6), *range(10, 16)]  # colours are stored at half the resolution
    assert np.abs(array - expected)[:, :, away].max() <= 4


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({0x0028_0030: "0.4\\0.3"}, (0.4, 0.3)),
        ({0x0018_1164: "0.2\\0.1"}, (0.2, 0.1)),
        ({0x0018_1164: "0.2\\0.1", 0x0018_1114: "1.25"}, (0.16, 0.08)),
        ({0x0028_0030: "0.4\\0.3", 0x0018_1164: "0.2\\0.1", 0x0018_1114: "1.25"}, (0.4, 0.3)),
        # Equal and without a word on calibration: the detector's.
        ({0x0028_0030: "0.2\\0.1", 0x0018_1164: "0.20\\0.10", 0x0018_1114: "1.25"}, (0.16, 0.08)),
        ({0x0028_0030: "0.2\\0.1", 0x0018_1164: "0.2\\0.1", 0x0018_1114: "1.25", 0x0028_0A02: "GEOMETRY"}, (0.2, 0.1)),
        ({0x0018_2010: "0.2\\0.1"}, (0.2, 0.1)),
        ({0x0018_2010: "0.2\\0.1", 0x0018_1164: "0.3\\0.3"}, (0.3, 0.3)),
        ({0x0028_0030: "0\\0"}, None),
        ({0x0028_0030: "0.1"}, None),
        ({0x0028_0030: ""}, None),
        ({0x0018_1164: "0.2\\0.1", 0x0018_1114: "0"}, (0.2, 0.1)),
    ],
)
def test_spacing(tmp_path: Path, tags: dict[int, object], expected: tuple[float, float] | None) -> None:
    for kind in (DX, CT, "1.2.840.10008.5.1.4.1.1.7"):
        geometry = read_image([write_dicom(tmp_path / "a.dcm", GREY, {**tags, 0x0008_0016: kind})]).geometry
        assert geometry.spacing == pytest.approx(expected or (1.0, 1.0))
        assert geometry.unit == ("pixel" if expected is None else "mm")


def test_spacing_that_is_no_number() -> None:
    assert dicom_spacing({"0028|0030": "a\\b"}) is None
    assert dicom_spacing({"0028|0030": "nan\\1"}) is None


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_image([path])
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    frames = np.concatenate([GREY, GREY])
    tags = {0x0028_0008: "2", 0x0028_0010: 3}
    assert "holds 2 frames in one DICOM file; save each frame" in message(write_dicom(tmp_path / "a.dcm", frames, tags))
    one = write_dicom(tmp_path / "b.dcm", GREY, {0x0028_0008: "1"})
    np.testing.assert_array_equal(read_image([one]).array[0], GREY)


@pytest.mark.parametrize("cut", [1, 10, 23])
def test_a_file_cut_short(tmp_path: Path, cut: int) -> None:
    path = write_dicom(tmp_path / "a.dcm", GREY)
    path.write_bytes(path.read_bytes()[:-cut])
    assert "cannot be read as an image" in message(path)


def test_too_few_pixels(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", GREY, {0x7FE0_0010: GREY.tobytes()[:10]})
    assert "is cut short: it holds 10 of 24 bytes of pixels" in message(path)


def test_no_pixels_and_no_image(tmp_path: Path) -> None:
    message(write_dicom(tmp_path / "a.dcm", GREY, {0x7FE0_0010: None}))
    path = tmp_path / "b.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM")
    message(path)
