"""Data sets with one wrong or unusual image: `case1` of three 6 x 8 images with integer maps, the class x declared."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.badinput.bad import BadData
from tests.io.dicom import write_dicom, write_encapsulated
from tests.io.make import RAMP, make_maps, square, write_json, write_picture, write_volume

DECLARED: dict[str, int | list[int]] = {"background": 0, "x": 1}
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], -1)


def declared(root: Path) -> Path:
    """imagesTr/case0..2.png and labelsTr/case0..2.png."""
    return make_maps(root, DECLARED)


def volumes(root: Path) -> Path:
    """The same with volumes, .nii.gz."""
    write_json(root / "dataset.json", {"labels": DECLARED})
    for k in range(3):
        write_volume(root / f"imagesTr/case{k}.nii.gz", np.stack([RAMP + np.uint8(k)] * 3))
        write_volume(root / f"labelsTr/case{k}.nii.gz", square((3, 6, 8)))
    return root


def without_image(root: Path, name: str = "case1.png") -> Path:
    """The data set without case1's image, and the path of another one for it."""
    (declared(root) / "imagesTr/case1.png").unlink()
    return root / "imagesTr" / name


def saved(name: str, array: NDArray[Any], keep: int | None = None, **options: Any) -> Callable[[Path], object]:
    """case1 as a picture of this name, cut to `keep` bytes (from the end if negative)."""

    def make(root: Path) -> None:
        path = write_picture(without_image(root, name), array, **options)
        path.write_bytes(path.read_bytes()[:keep])

    return make


def bytes_of(data: bytes, name: str = "case1.png") -> Callable[[Path], object]:
    """case1 as these bytes."""
    return lambda root: without_image(root, name).write_bytes(data)


def tif(array: NDArray[Any], keep: int | None = None, **options: Any) -> Callable[[Path], object]:
    """case1 as a tif."""

    def make(root: Path) -> None:
        path = without_image(root, "case1.tif")
        tifffile.imwrite(path, array, photometric="minisblack", **options)
        path.write_bytes(path.read_bytes()[:keep])

    return make


def volume(name: str, keep: int | None = None, array: NDArray[Any] | None = None) -> Callable[[Path], object]:
    """case1 of a data set of volumes in another format, cut."""

    def make(root: Path) -> None:
        (volumes(root) / "imagesTr/case1.nii.gz").unlink()
        path = write_volume(root / "imagesTr" / name, np.stack([RAMP] * 3) if array is None else array)
        path.write_bytes(path.read_bytes()[:keep])

    return make


def bare(name: str, data: bytes) -> Callable[[Path], object]:
    """case1 of a data set of volumes as these bytes."""

    def make(root: Path) -> None:
        (volumes(root) / "imagesTr/case1.nii.gz").unlink()
        (root / "imagesTr" / name).write_bytes(data)

    return make


def linked(to: str) -> Callable[[Path], object]:
    """case1 as a link."""
    return lambda root: without_image(root).symlink_to(to)


def loop(root: Path) -> None:
    path = without_image(root)
    path.symlink_to(path)


def pipe(root: Path) -> None:
    os.mkfifo(without_image(root))


def folder(root: Path) -> None:
    without_image(root).mkdir()


def gif(root: Path) -> None:
    frames = [Image.fromarray(RAMP + np.uint8(k)) for k in range(3)]
    frames[0].save(without_image(root, "case1.gif"), save_all=True, append_images=frames[1:])


