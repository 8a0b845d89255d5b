"""Groups from DICOM headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoseg.case import Case
from autoseg.errors import DataError
from autoseg.io.filenames import is_dicom
from autoseg.io.pseudonyms import Salt
from autoseg.io.series import dicom_files
from autoseg.io.volumes import read_header

_PATIENT_ID = "0010|0020"


def in_patients(cases: Sequence[Case], salt: Salt) -> tuple[Case, ...]:
    """DICOM cases without a group in the one of their PatientID.

    A salted hash takes the identifier's place right here: nothing else of autoseg ever sees it.
    """
    return tuple(case if case.group is not None else replace(case, group=_patient_of(case, salt)) for case in cases)


def _patient_of(case: Case, salt: Salt) -> str | None:
    image = case.images[0]
    if not (image.is_dir() or is_dicom(image)):
        return None
    try:
        header = read_header(dicom_files(image)[0] if image.is_dir() else image)
    except DataError:
        return None  # the check of every case names an unreadable file
    identifier = str(header.GetMetaData(_PATIENT_ID)).strip(" \t\r\n\0") if header.HasMetaDataKey(_PATIENT_ID) else ""
    return salt.hashed(identifier) if identifier else None
