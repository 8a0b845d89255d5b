"""Names of channels from DICOM headers."""

from __future__ import annotations

from pathlib import Path

from autoseg.case import Dataset
from autoseg.errors import DataError
from autoseg.io.filenames import is_dicom
from autoseg.io.series import dicom_files
from autoseg.io.volumes import read_header

_MODALITY = "0008|0060"
#: Modalities whose name says what the values are (DICOM PS3.3, C.7.3.1.1.1): Hounsfield units of CT, or no scale at all of MR.
NAMED = ("CT", "MR", "PT")


def dicom_channels(dataset: Dataset) -> tuple[str, ...]:
    """What the channels of a data set are, by the Modality of its DICOM files, if it declares no names itself.

    Returns
    -------
    tuple of str
        One of `NAMED` for each file of a case; empty if one is something else, no DICOM, or another one than in the first case.
    """
    if dataset.channels:
        return dataset.channels
    found: tuple[str, ...] = ()
    for case in dataset.train:
        modalities = tuple(_modality_of(image) for image in case.images)
        if any(name not in NAMED for name in modalities) or modalities != (found or modalities):
            return ()
        found = modalities
    return found


def _modality_of(image: Path) -> str:
    """Empty if it is not known; the check of every case names a file that cannot be read."""
    try:
        if not (image.is_dir() or is_dicom(image)):
            return ""
        files = dicom_files(image) if image.is_dir() else [image]
        header = read_header(files[0]) if files else None
    except (DataError, OSError):
        return ""
    return header.GetMetaData(_MODALITY).strip(" \0").upper() if header is not None and header.HasMetaDataKey(_MODALITY) else ""
