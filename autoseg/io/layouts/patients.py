"""Groups from DICOM headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.case import Case
from autoseg.io.layouts.dicom_tags import DicomTags
from autoseg.io.pseudonyms import Salt


def in_patients(cases: Sequence[Case], salt: Salt, tags_of: Callable[[Path], DicomTags]) -> tuple[Case, ...]:
    """DICOM cases without a group in the one of their PatientID.

    A salted hash takes the identifier's place right here: nothing but the reading of a data set ever sees it.
    """
    return tuple(case if case.group is not None else replace(case, group=_patient_of(case, salt, tags_of)) for case in cases)


def _patient_of(case: Case, salt: Salt, tags_of: Callable[[Path], DicomTags]) -> str | None:
    identifier = tags_of(case.images[0]).patient
    return salt.hashed(identifier) if identifier else None
