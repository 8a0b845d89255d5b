"""Groups from DICOM headers."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.case import Case
from autoseg.errors import DataError
from autoseg.io.filenames import is_dicom
from autoseg.io.series import dicom_files
from autoseg.io.volumes import read_header

_PATIENT_ID = "0010|0020"


def dicom_groups(cases: Sequence[Case]) -> dict[str, str]:
    """Case -> "patient N", numbered in order of appearance, for DICOM images with a PatientID.

    The number takes the identifier's place: no identity reaches splits.json, logs or reports.
    """
    patients: dict[str, str] = {}
    groups: dict[str, str] = {}
    for case in cases:
        if (case.images[0].is_dir() or is_dicom(case.images[0])) and (identifier := _patient_id(case)):
            groups[case.name] = patients.setdefault(identifier, f"patient {len(patients) + 1}")
    return groups


def _patient_id(case: Case) -> str:
    image = case.images[0]
    try:
        header = read_header(dicom_files(image)[0] if image.is_dir() else image)
    except DataError:
        return ""  # the check of every case names an unreadable file
    return str(header.GetMetaData(_PATIENT_ID)).strip() if header.HasMetaDataKey(_PATIENT_ID) else ""
