"""What SimpleITK does not do for NIfTI-1 files: notice that one is cut short or holds NaN, and keep its geometry to the last bit.

ITK reads a truncated .nii or .nii.gz without a word, the missing voxels zero, and so are NaN and infinity. And it turns the header's
single-precision quaternion into a matrix and back, which moves the last digits at every rewriting.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from autoseg.io.decoded import DAMAGED, not_finite, unreadable

HEADER_BYTES = 348
_CHUNK_BYTES = 1 << 22

# nifti1.h: datatype -> what numpy calls it.
_FLOATS = {16: "f4", 64: "f8"}

# Offsets and lengths of nifti1.h: pixdim (its first entry is the handedness), xyzt_units, and qform_code to srow_z.
_GEOMETRY_FIELDS = ((76, 32), (123, 1), (252, 76))


def check_complete(path: Path) -> None:
    """Raise DataError if the file is shorter than its header says, a .gz fails its checksum, or a value is NaN or infinite."""
    try:
        header, size, bad = _looked_through(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unreadable(path, f"is truncated or damaged ({error})", DAMAGED) from None
    if len(header) < HEADER_BYTES:
        raise unreadable(path, f"holds {size} bytes, which is no NIfTI header", DAMAGED)
    if bad:
        raise not_finite(path, bad)
    needed = _bytes_needed(header)
    if size < needed:
        raise unreadable(path, f"is truncated: its header asks for {needed:,} bytes and it holds {size:,}", DAMAGED)


def graft_geometry(target: Path, source: Path) -> bool:
    """Copy the geometry fields of one NIfTI-1 header into another of equal grid, bit by bit.

    Parameters
    ----------
    target : Path
        An uncompressed .nii in this machine's byte order, as just written; changed in place.
    source : Path
        .nii or .nii.gz.

    Returns
    -------
    bool
        False, and nothing changed, if the source is no NIfTI-1 file.
    """
    with _open(source) as stream:
        origin = stream.read(HEADER_BYTES)
    order = _byte_order(origin)
    if order is None:
        return False
    with target.open("r+b") as stream:
        for offset, length in _GEOMETRY_FIELDS:
            stream.seek(offset)
            stream.write(_native(origin[offset : offset + length], offset, order))
    return True


def _native(field: bytes, offset: int, order: str) -> bytes:
    """The bytes of a geometry field in this machine's byte order: all floats, but for two shorts before the last and the units."""
    if len(field) == 1 or order == "=":
        return field
    shorts = 2 if offset == _GEOMETRY_FIELDS[-1][0] else 0
    head = np.frombuffer(field, "u2", shorts).byteswap().tobytes()
    return head + np.frombuffer(field, "u4", offset=2 * shorts).byteswap().tobytes()


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if zipped else path.open("rb")


def _looked_through(path: Path) -> tuple[bytes, int, int]:
    """The header, how many bytes there are, and how many of the values are NaN or infinite.

    A .gz is read to the end, where its checksum stands; another file only if its values may be no numbers.
    """
    bad, rest = 0, b""
    with _open(path) as stream:
        header = stream.read(HEADER_BYTES)
        kind, start = _float_type(header)
        if kind is None and not isinstance(stream, gzip.GzipFile):
            return header, path.stat().st_size, 0
        size = len(header)
        while chunk := stream.read(_CHUNK_BYTES):
            if kind is not None:
                skipped = max(0, start - size)
                values = rest + chunk[skipped:]
                whole = len(values) - len(values) % kind.itemsize
                bad += whole // kind.itemsize - int(np.isfinite(np.frombuffer(values[:whole], kind)).sum())
                rest = values[whole:]
            size += len(chunk)
    return header, size, bad


def _float_type(header: bytes) -> tuple[np.dtype[Any] | None, int]:
    """The type of voxels that may be no numbers, None for others, and where they begin."""
    order = _byte_order(header)
    if order is None:
        return None, 0
    prefix = _prefix(order)
    kind = _FLOATS.get(struct.unpack_from(f"{prefix}h", header, 70)[0])
    start = struct.unpack_from(f"{prefix}f", header, 108)[0]
    return (np.dtype(prefix + kind) if kind else None), int(start) if 0 <= start < 2**31 else 0


def _prefix(order: str) -> str:
    """Of struct and numpy, for the order of bytes that `_byte_order` found."""
    return "<" if (struct.pack("=h", 1) == struct.pack("<h", 1)) == (order == "=") else ">"


def _byte_order(header: bytes) -> str | None:
    """ "=" for this machine's order, "!" for the other one, None if this is no NIfTI-1 header."""
    if len(header) < HEADER_BYTES or header[344:347] not in (b"n+1", b"ni1"):
        return None
    if struct.unpack_from("=i", header)[0] == HEADER_BYTES:
        return "="
    return "!"


def _bytes_needed(header: bytes) -> int:
    """The length that the header implies; 0 if it is not a one-file NIfTI-1 header, which is then SimpleITK's to judge."""
    order = _byte_order(header)
    if order is None or header[344:347] != b"n+1":
        return 0
    prefix = _prefix(order)
    dims = struct.unpack_from(f"{prefix}8h", header, 40)
    bits = struct.unpack_from(f"{prefix}h", header, 72)[0]
    start = struct.unpack_from(f"{prefix}f", header, 108)[0]
    voxels: int = 1
    for size in dims[1 : 1 + min(max(dims[0], 0), 7)]:
        voxels *= max(size, 1)
    return int(start) + voxels * int(bits) // 8