def turned_jpg(root: Path) -> None:
    """Stored lying, shown standing: 8 wide in the file, 6 wide as everybody sees it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    saved("case1.jpg", RAMP, exif=exif.tobytes())(root)


def turned_jpg_with_fitting_labels(root: Path) -> None:
    turned_jpg(root)
    write_picture(root / "labelsTr/case1.png", np.rot90(square(), -1))


def cmyk(root: Path) -> None:
    with Image.fromarray(np.concatenate([COLOURS, COLOURS[..., :1]], -1), "CMYK") as picture:
        picture.save(without_image(root, "case1.jpg"))


def all_in(dtype: str) -> Callable[[Path], object]:
    """All images as tif of a type."""

    def make(root: Path) -> None:
        declared(root)
        for k in range(3):
            (root / f"imagesTr/case{k}.png").unlink()
            tifffile.imwrite(root / f"imagesTr/case{k}.tif", (RAMP * 7.5 - 20).astype(dtype), photometric="minisblack")

    return make


def deep_png(root: Path) -> None:
    declared(root)
    for k in range(3):
        write_picture(root / f"imagesTr/case{k}.png", RAMP.astype(np.uint16) * 1300)


def png_of(width: int, height: int, bits: int = 8, colour: int = 0) -> bytes:
    """A png whose header says a size that its few bytes cannot hold, all checksums right."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def huge_tif(root: Path) -> None:
    path = without_image(root, "case1.tif")
    tags = [(256, 4, 1, 100_000), (257, 4, 1, 100_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1),
            (278, 4, 1, 100_000), (279, 4, 1, 4_000_000_000)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))


