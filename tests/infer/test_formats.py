"""Each format is read back by its own reader and gives the same masks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.case import Case
from autoseg.errors import UsageError
from autoseg.geometry import Geometry
from autoseg.infer.formats import FORMATS, Coco, Rle, choose_formats, parse_formats, read_segmentation
from autoseg.infer.segmentation import Segmentation
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.io.polygons import draw_class, read_polygons
from autoseg.io.probabilities import quantize, read_probabilities
from autoseg.io.rle import decode_rle
from autoseg.io.submission import read_submission
from autoseg.labels import LabelSpace
from tests.infer.plans import EXCLUSIVE, OVERLAPPING

RNG = np.random.default_rng(0)
SHAPE = (40, 30)


def make(folder: Path, name: str, labels: LabelSpace, shape: tuple[int, ...] = SHAPE) -> tuple[Case, Segmentation]:
    """A case whose image is there, and a segmentation of blobs with holes; the second class is there in part of the cases."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(shape) == 2:
        path = folder / f"{name.replace('/', '_')}.png"
        Image.fromarray(RNG.integers(0, 255, shape, np.uint8)).save(path)
    else:
        import SimpleITK as sitk

        path = folder / f"{name}.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(RNG.integers(0, 255, shape, np.uint8)), str(path))
    probabilities = RNG.random((2, *shape))
    probabilities[1] *= name != "b"
    masks = probabilities > 0.5
    array = np.where(masks[0], 7, np.where(masks[1], 300, 0)).astype(np.uint16) if labels.exclusive else masks
    segmentation = Segmentation(labels=labels, geometry=Geometry.pixels(shape), array=array, probabilities=quantize(probabilities))
    return Case(name=name, images=(path,)), segmentation


def write(name: str, out: Path, case: Case, segmentation: Segmentation) -> Path:
    kind, labels, axes = FORMATS[name], segmentation.labels, segmentation.geometry.num_axes
    path = kind.place(out, case, labels, axes)
    assert not kind.is_written(path, case, labels, axes)
    kind.write(path, case, segmentation)
    assert kind.is_written(path, case, labels, axes)
    return path


@pytest.mark.parametrize("shape", [SHAPE, (3, 8, 9)])
@pytest.mark.parametrize(("labels", "name"), [(OVERLAPPING, "masks"), (EXCLUSIVE, "masks"), (EXCLUSIVE, "map")])
def test_masks_and_maps_come_back(tmp_path: Path, labels: LabelSpace, name: str, shape: tuple[int, ...]) -> None:
    case, segmentation = make(tmp_path, "a", labels, shape)
    write(name, tmp_path / "out", case, segmentation)
    back = read_segmentation(tmp_path / "out", case, labels, len(shape))
    np.testing.assert_array_equal(back.array, segmentation.array)
    assert back.array.dtype == segmentation.array.dtype


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE])
def test_the_submission(tmp_path: Path, labels: LabelSpace) -> None:
    pairs = [make(tmp_path, name, labels) for name in ("c", "a", "b")]
    pieces = [(case, write("rle", tmp_path / "out", case, segmentation)) for case, segmentation in pairs]
    Rle().join(tmp_path / "submission.csv", pieces, labels)
    text = (tmp_path / "submission.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "image_name,class,rle"
    rows = read_submission(tmp_path / "submission.csv")
    assert [(row.image_name, row.class_name) for row in rows] == [(f"{n}.png", k) for n in "abc" for k in labels.classes]
    expected = {(case.images[0].name, name): mask for case, segmentation in pairs for name, mask in segmentation.masks()}
    for row in rows:
        np.testing.assert_array_equal(decode_rle(row.rle, SHAPE), expected[row.image_name, row.class_name])
    if not labels.exclusive:
        assert f"\nb.png,{labels.classes[1]},\n" in text  # an empty mask is an empty text


def test_handbones_polygons(tmp_path: Path) -> None:
    case, segmentation = make(tmp_path, "a/1", OVERLAPPING)
    path = write("polygons", tmp_path / "out", case, segmentation)
    assert path.name == "a%2F1.polygons.json"
    polygons = read_polygons(path)
    for name, mask in segmentation.masks():
        np.testing.assert_array_equal(draw_class(polygons, name, SHAPE), mask)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["filename"] == "a_1.png"
    assert {key for annotation in content["annotations"] for key in annotation} == {"id", "type", "attributes", "label", "points"}


def test_coco_is_read_by_our_own_layout(tmp_path: Path) -> None:
    pairs = [make(tmp_path / "images", name, OVERLAPPING) for name in "abc"]
    pieces = [(case, write("coco", tmp_path / "out", case, segmentation)) for case, segmentation in pairs]
    Coco().join(tmp_path / "coco.json", pieces, OVERLAPPING)
    dataset = read_dataset(tmp_path, layout="coco")
    assert dataset.classes == OVERLAPPING.classes
    for case, (_, segmentation) in zip(dataset.train, pairs, strict=True):
        labels = read_case(dataset, case).labels
        assert labels is not None
        np.testing.assert_array_equal(np.stack([labels.mask(k) for k in range(2)]), segmentation.array)


def test_the_coco_file_itself(tmp_path: Path) -> None:
    case, segmentation = make(tmp_path, "a", OVERLAPPING)
    mask = np.zeros(SHAPE, np.bool_)
    mask[3:7, 10:20] = True
    assert isinstance(segmentation.array, np.ndarray)
    segmentation.array[0], segmentation.array[1] = mask, False
    Coco().join(tmp_path / "coco.json", [(case, write("coco", tmp_path / "out", case, segmentation))], OVERLAPPING)
    assert json.loads((tmp_path / "coco.json").read_text(encoding="utf-8")) == {
        "categories": [{"id": 1, "name": "bright"}, {"id": 2, "name": "손/any"}],
        "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 40}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "segmentation": [[10, 3, 20, 3, 20, 7, 10, 7]], "area": 40,
                "bbox": [10, 3, 10, 4], "iscrowd": 0,
            }
        ],
    }  # fmt: skip


