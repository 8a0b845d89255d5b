"""Order and suffixes of file names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

#: Read by pillow or tifffile: two axes, no physical size as a rule.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")
#: Read by SimpleITK, with a physical grid.
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
IMAGE_SUFFIXES = PICTURE_SUFFIXES + VOLUME_SUFFIXES + DICOM_SUFFIXES


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which "image2" stands before "image10".

    Examples
    --------
    >>> sorted(["b10", "b9", "a"], key=natural_key)
    ['a', 'b9', 'b10']
    """
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text))


def image_suffix(path: Path) -> str:
    """The suffix of an image file in lower case, ".nii.gz" in one piece; "" if the format is not known by its suffix."""
    name = path.name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), "")


def is_dicom(path: Path) -> bool:
    """True for a DICOM file: by its suffix, or without a known one (IM0001, 1.2.840.113) by the mark at byte 128.

    A DICOMDIR has the mark, too, and is no image.
    """
    if suffix := image_suffix(path):
        return suffix in DICOM_SUFFIXES
    if path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def says_how_it_lies(path: Path) -> bool:
    """True for a file with a header of directions, and for a folder, which is a series of DICOM slices."""
    return image_suffix(path) in VOLUME_SUFFIXES or path.is_dir()


def files_in(path: Path) -> list[Path]:
    """The file itself; of a folder, which is a series of DICOM slices, its files."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def image_stem(path: Path) -> str:
    """The file name without its image suffix.

    Examples
    --------
    >>> image_stem(Path("imagesTr/a.b_0000.nii.gz"))
    'a.b_0000'
    """
    return path.name[: len(path.name) - len(image_suffix(path))]


def image_files(folder: Path) -> list[Path]:
    """The image files that lie directly in a folder, in natural order; hidden files and other formats are passed over.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    """
    return sorted((p for p in folder.iterdir() if _is_image(p)), key=lambda p: natural_key(p.name))


def nested_image_files(folder: Path) -> Iterator[Path]:
    """The image files in a folder and below it, folder by folder in natural order; links to folders are not followed."""
    yield from image_files(folder)
    below = (p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith("."))
    for path in sorted(below, key=lambda p: natural_key(p.name)):
        yield from nested_image_files(path)


def _is_image(path: Path) -> bool:
    # A link that leads nowhere counts: it is reported when it is read, not passed over.
    return not path.name.startswith(".") and (image_suffix(path) != "" or is_dicom(path)) and not path.is_dir()
