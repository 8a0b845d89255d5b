import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from autoseg import extensions
from autoseg.case import Case, Dataset
from autoseg.errors import DataError, UsageError
from autoseg.io import layouts
from autoseg.io.cases import read_case
from autoseg.io.check import check_dataset, structure_problems
from autoseg.io.layouts import LAYOUTS, read_dataset
from autoseg.io.layouts.base import Layout
from autoseg.io.layouts.handbone import HANDBONE_CLASSES
from tests.io.make import RAMP, make_handbone, make_maps, make_masks, square, write_json, write_picture, write_volume


def names(dataset: Dataset) -> list[str]:
    return [case.name for case in dataset.train]


def test_masks_without_a_description(tmp_path: Path) -> None:
    dataset = read_dataset(make_masks(tmp_path / "D", ["b10", "b9", "left%2Fright"]))
    assert (dataset.name, dataset.layout) == ("D", "folders")
    assert dataset.classes == ("b9", "b10", "left/right")
    assert (dataset.values, dataset.ignore_value, dataset.submission) == ({}, None, None)
    labels = read_case(dataset, dataset.train[0]).labels
    assert labels is not None
    assert [int(labels.mask(k).sum()) for k in range(3)] == [4, 4, 4]
    assert check_dataset(dataset).problems == ()


def test_maps_without_a_description(tmp_path: Path) -> None:
    root = make_maps(tmp_path)
    write_picture(root / "labelsTr/case1.png", square(value=3))
    assert read_dataset(root).values == {1: ("class 1",), 3: ("class 3",)}


def test_a_binary_map_of_255_is_one_class(tmp_path: Path) -> None:
    dataset = read_dataset(make_maps(tmp_path, value=255))
    assert dataset.classes == ("class 1",)
    assert dataset.values == {255: ("class 1",)}
    assert check_dataset(dataset).problems == ()


def test_described_maps(tmp_path: Path) -> None:
    root = make_maps(tmp_path)
    content = {"labels": {"background": 0, "x": 1, "y": 2, "ignore": 9}, "channel_names": ["X-ray"], "spacing": [0.5, 0.25]}
    write_json(root / "dataset.json", content | {"groups": [["case0", "case2"], ["case1"]]})
    dataset = read_dataset(root, "other")
    assert dataset.name == "other"
    assert dataset.classes == ("x", "y")
    assert (dataset.values, dataset.ignore_value) == ({1: ("x",), 2: ("y",)}, 9)
    assert (dataset.channels, dataset.spacing) == (("X-ray",), (0.5, 0.25))
    assert [case.group for case in dataset.train] == ["case0", "case1", "case0"]


def test_test_images_with_and_without_truth(tmp_path: Path) -> None:
    root = make_maps(tmp_path)
    for name in ("t10", "t9"):
        write_picture(root / f"imagesTs/{name}.png", RAMP)
    write_picture(root / "labelsTs/t9.png", square())
    dataset = read_dataset(root)
    assert [(case.name, case.truth is not None) for case in dataset.test] == [("t9", True), ("t10", False)]
    assert structure_problems(dataset) == []


def test_ignore_masks(tmp_path: Path) -> None:
    dataset = read_dataset(make_masks(tmp_path, ["a", "ignore"]))
    assert dataset.classes == ("a",)
    assert dataset.ignore_value is not None
    labels = read_case(dataset, dataset.train[0]).labels
    assert labels is not None
    assert labels.ignored().sum() == 4


def test_numbered_images_are_no_channels(tmp_path: Path) -> None:
    root = make_maps(tmp_path)
    for k in range(3):
        (root / f"imagesTr/case{k}.png").rename(root / f"imagesTr/scan_{k:04d}.png")
        (root / f"labelsTr/case{k}.png").rename(root / f"labelsTr/scan_{k:04d}.png")
    assert names(read_dataset(root)) == ["scan_0000", "scan_0001", "scan_0002"]