def nifti_header(*shape: int) -> bytes:
    """A whole NIfTI-1 header of unsigned bytes and nothing behind it."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *(1,) * (7 - len(shape)))
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header)


MHA = b"ObjectType = Image\nNDims = 3\nDimSize = 90000 90000 9000\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
NRRD = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 90000 90000 9000\nencoding: raw\nendian: little\n\n"


def five_axes(root: Path) -> None:
    bare("case1.nii", nifti_header(4, 4, 2, 2, 2) + bytes(128))(root)


def complex_pixels(root: Path) -> None:
    (volumes(root) / "imagesTr/case1.nii.gz").unlink()
    sitk.WriteImage(sitk.Image([8, 6, 3], sitk.sitkComplexFloat32), str(root / "imagesTr/case1.nii.gz"))


def other_axes(root: Path) -> None:
    path = without_image(root, "case1.nii.gz")
    write_volume(path, np.stack([RAMP] * 3))
    (root / "labelsTr/case1.png").unlink()
    write_volume(root / "labelsTr/case1.nii.gz", square((3, 6, 8)))


def line(root: Path) -> None:
    write_picture(declared(root) / "imagesTr/case1.png", RAMP[:1])
    write_picture(root / "labelsTr/case1.png", square()[1:2])


def colour_for_grey(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": DECLARED, "channel_names": {"0": "X-ray"}})
    write_picture(root / "imagesTr/case1.png", COLOURS)


def opacity(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": DECLARED, "channel_names": {"0": "X-ray"}})
    write_picture(root / "imagesTr/case1.png", np.concatenate([COLOURS, COLOURS[..., :1]], -1))


def volume_among_images(root: Path) -> None:
    tif(np.stack([RAMP] * 3))(root)


def dicom(name: str, array: NDArray[Any] = RAMP, tags: dict[int, object] | None = None) -> Callable[[Path], object]:
    """case1 as a DICOM file."""
    return lambda root: write_dicom(without_image(root, name), array, tags)


def huge_jpeg_dicom(root: Path) -> None:
    """One small JPEG stream, and a header of 65535 x 65535."""
    path = without_image(root, "case1.dcm")
    write_encapsulated(path, b"\xff\xd8\xff\xd9", (6, 8), "MONOCHROME2")
    for tag, size in ((b"\x10\x00", 6), (b"\x11\x00", 8)):
        element = b"\x28\x00" + tag + b"US\x02\x00"
        path.write_bytes(path.read_bytes().replace(element + struct.pack("<H", size), element + struct.pack("<H", 65535)))


def same_picture(root: Path) -> None:
    write_picture(declared(root) / "imagesTs/other.png", RAMP)


NAN, INF = (np.where(RAMP == 5, value, RAMP).astype(np.float32) for value in (np.nan, np.inf))
DAMAGED = "is truncated or damaged"
TOO_LARGE = "more than"

IMAGES: list[BadData] = [
    BadData(what="png cut short", make=saved("case1.png", RAMP, -30), file="imagesTr/case1.png", said=DAMAGED),
    BadData(what="jpg cut short", make=saved("case1.jpg", RAMP, -40), file="imagesTr/case1.jpg", said=DAMAGED),
    BadData(what="bmp cut short", make=saved("case1.bmp", RAMP, -20), file="imagesTr/case1.bmp", said=DAMAGED),
    BadData(what="tif cut short", make=tif(RAMP, -20), file="imagesTr/case1.tif", said=DAMAGED),
    BadData(what=".nii cut short", make=volume("case1.nii", -20), file="imagesTr/case1.nii", said="is truncated: its header asks for"),
    BadData(what=".nii.gz cut short", make=volume("case1.nii.gz", -20), file="imagesTr/case1.nii.gz", said=DAMAGED),
    BadData(what=".mha cut short", make=volume("case1.mha", -20), file="imagesTr/case1.mha", said="cannot be read as an image"),
    BadData(what=".nrrd cut short", make=volume("case1.nrrd", -20), file="imagesTr/case1.nrrd", said="cannot be read as an image"),
    BadData(
        what="DICOM cut short", make=dicom("case1.dcm", tags={0x7FE0_0010: RAMP.tobytes()[:40]}), file="imagesTr/case1.dcm",
        said="is cut short: it holds 40 of 48 bytes of pixels",
    ),
    BadData(what="png of 0 bytes", make=bytes_of(b""), file="imagesTr/case1.png", said="is empty (0 bytes)"),
    BadData(what="tif of 0 bytes", make=bytes_of(b"", "case1.tif"), file="imagesTr/case1.tif", said="is empty (0 bytes)"),
    BadData(what=".nii.gz of 0 bytes", make=bare("case1.nii.gz", b""), file="imagesTr/case1.nii.gz", said="is empty (0 bytes)"),
    BadData(what="text called png", make=bytes_of(b"hello"), file="imagesTr/case1.png", said="holds 5 bytes that are no image"),
    BadData(what="text called .nii.gz", make=bare("case1.nii.gz", b"hello" * 99), file="imagesTr/case1.nii.gz", said="cannot be read as"),
    BadData(what="text called .dcm", make=bytes_of(b"hello", "case1.dcm"), file="imagesTr/case1.dcm", said="cannot be read as an image"),
    BadData(what="NaN in a float image", make=tif(NAN), file="imagesTr/case1.tif", said="holds 1 value that is NaN or infinite"),
    BadData(what="infinity in a float image", make=tif(INF), file="imagesTr/case1.tif", said="holds 1 value that is NaN or infinite"),
    BadData(
        what="NaN in a .nii.gz (ITK reads 0)", make=volume("case1.nii.gz", array=np.stack([NAN] * 3)),
        file="imagesTr/case1.nii.gz", said="holds 3 values that are NaN or infinite",
    ),
    BadData(
        what="NaN in a .nii (ITK reads 0)", make=volume("case1.nii", array=np.stack([NAN] * 3)),
        file="imagesTr/case1.nii", said="holds 3 values that are NaN or infinite",
    ),
    BadData(what="animated gif", make=gif, file="imagesTr/case1.gif", said="is animated (3 frames)"),
    BadData(
        what="film in a DICOM file", file="imagesTr/case1", said="holds 2 frames in one DICOM file",
        make=dicom("case1", np.concatenate([RAMP, RAMP]), {0x0028_0008: "2", 0x0028_0010: 6}),
    ),
    BadData(
        what="jpg turned by EXIF, labels drawn on the file's own grid", make=turned_jpg, file="labelsTr/case1.png",
        said="has the shape (6, 8), its image (8, 6)",
    ),
    BadData(what="jpg turned by EXIF, labels as it is seen", make=turned_jpg_with_fitting_labels, said="No problems.", code=0),
    BadData(what="CMYK jpg", make=cmyk, said="channels: 1, 3", code=0),
    BadData(what="16-bit png", make=deep_png, said="uint16, channels: 1", code=0),
    BadData(what="16-bit signed tif", make=all_in("int16"), said="int16, channels: 1", code=0),
    BadData(what="float tif", make=all_in("float32"), said="float32, channels: 1", code=0),
    BadData(what="one value everywhere", make=saved("case1.png", RAMP * 0), said="case1: all pixels have one value", code=0),
    BadData(what="1 x 8 image", make=line, said="case1: fewer than 4 pixels high or wide", code=0),
    BadData(what="jpg called png", make=saved("case1.png", RAMP, format="JPEG"), said="No problems.", code=0),
    BadData(what="png that says 60000 x 60000", make=bytes_of(png_of(60_000, 60_000)), file="imagesTr/case1.png", said=TOO_LARGE),
    BadData(
        what="16-bit png that says 60000 x 60000", make=bytes_of(png_of(60_000, 60_000, 16, 2)),
        file="imagesTr/case1.png", said=TOO_LARGE,
    ),
    BadData(what="tif that says 100000 x 100000", make=huge_tif, file="imagesTr/case1.tif", said=TOO_LARGE),
    BadData(
        what=".nii that says 30000 ^ 3", make=bare("case1.nii", nifti_header(30_000, 30_000, 30_000)),
        file="imagesTr/case1.nii", said="is truncated: its header asks for",
    ),
    BadData(what=".mha that says 90000 x 90000 x 9000", make=bare("case1.mha", MHA), file="imagesTr/case1.mha", said=TOO_LARGE),
    BadData(what=".nrrd that says 90000 x 90000 x 9000", make=bare("case1.nrrd", NRRD), file="imagesTr/case1.nrrd", said=TOO_LARGE),
    BadData(
        what="DICOM that says 65535 x 65535", make=dicom("case1.dcm", tags={0x0028_0010: 65535, 0x0028_0011: 65535}),
        file="imagesTr/case1.dcm", said="is cut short: it holds 48 of",
    ),
    BadData(what="JPEG DICOM that says 65535 x 65535", make=huge_jpeg_dicom, file="imagesTr/case1.dcm", said=TOO_LARGE),
    BadData(what="link to itself", make=loop, file="imagesTr/case1.png", said="is a link that leads nowhere"),
    BadData(what="link to nothing", make=linked("gone.png"), file="imagesTr/case1.png", said="is a link that leads nowhere"),
    BadData(what="file that cannot be read", make=linked("/proc/self/mem"), file="imagesTr/case1.png", said="cannot be read"),
    BadData(what="named pipe", make=pipe, file="imagesTr/case1.png", said="is no ordinary file"),
    BadData(what="folder called case1.png", make=folder, file="labelsTr/case1.png", said="labels without an image"),
    BadData(what="5 axes", make=five_axes, file="imagesTr/case1.nii", said="has 5 axes"),
    BadData(what="complex numbers", make=complex_pixels, file="imagesTr/case1.nii.gz", said="holds values of type complex64"),
    BadData(
        what="tif stack among images", make=volume_among_images,
        file="labelsTr/case1.png", said="has the shape (6, 8), its image (3, 6, 8)",
    ),
    BadData(what="volume among images", make=other_axes, file="imagesTr/case1.nii.gz", said="images and volumes are two data sets"),
    BadData(what="colour among grey", make=colour_for_grey, file="imagesTr/case1.png", said="has 3 colour channels, the data set has 1"),
    BadData(
        what="colour with opacity among grey", make=opacity,
        file="imagesTr/case1.png", said="has 4 colour channels, the data set has 1",
    ),
    BadData(
        what="one picture for training and testing", make=same_picture,
        said="hold the same pixels; a score on it says nothing", code=0,
    ),
]  # fmt: skip
