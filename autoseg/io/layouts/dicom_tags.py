"""What a data set's DICOM headers say of its cases."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from autoseg.errors import DataError
from autoseg.io.filenames import is_dicom
from autoseg.io.series import dicom_files
from autoseg.io.volumes import read_header

_MODALITY, _PATIENT_ID = "0008|0060", "0010|0020"


class DicomTags(NamedTuple):
    """Modality in capitals, and PatientID as the file has it; each empty if it is not known."""

    modality: str = ""
    patient: str = ""


def read_tags(image: Path) -> DicomTags:
    """The tags of a DICOM file, or of the first one in a folder of slices; the check of every case names a file that cannot be read."""
    try:
        if not (image.is_dir() or is_dicom(image)):
            return DicomTags()
        files = dicom_files(image) if image.is_dir() else [image]
        header = read_header(files[0]) if files else None
    except (DataError, OSError):
        return DicomTags()
    if header is None:
        return DicomTags()
    modality, patient = (str(header.GetMetaData(key)) if header.HasMetaDataKey(key) else "" for key in (_MODALITY, _PATIENT_ID))
    return DicomTags(modality.strip(" \0").upper(), patient.strip(" \t\r\n\0"))