def test_equal_file_names_in_coco(tmp_path: Path) -> None:
    pairs = [make(tmp_path / folder, "a", OVERLAPPING) for folder in ("p1", "p2")]
    named = [(Case(name=f"{k}", images=case.images), segmentation) for k, (case, segmentation) in enumerate(pairs)]
    Coco().join(tmp_path / "coco.json", [(case, write("coco", tmp_path / "out", case, found)) for case, found in named], OVERLAPPING)
    assert [case.images for case in read_dataset(tmp_path, layout="coco").train] == [case.images for case, _ in pairs]


def test_probabilities(tmp_path: Path) -> None:
    case, segmentation = make(tmp_path, "a", OVERLAPPING)
    assert segmentation.probabilities is not None
    found = read_probabilities(write("probabilities", tmp_path / "out", case, segmentation)).astype(int)
    assert np.abs(found - segmentation.probabilities).max() <= 1
    halves = (segmentation.probabilities / 255).astype(np.float16)
    with np.load(write("npz", tmp_path / "out", case, replace(segmentation, halves=halves))) as file:
        assert file["probabilities"].dtype == np.float16
        np.testing.assert_array_equal(file["probabilities"], halves)
        assert file["classes"].tolist() == list(OVERLAPPING.classes)


@pytest.mark.parametrize(("labels", "shape"), [(OVERLAPPING, SHAPE), (EXCLUSIVE, SHAPE), (EXCLUSIVE, (3, 40, 30))])
def test_overlays(tmp_path: Path, labels: LabelSpace, shape: tuple[int, ...]) -> None:
    case, segmentation = make(tmp_path, "a", labels, shape)
    with Image.open(write("overlay", tmp_path / "out", case, segmentation)) as picture:
        assert picture.mode == "RGB"
        assert picture.width > 30
        assert picture.height >= 40


def test_names() -> None:
    assert parse_formats("masks, overlay,masks") == ("masks", "overlay")
    with pytest.raises(UsageError, match=r"--format masks,x: x is not known; there are masks, map, rle"):
        parse_formats("masks,x")
    assert all(kind.summary for kind in FORMATS.values())


def test_what_is_written_by_default() -> None:
    assert choose_formats(None, OVERLAPPING, 2, submits=True) == ("masks", "rle")
    assert choose_formats(None, OVERLAPPING, 2, submits=False) == ("masks",)
    assert choose_formats(None, EXCLUSIVE, 3, submits=True) == ("map",)
    assert choose_formats(["overlay"], EXCLUSIVE, 3, submits=True) == ("overlay",)


@pytest.mark.parametrize("name", ["rle", "polygons", "coco"])
def test_what_volumes_cannot_be(name: str) -> None:
    with pytest.raises(UsageError, match=f"--format {name}: it is for 2D images"):
        choose_formats([name], EXCLUSIVE, 3, submits=False)
