"""What SimpleITK does not do for NRRD files: keep their geometry to the last bit.

A NRRD header holds direction times spacing in one vector per axis. ITK takes them apart and multiplies them again, which moves the last
digits at every rewriting.
"""

from __future__ import annotations

from pathlib import Path

# The fields of the NRRD format that place an image in space, as text.
_GEOMETRY_FIELDS = (b"space", b"space directions", b"space origin")
_END = b"\n\n"
_HEADER_BYTES = 1 << 16


def graft_geometry(target: Path, source: Path) -> bool:
    """Copy the geometry fields of one NRRD header into another of equal grid, as they are written.

    Parameters
    ----------
    target : Path
        As SimpleITK wrote it; changed in place.
    source : Path

    Returns
    -------
    bool
        False, and nothing changed, if the fields are not the same in both, or the source has an axis that lies nowhere in space (channels).
    """
    with source.open("rb") as stream:
        given = _fields(stream.read(_HEADER_BYTES).replace(b"\r\n", b"\n").partition(_END)[0])
    header, end, data = target.read_bytes().partition(_END)
    written = _fields(header)
    if set(given) != set(written) or set(given) != set(_GEOMETRY_FIELDS) or b"none" in given[b"space directions"]:
        return False
    for name, line in written.items():
        header = header.replace(line, given[name])
    target.write_bytes(header + end + data)
    return True


def _fields(header: bytes) -> dict[bytes, bytes]:
    """The lines that hold geometry, by the name of their field."""
    lines = ((line.partition(b":")[0], line) for line in header.split(b"\n"))
    return {name: line for name, line in lines if name in _GEOMETRY_FIELDS}
