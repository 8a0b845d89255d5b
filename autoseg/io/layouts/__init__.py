"""Layouts of raw data sets: one small reader each, in a dict, tried in order."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from autoseg.case import Dataset
from autoseg.errors import UsageError
from autoseg.extensions import find, installed
from autoseg.io.layouts.base import Layout
from autoseg.io.layouts.coco import CocoLayout
from autoseg.io.layouts.dicom_tags import read_tags
from autoseg.io.layouts.folders import FoldersLayout
from autoseg.io.layouts.handbone import HandBoneLayout
from autoseg.io.layouts.labelme import LabelMeLayout
from autoseg.io.layouts.modality import dicom_channels
from autoseg.io.layouts.patients import in_patients
from autoseg.io.pseudonyms import Salt

#: Name -> reader. Other packages add theirs, a Layout class, under the entry-point group autoseg.layouts.
LAYOUTS: dict[str, Layout] = {
    "folders": FoldersLayout(),
    "handbone": HandBoneLayout(),
    "coco": CocoLayout(),
    "labelme": LabelMeLayout(),
}


def known_layouts() -> dict[str, Layout]:
    """The layouts of autoseg and of other installed packages; a name of autoseg's own cannot be taken."""
    others: dict[str, type[Layout]] = {}
    return LAYOUTS | {name: find("layouts", name, others)() for name in installed("layouts") if name not in LAYOUTS}


def read_dataset(folder: Path, name: str | None = None, *, layout: str | None = None, salt: Salt | None = None) -> Dataset:
    """The raw data set in a folder, in the layout it has.

    Parameters
    ----------
    folder : Path
    name : str, optional
        Its name; the folder's if not given.
    layout : str, optional
        Name of the layout; the first that recognises the folder if not given.
    salt : Salt, optional
        Of the workspace: makes names of patients out of DICOM's PatientID. Without one they are other names each time.

    Raises
    ------
    UsageError
        If there is no such folder or layout, or no layout fits; the message lists what each needs.
    DataError, FileFormatError
        If the data set's description cannot be understood.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; -d takes the name of a data set in raw/ or a path")
    layouts = known_layouts()
    if layout is not None and layout not in layouts:
        raise UsageError(f"layout {layout!r} is not known; known are {', '.join(layouts)}")
    chosen = layout or next((key for key, reader in layouts.items() if reader.recognises(folder)), None)
    if chosen is None:
        state = "is empty" if not any(folder.iterdir()) else "holds no data set in a known layout"
        needs = "\n".join(f"  {key}: {reader.needs}" for key, reader in layouts.items())
        raise UsageError(f"{folder} {state}. A data set is a folder with one of:\n{needs}")
    dataset = layouts[chosen].read(folder, name or folder.resolve().name)
    tags_of = cache(read_tags)  # each header once, for both
    dataset = replace(dataset, channels=dicom_channels(dataset, tags_of))
    return replace(dataset, train=in_patients(dataset.train, salt or Salt(), tags_of)) if layouts[chosen].asks_dicom(dataset) else dataset
