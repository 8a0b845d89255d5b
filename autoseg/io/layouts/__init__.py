"""Layouts of raw data sets: one small reader each, in a dict, tried in order."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from autoseg.case import Dataset
from autoseg.errors import UsageError
from autoseg.io.layouts.base import Layout
from autoseg.io.layouts.coco import CocoLayout
from autoseg.io.layouts.folders import FoldersLayout
from autoseg.io.layouts.handbone import HandBoneLayout
from autoseg.io.layouts.labelme import LabelMeLayout

#: Name -> reader. Other packages add theirs, a Layout class, under the entry-point group of that name.
LAYOUTS: dict[str, Layout] = {
    "folders": FoldersLayout(),
    "handbone": HandBoneLayout(),
    "coco": CocoLayout(),
    "labelme": LabelMeLayout(),
}
ENTRY_POINTS = "autoseg.layouts"


def known_layouts() -> dict[str, Layout]:
    """The layouts of autoseg and of other installed packages; a name of autoseg's own cannot be taken."""
    others = {point.name: point.load()() for point in entry_points(group=ENTRY_POINTS) if point.name not in LAYOUTS}
    return LAYOUTS | others


def read_dataset(folder: Path, name: str | None = None, *, layout: str | None = None) -> Dataset:
    """The raw data set in a folder, in the layout it has.

    Parameters
    ----------
    folder : Path
    name : str, optional
        Its name; the folder's if not given.
    layout : str, optional
        Name of the layout; the first that recognises the folder if not given.

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
    return layouts[chosen].read(folder, name or folder.resolve().name)
