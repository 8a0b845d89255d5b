"""What is fuzzed: a target reads one file of any bytes, and gives a value or raises an AutosegError. Anything else is a fault."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from autoseg.case import Case, Dataset, Truth, TruthKind
from autoseg.cli.options import load_plan
from autoseg.errors import AutosegError
from autoseg.geometry import Geometry
from autoseg.io.coco import encode_counts
from autoseg.io.images import read_image
from autoseg.io.json_files import load_json, to_json
from autoseg.io.layouts.dataset_json import FILE_NAME, read_description
from autoseg.io.truth import read_label_file, read_truth
from autoseg.planners.folds import Fold, Splits
from tests import small
from tests.io.dicom import write_dicom
from tests.io.make import RAMP, box, square, write_picture, write_volume

Read = Callable[[Path], object]
SHAPE = (6, 8)


def reads_or_refuses(read: Read, path: Path, data: bytes) -> None:
    """Write the bytes and read them; an error that a user can mend is an answer."""
    path.write_bytes(data)
    with contextlib.suppress(AutosegError):
        read(path)


def _truth(kind: TruthKind) -> Read:
    def read(path: Path) -> object:
        case = Case(name="x", images=(path,), truth=Truth(kind=kind, files=(path,), entry=1))
        dataset = Dataset(name="D", root=path.parent, layout="folders", classes=("a", "b"), train=(case,))
        return read_truth(dataset, case, Geometry.pixels(SHAPE))

    return read


#: Readers of JSON: name -> (file name, reader, a sound content).
JSON: dict[str, tuple[str, Read, object]] = {
    "polygons": (
        "x.json", _truth("polygons"),
        {"annotations": [{"label": "a", "type": "poly_seg", "points": [[2, 1], [5, 1], [5, 4]]}], "metadata": {"width": 3060}},
    ),
    "coco": (
        "x.json", _truth("coco"),
        {
            "images": [{"id": 1, "file_name": "x.png", "width": 8, "height": 6}],
            "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [box(0, 0, 2, 2)]},
                {"id": 2, "image_id": 1, "category_id": 2, "segmentation": {"size": [6, 8], "counts": [21, 2, 4, 2, 4, 2, 13]}},
                {"id": 3, "image_id": 1, "category_id": 2, "segmentation": encode_counts(square(SHAPE).astype(bool))},
            ],
        },
    ),
    "labelme": (
        "x.json", _truth("labelme"),
        {
            "shapes": [
                {"label": "a", "shape_type": "polygon", "points": [[2, 1], [5, 1], [5, 4]]},
                {"label": "b", "shape_type": "circle", "points": [[3, 3], [4, 3]]},
                {"label": "b", "shape_type": "rectangle", "points": [[3, 3], [4, 4]]},
                {"label": "b", "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "iVBORw0KGgo="},
            ],
            "imagePath": "x.png",
        },
    ),
    "dataset.json": (
        FILE_NAME, lambda path: read_description(path.parent),
        {
            "labels": {"background": 0, "a": 1, "b": [1, 2], "ignore": 3}, "channel_names": {"0": "CT"}, "spacing": [1, 1],
            "groups": {"c": "p"}, "file_ending": ".png", "numTraining": 3,
        },
    ),
    "splits.json": (
        "splits.json", lambda path: load_json(path, Splits),
        to_json(Splits(rule="cases", seed=0, groups=(("a",), ("b",)), folds=(Fold(train=("a",), val=("b",)),))),
    ),
    "plan": ("default.json", load_plan, to_json(small.plan())),
}  # fmt: skip

#: Readers of images: file name -> a function that writes a sound one.
IMAGES: dict[str, Callable[[Path], object]] = {
    "x.png": lambda path: write_picture(path, RAMP),
    "x.jpg": lambda path: write_picture(path, RAMP),
    "x.bmp": lambda path: write_picture(path, RAMP),
    "x.gif": lambda path: write_picture(path, RAMP),
    "x.tif": lambda path: tifffile.imwrite(path, RAMP, photometric="minisblack"),
    "x.nii": lambda path: write_volume(path, np.stack([RAMP] * 2)),
    "x.nii.gz": lambda path: write_volume(path, np.stack([RAMP] * 2)),
    "x.mha": lambda path: write_volume(path, np.stack([RAMP] * 2)),
    "x.nrrd": lambda path: write_volume(path, np.stack([RAMP] * 2)),
    "x.dcm": lambda path: write_dicom(path, RAMP),
}


def read_any(path: Path) -> None:
    """As an image and as labels."""
    with contextlib.suppress(AutosegError):
        read_image([path])
    read_label_file(path)
