"""Small files and data sets for the tests of reading."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image

from autoseg.io.tif_regions import TifRegions

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)


def square(shape: tuple[int, ...] = (6, 8), value: int = 1) -> NDArray[np.uint8]:
    """A map with a square of 4 pixels."""
    array = np.zeros(shape, np.uint8)
    array[..., 1:3, 2:4] = value
    return array


def write_picture(path: Path, array: NDArray[Any], **options: Any) -> Path:
    """An array (y, x) or (y, x, C) in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.fromarray(array) as picture:
        picture.save(path, **options)
    return path


def write_volume(path: Path, array: NDArray[Any], *, spacing: Sequence[float] = (), origin: Sequence[float] = ()) -> Path:
    """An array (z, y, x) in the format of the suffix; spacing and origin in ITK's order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing(list(spacing) or [1.0] * array.ndim)
    image.SetOrigin(list(origin) or [0.0] * array.ndim)
    sitk.WriteImage(image, str(path))
    return path


def encoded(picture: NDArray[np.uint8]) -> str:
    """A png in base64, as LabelMe's imageData holds it."""
    stream = io.BytesIO()
    with Image.fromarray(picture) as image:
        image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def write_json(path: Path, content: object) -> Path:
    """Any content as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def make_maps(root: Path, labels: Mapping[str, int | list[int]] | None = None, *, value: int = 1, cases: int = 3) -> Path:
    """autoseg's own layout with one integer map per case: case0 .. caseN."""
    for k in range(cases):
        write_picture(root / f"imagesTr/case{k}.png", RAMP + np.uint8(k))
        write_picture(root / f"labelsTr/case{k}.png", square(value=value))
    if labels is not None:
        write_json(root / "dataset.json", {"labels": labels})
    return root


def make_masks(root: Path, classes: Sequence[str] = ("a", "b"), *, cases: int = 2) -> Path:
    """Our own layout with a mask per class, which overlap; masks of 255."""
    for k in range(cases):
        write_picture(root / f"imagesTr/case{k}.png", RAMP)
        for name in classes:
            write_picture(root / f"labelsTr/case{k}" / f"{name}.png", square(value=255))
    return root


def make_handbone(root: Path, people: Sequence[str] = ("ID001", "ID002"), classes: Sequence[str] = ("Radius", "Ulna")) -> Path:
    """The competition's files with small squares for bones: metadata of another size, a filename that ends in .jpg."""
    for person in people:
        for side in "RL":
            stem = f"image{person[-3:]}_{side}"
            write_picture(root / f"train/DCM/{person}/{stem}.png", np.stack([RAMP] * 3, -1))
            annotations = [
                {"id": str(k), "type": "poly_seg", "attributes": {}, "label": name, "points": [[2, 1], [3, 1], [3, 2], [2, 2]]}
                for k, name in enumerate(classes)
            ]
            content = {"annotations": annotations, "filename": f"{stem}.jpg", "metadata": {"width": 3060, "height": 3060}}
            write_json(root / f"train/outputs_json/{person}/{stem}.json", content)
    write_picture(root / "test/DCM/ID040/image040_R.png", np.stack([RAMP] * 3, -1))
    return root


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A rectangle as COCO's polygon."""
    return [left, top, right, top, right, bottom, left, bottom]


def make_coco(root: Path, *, harm: Mapping[str, Any] | None = None) -> Path:
    """images/x1.png, x2.png and x10.png, which nothing is annotated in; `harm` changes the first annotation."""
    for name in ("x1", "x2", "x10"):
        write_picture(root / f"images/{name}.png", RAMP)
    categories = [{"id": 5, "name": "b"}, {"id": 2, "name": "unused"}, {"id": 3, "name": "a"}]
    crowd = {"size": [6, 8], "counts": [21, 2, 4, 2, 4, 2, 13]}
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [box(0, 0, 2, 2)], "iscrowd": 0, **(harm or {})},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": crowd, "iscrowd": 1},
        {"id": 3, "image_id": 1, "category_id": 5, "segmentation": [box(1, 1, 4, 4)], "iscrowd": 0},
        {"id": 4, "image_id": 2, "category_id": 5, "segmentation": [box(1, 1, 4, 4)], "iscrowd": 0},
    ]
    images = [{"id": k, "file_name": f"x{k}.png", "width": 8, "height": 6} for k in (10, 2, 1)]
    write_json(root / "annotations/instances.json", {"images": images, "categories": categories, "annotations": annotations})
    return root


def make_labelme(root: Path, *, harm: Mapping[str, Any] | None = None) -> Path:
    """x1.json and x2.json beside their images, test/t.json; `harm` changes the first shape."""
    shapes = [
        {"label": "b2", "shape_type": "polygon", "points": [[2, 1], [5, 1], [5, 4], [2, 4]], **(harm or {})},
        {"label": "b2", "shape_type": "rectangle", "points": [[0, 0], [2, 2]]},
        {"label": "b10", "shape_type": "rectangle", "points": [[3, 2], [5, 4]]},
        {"label": "ignore", "shape_type": "rectangle", "points": [[0, 5], [8, 6]]},
    ]
    for name in ("x1", "x2", "test/t"):
        write_picture(root / f"{name}.png", RAMP)
        write_json(root / f"{name}.json", {"version": "5.5.0", "shapes": shapes, "imagePath": f"{Path(name).name}.png", "imageData": None})
    return root


def decoded(found: TifRegions) -> list[int]:
    """The numbers of the strips or tiles that are decoded from now on."""
    numbers: list[int] = []
    segments = found._segments
    original = segments.decode

    def counting(data: Any, index: int, **options: Any) -> Any:
        numbers.append(index)
        return original(data, index, **options)

    segments.decode = counting
    return numbers
