"""DICOM files element by element (PS3.5, explicit VR, little endian), so that a test decides every tag and byte."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CR, DX, CT = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.2"
PLAIN, JPEG, JPEG2000 = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
VR = {
    0x0008_0016: "UI", 0x0008_0018: "UI", 0x0008_0060: "CS", 0x0008_103E: "LO", 0x0010_0020: "LO", 0x0018_1114: "DS", 0x0018_1164: "DS",
    0x0018_2010: "DS", 0x0020_000D: "UI", 0x0020_000E: "UI", 0x0020_0013: "IS", 0x0020_0032: "DS", 0x0020_0037: "DS", 0x0028_0002: "US",
    0x0028_0004: "CS", 0x0028_0006: "US", 0x0028_0008: "IS", 0x0028_0010: "US", 0x0028_0011: "US", 0x0028_0030: "DS", 0x0028_0100: "US",
    0x0028_0101: "US", 0x0028_0102: "US", 0x0028_0103: "US", 0x0028_0A02: "CS", 0x0028_1050: "DS", 0x0028_1051: "DS", 0x0028_1052: "DS",
    0x0028_1053: "DS", 0x7FE0_0010: "OW",
}  # fmt: skip


def element(tag: int, vr: str, value: object) -> bytes:
    """One data element."""
    data = struct.pack("<H", value) if vr == "US" else value if isinstance(value, bytes) else str(value).encode()
    data += (b"\0" if vr in ("UI", "OB") else b" ") * (len(data) % 2)
    length = b"\0\0" + struct.pack("<I", len(data)) if vr in ("OB", "OW") else struct.pack("<H", len(data))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode() + length + data


def write_dicom(path: Path, array: NDArray[Any], tags: Mapping[int, object] | None = None, *, syntax: str = PLAIN) -> Path:
    """Grey (y, x), or colour (y, x, 3), with further tags or other values of these; a value of None leaves a tag out."""
    bits = array.dtype.itemsize * 8
    usual: dict[int, object] = {
        0x0008_0016: CR, 0x0008_0018: f"1.2.{len(path.name)}", 0x0008_0060: "CR", 0x0020_000D: "1.2.3", 0x0020_000E: "1.2.3.4",
        0x0028_0002: 1 if array.ndim == 2 else 3, 0x0028_0004: "MONOCHROME2" if array.ndim == 2 else "RGB", 0x0028_0010: array.shape[0],
        0x0028_0011: array.shape[1], 0x0028_0100: bits, 0x0028_0101: bits, 0x0028_0102: bits - 1, 0x0028_0103: int(array.dtype.kind == "i"),
        0x7FE0_0010: array.tobytes(),
    }  # fmt: skip
    if array.ndim == 3:
        usual[0x0028_0006] = 0
    every = {tag: value for tag, value in sorted({**usual, **(tags or {})}.items()) if value is not None}
    meta = element(0x0002_0002, "UI", every[0x0008_0016]) + element(0x0002_0003, "UI", "1.2.3.4.5") + element(0x0002_0010, "UI", syntax)
    body = b"".join(element(tag, VR[tag], value) for tag, value in every.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * 128 + b"DICM" + element(0x0002_0000, "UL", struct.pack("<I", len(meta))) + meta + body)
    return path


def write_encapsulated(path: Path, jpeg: bytes, shape: tuple[int, ...], photometric: str, *, syntax: str = JPEG) -> Path:
    """A file whose pixels are one stream of JPEG or another syntax, 8 bit."""
    channels = 1 if photometric.startswith("MONO") else 3
    array = np.zeros(shape if channels == 1 else (*shape, channels), np.uint8)
    write_dicom(path, array, {0x0028_0004: photometric, 0x7FE0_0010: None}, syntax=syntax)
    jpeg += b"\0" * (len(jpeg) % 2)
    items = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0" + struct.pack("<I", len(jpeg)) + jpeg + b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(path.read_bytes() + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + items)
    return path


def write_series(folder: Path, volume: NDArray[Any], tags: Mapping[int, object] | None = None, *, step: float = 2.5) -> Path:
    """Axial slices (z, y, x) from feet to head, 0.5 x 0.4 mm pixels; files without suffix, numbered against their order."""
    for z, plane in enumerate(volume):
        placed: dict[int, object] = {
            0x0008_0016: CT, 0x0008_0060: "CT", 0x0008_0018: f"1.2.9.{z}", 0x0020_0013: len(volume) - z, 0x0028_0030: "0.5\\0.4",
            0x0020_0032: f"-10\\-20\\{5 + step * z}", 0x0020_0037: "1\\0\\0\\0\\1\\0",
        }  # fmt: skip
        write_dicom(folder / f"IM{len(volume) - z:04d}", plane, {**placed, **(tags or {})})
    return folder
