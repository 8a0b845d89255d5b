"""Names of channels from DICOM headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autoseg.case import Dataset
from autoseg.io.layouts.dicom_tags import DicomTags

#: Modalities whose name says what the values are (DICOM PS3.3, C.7.3.1.1.1): Hounsfield units of CT, or no scale at all of MR.
NAMED = ("CT", "MR", "PT")


def dicom_channels(dataset: Dataset, tags_of: Callable[[Path], DicomTags]) -> tuple[str, ...]:
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
        modalities = tuple(tags_of(image).modality for image in case.images)
        if any(name not in NAMED for name in modalities) or modalities != (found or modalities):
            return ()
        found = modalities
    return found