def make_nnunet(root: Path, labels: object, channels: int = 2) -> Path:
    for name in ("a", "b"):
        for channel in range(channels):
            write_volume(root / f"imagesTr/{name}_{channel:04d}.nii.gz", np.full((2, 4, 4), channel, np.int16))
        write_volume(root / f"labelsTr/{name}.nii.gz", np.arange(32, dtype=np.uint8).reshape(2, 4, 4) % 4)
    names = {str(k): f"channel {k}" for k in range(channels)}
    write_json(root / "dataset.json", {"channel_names": names, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"})
    return root


def test_nnunet_regions(tmp_path: Path) -> None:
    dataset = read_dataset(make_nnunet(tmp_path, {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}))
    assert dataset.classes == ("whole", "core")
    assert dataset.values == {1: ("whole",), 2: ("whole", "core")}
    assert dataset.ignore_value == 3
    assert dataset.channels == ("channel 0", "channel 1")
    loaded = read_case(dataset, dataset.train[1], 2)
    assert loaded.image[:, 0, 0, 0].tolist() == [0, 1]
    assert loaded.labels is not None
    assert [int(loaded.labels.mask(k).sum()) for k in range(2)] == [16, 8]
    assert loaded.labels.ignored().sum() == 8
    assert check_dataset(dataset, workers=2).problems == ()


def test_decathlon_labels_the_other_way_round(tmp_path: Path) -> None:
    root = make_nnunet(tmp_path, {"0": "background", "1": "x", "2": "y", "3": "z"}, channels=1)
    assert read_dataset(root).values == {1: ("x",), 2: ("y",), 3: ("z",)}


def test_a_missing_channel(tmp_path: Path) -> None:
    root = make_nnunet(tmp_path, {"background": 0, "x": 1, "y": 2, "z": 3})
    (root / "imagesTr/a_0000.nii.gz").unlink()
    (problem,) = structure_problems(read_dataset(root))
    assert problem == f"{root}/imagesTr/a: has the files a_0001.nii.gz; expected one for each channel: _0000, _0001"


def test_more_cases_announced_than_there(tmp_path: Path) -> None:
    root = make_nnunet(tmp_path, {"background": 0, "x": 1, "y": 2, "z": 3})
    shutil.rmtree(root / "imagesTr")
    write_volume(root / "imagesTr/a_0000.nii.gz", np.zeros((2, 4, 4), np.int16))
    problems = structure_problems(read_dataset(root))
    assert f"{root}/dataset.json: numTraining is 2, imagesTr holds 1 cases; are files missing?" in problems
    assert any(f"{root}/labelsTr/b.nii.gz: labels without an image" in problem for problem in problems)


def test_handbone(tmp_path: Path) -> None:
    dataset = read_dataset(make_handbone(tmp_path / "HandBone", classes=("Ulna", "Radius", "finger-10", "finger-9")))
    assert dataset.layout == "handbone"
    assert dataset.classes == ("Radius", "Ulna", "finger-9", "finger-10")
    assert dataset.submission == "rle-csv"
    assert [(case.name, case.group) for case in dataset.train][:3] == [
        *(("image001_L", "ID001"), ("image001_R", "ID001"), ("image002_L", "ID002")),
    ]
    assert [(case.name, case.group) for case in dataset.test] == [("image040_R", "ID040")]
    loaded = read_case(dataset, dataset.train[0], 1)
    assert loaded.labels is not None
    np.testing.assert_array_equal(loaded.labels.mask(3), square().astype(bool))
    assert check_dataset(dataset).problems == ()


def test_handbone_keeps_the_competitions_order(tmp_path: Path) -> None:
    assert len(HANDBONE_CLASSES) == 29
    assert read_dataset(make_handbone(tmp_path, ["ID001"], sorted(HANDBONE_CLASSES))).classes == HANDBONE_CLASSES


def test_handbone_names_that_come_twice(tmp_path: Path) -> None:
    root = make_handbone(tmp_path)
    for kind, suffix in (("DCM", "png"), ("outputs_json", "json")):
        (root / f"train/{kind}/ID002/image002_L.{suffix}").rename(root / f"train/{kind}/ID002/image001_L.{suffix}")
    assert names(read_dataset(root)) == ["ID001_image001_L", "image001_R", "ID002_image001_L", "image002_R"]


def test_handbone_missing_and_left_over_files(tmp_path: Path) -> None:
    root = make_handbone(tmp_path)
    (root / "train/outputs_json/ID001/image001_L.json").unlink()
    (root / "train/DCM/ID002/image002_R.png").unlink()
    assert structure_problems(read_dataset(root)) == [
        f"{root}/train/DCM/ID001/image001_L.png: has no labels; expected {root}/train/outputs_json/ID001/image001_L.json",
        f"{root}/train/outputs_json/ID002/image002_R.json: polygons without an image; expected {root}/train/DCM/ID002/image002_R.png",
    ]


def test_unknown_layout_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layout 'coco2' is not known; known are folders, handbone"):
        read_dataset(tmp_path, layout="coco2")
    with pytest.raises(UsageError, match="nowhere is no folder"):
        read_dataset(tmp_path / "nowhere")


def test_a_folder_of_no_layout_lists_what_each_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_dataset(tmp_path)
    assert f"{tmp_path} is empty. A data set is a folder with one of:" in str(caught.value)
    assert all(f"  {name}: {layout.needs}" in str(caught.value) for name, layout in LAYOUTS.items())


def test_masks_and_maps_side_by_side(tmp_path: Path) -> None:
    root = make_maps(tmp_path)
    write_picture(root / "imagesTr/m.png", RAMP)
    write_picture(root / "labelsTr/m/a.png", square())
    with pytest.raises(DataError, match=r"case0\.png: is a map of labels, .*labelsTr/m holds masks; say in dataset\.json"):
        read_dataset(root)


class TextLayout(Layout):
    """A layout of another package: images.txt lists the files."""

    needs = "images.txt with a file name a line"

    def recognises(self, folder: Path) -> bool:
        return (folder / "images.txt").is_file()

    def read(self, folder: Path, name: str) -> Dataset:
        lines = (folder / "images.txt").read_text(encoding="utf-8").split()
        train = tuple(Case(name=line, images=(folder / line,)) for line in lines)
        return Dataset(name=name, root=folder, layout="text", classes=("x",), train=train)


def test_another_package_adds_a_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="text", value=f"{__name__}:TextLayout", group="autoseg.layouts")
    monkeypatch.setattr(EntryPoint, "load", lambda self: TextLayout)
    monkeypatch.setattr(layouts, "installed", lambda kind: {"text": point})
    monkeypatch.setattr(extensions, "installed", lambda kind: {"text": point})
    (tmp_path / "images.txt").write_text("a.png b.png", encoding="utf-8")
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, names(dataset)) == ("text", ["a.png", "b.png"])
    assert structure_problems(dataset) == [f"{tmp_path / name}: has no labels" for name in ("a.png", "b.png")]
