"""A case: the files of one image and its truth; and the data set that they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from autoseg.geometry import Geometry
from autoseg.labels import CodeMap

TruthKind = Literal["map", "masks", "polygons", "coco", "labelme"]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Where a case's labels lie.

    Parameters
    ----------
    kind : {"map", "masks", "polygons", "coco", "labelme"}
        One integer map; one binary mask per class, free to overlap; a JSON file of HandBone's polygons, of COCO's instances for many
        images, or of LabelMe's shapes.
    files : tuple of Path
        One file, or one per class that is present.
    classes : tuple of str
        The class of each file if kind is "masks", else empty. A class without a file is absent from the case.
    entry : int or str
        The image's id if kind is "coco".
    """

    kind: TruthKind
    files: tuple[Path, ...]
    classes: tuple[str, ...] = ()
    entry: int | str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The files of one image.

    Parameters
    ----------
    name : str
        Unique in its data set; names every file made from it.
    images : tuple of Path
        One file per channel in channel order, or one file that holds all channels.
    truth : Truth or None
        None for images to predict.
    group : str or None
        Cases of one group (a person's two hands, a patient's studies) are never split between folds.
    """

    name: str
    images: tuple[Path, ...]
    truth: Truth | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A raw data set as its layout reader found it; nothing of it has been measured yet.

    Parameters
    ----------
    name, root, layout
        The data set's name, its folder and the name of the reader that understood it.
    classes : tuple of str
        Without the background, in channel order.
    values : mapping int -> tuple of str
        For integer maps: the classes each value stands for ({} if truth is given as masks or polygons). nnU-Net's regions are
        values that stand for several classes.
    ignore_value : int or None
        The value of unlabelled pixels in integer maps.
    channels : tuple of str
        Names of the image channels as declared, such as ("CT",); empty if nothing was declared.
    spacing : tuple of float or None
        Overrides what the files say, in mm, (z,) y, x.
    train, test : tuple of Case
        Labelled cases; the data set's own images to predict.
    submission : {"rle-csv"} or None
        The form of the competition's submission file that prediction writes beside the masks.
    """

    name: str
    root: Path
    layout: str
    classes: tuple[str, ...]
    values: dict[int, tuple[str, ...]] = field(default_factory=dict)
    ignore_value: int | None = None
    channels: tuple[str, ...] = ()
    spacing: tuple[float, ...] | None = None
    train: tuple[Case, ...] = ()
    test: tuple[Case, ...] = ()
    submission: Literal["rle-csv"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedCase:
    """A case in memory, as read: nothing resampled, nothing normalised; volumes in the canonical orientation (`io.orientation`).

    Parameters
    ----------
    case : Case
    image : array, shape (C, (z,) y, x)
        In the files' own dtype.
    geometry : Geometry
    labels : CodeMap or None
        None for images to predict.
    """

    case: Case
    image: NDArray[Any]
    geometry: Geometry
    labels: CodeMap | None
