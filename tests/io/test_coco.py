"""COCO's instances: segmentations, and data sets as tools write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.case import Dataset
from autoseg.errors import DataError
from autoseg.io.cases import read_case
from autoseg.io.check import check_dataset
from autoseg.io.coco import decode_counts, draw_segmentation, encode_counts, is_coco
from autoseg.io.layouts import read_dataset
from tests.io.make import RAMP, make_coco, write_json, write_picture


def drawn(segmentation: object, shape: tuple[int, int] = (6, 8)) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    draw_segmentation(mask, segmentation)
    return mask


def block(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((6, 8), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_polygons_count_from_the_corner() -> None:
    np.testing.assert_array_equal(drawn([[2, 1, 5, 1, 5, 4, 2, 4]]), block(1, 4, 2, 5))


def test_polygons_of_one_annotation_are_united() -> None:
    np.testing.assert_array_equal(drawn([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 4, 1, 4, 3, 1, 3]]), block(0, 2, 0, 2) | block(1, 3, 1, 4))


def test_what_lies_beyond_the_image_is_cut_off() -> None:
    np.testing.assert_array_equal(drawn([[6, 4, 20, 4, 20, 20, 6, 20]]), block(4, 6, 6, 8))


def test_plain_run_lengths_go_down_the_columns() -> None:
    np.testing.assert_array_equal(drawn({"size": [6, 8], "counts": [13, 3, 3, 3, 26]}), block(1, 4, 2, 4))


def test_compressed_run_lengths_of_the_coco_api() -> None:
    """The text is what pycocotools 2.0.11 writes of this ellipse."""
    y, x = np.mgrid[:20, :30]
    ellipse = (x - 14) ** 2 / 60 + (y - 9) ** 2 / 30 < 1
    coded = {"size": [20, 30], "counts": "c45>2N2O0O2O000000000001N101N2Nj4"}
    np.testing.assert_array_equal(decode_counts(coded, (20, 30)), ellipse)
    assert encode_counts(ellipse) == coded


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_run_lengths_come_back(share: float) -> None:
    mask = np.random.default_rng(0).random((37, 91)) < share
    np.testing.assert_array_equal(decode_counts(encode_counts(mask), (37, 91)), mask)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (None, "has no segmentation; a box alone"),
        ([], "has no segmentation"),
        ([[1, 1, 5]], "a list of numbers x, y"),
        ([["a", 1, 2, 2, 3, 3]], "a list of numbers x, y"),
        ([[1, 1, 5, 1]], "at least 3 points"),
        ([[1, 1, 3, 3, 5, 5]], "has no area"),
        ([[1, 1, 1, 1, 1, 1]], "has no area"),
        ([[10, 10, 12, 10, 12, 12]], "lies outside the image of 8x6 pixels"),
        ({"size": [8, 6], "counts": [48]}, r"of the size \[8, 6\], height and width of the image are \[6, 8\]"),
        ({"size": [6, 8], "counts": [40]}, "fill the 48 pixels, they sum to 40"),
        ({"size": [6, 8], "counts": [50, -2]}, "must be from 0 on"),
        ({"size": [6, 8], "counts": "\x01"}, "counts must be whole numbers"),
        ({"size": [6, 8], "counts": "P"}, "counts must be whole numbers"),
    ],
)
def test_bad_segmentations(segmentation: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        drawn(segmentation)


def masks(dataset: Dataset, case: int = 0) -> dict[str, NDArray[np.bool_]]:
    labels = read_case(dataset, dataset.train[case]).labels
    assert labels is not None
    return {name: labels.mask(k) for k, name in enumerate(dataset.classes)}


def test_a_data_set(tmp_path: Path) -> None:
    dataset = read_dataset(make_coco(tmp_path))
    assert (dataset.layout, dataset.classes) == ("coco", ("b", "a"))  # the file's order; nobody has annotated "unused"
    assert [(case.name, case.images) for case in dataset.train] == [(f"x{k}", (tmp_path / f"images/x{k}.png",)) for k in (1, 2, 10)]
    found = masks(dataset)
    np.testing.assert_array_equal(found["a"], block(0, 2, 0, 2) | block(3, 5, 3, 6))  # two annotations, one of them a crowd
    np.testing.assert_array_equal(found["b"], block(1, 4, 1, 4))  # overlaps the first
    assert not any(mask.any() for mask in masks(dataset, 2).values())  # an image without annotations
    assert check_dataset(dataset).problems == ()


def test_splits_of_several_files(tmp_path: Path) -> None:
    content = coco(["a.png"], ["x"])
    for split in ("train", "valid", "test"):
        write_picture(tmp_path / split / "a.png", RAMP)
        write_json(tmp_path / split / "_annotations.coco.json", content)
    dataset = read_dataset(tmp_path)
    assert [case.name for case in dataset.train] == ["train_a", "valid_a"]
    assert [case.images for case in dataset.test] == [(tmp_path / "test/a.png",)]


def test_cocos_own_folders(tmp_path: Path) -> None:
    for split in ("train2017", "val2017", "test2017"):
        write_picture(tmp_path / split / f"{split}.png", RAMP)
        write_json(tmp_path / f"annotations/instances_{split}.json", coco([f"{split}.png"], ["x"]))
    dataset = read_dataset(tmp_path)
    assert [case.name for case in dataset.train] == ["train2017", "val2017"]
    assert [case.name for case in dataset.test] == ["test2017"]


def coco(files: list[str], names: list[str], **changes: Any) -> dict[str, Any]:
    """Each image with a square of the first category."""
    square = [[2, 1, 4, 1, 4, 3, 2, 3]]
    content = {
        "images": [{"id": k, "file_name": name, "width": 8, "height": 6} for k, name in enumerate(files)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, 1)],
        "annotations": [{"id": 7 + k, "image_id": k, "category_id": 1, "segmentation": square} for k in range(len(files))],
    }
    return {**content, **changes}


@pytest.mark.parametrize(
    "name", ["/data/of/somebody/images/a.png", "C:\\data\\images\\a.png", "../images/a.png", "images/a.png", "./a.png"]
)
def test_paths_of_other_machines(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / "images/a.png", RAMP)
    write_json(tmp_path / "annotations/x.json", coco([name], ["x"]))
    assert [case.images for case in read_dataset(tmp_path).train] == [(tmp_path / "images/a.png",)]


def test_an_absolute_path_that_is_there(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "elsewhere/a.png", RAMP)
    write_json(tmp_path / "set/x.json", coco([str(path)], ["x"]))
    assert [(case.name, case.images) for case in read_dataset(tmp_path / "set").train] == [("a", (path,))]


def test_equal_names_in_two_folders(tmp_path: Path) -> None:
    for folder in ("p1", "p2"):
        write_picture(tmp_path / f"images/{folder}/a.png", RAMP)
    write_json(tmp_path / "x.json", coco(["p1/a.png", "z/p2/a.png"], ["x"]))
    dataset = read_dataset(tmp_path)
    assert [case.images[0].parent.name for case in dataset.train] == ["p1", "p2"]
    assert [case.name for case in dataset.train] == ["images_p1_a", "images_p2_a"]
    write_json(tmp_path / "x.json", coco(["a.png"], ["x"]))
    with pytest.raises(DataError, match=r"x\.json: image 0: 'a\.png' may be .*p1/a\.png or .*p2/a\.png; write the folder into the name"):
        read_dataset(tmp_path)


def test_unlabelled_pixels(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", RAMP)
    content = coco(["a.png"], ["x", "ignore"])
    content["annotations"].append({"id": 9, "image_id": 0, "category_id": 2, "segmentation": [[0, 0, 8, 0, 8, 2, 0, 2]]})
    write_json(tmp_path / "x.json", content)
    dataset = read_dataset(tmp_path)
    assert (dataset.classes, dataset.ignore_value) == (("x",), 2)
    labels = read_case(dataset, dataset.train[0]).labels
    assert labels is not None
    np.testing.assert_array_equal(labels.ignored(), block(0, 2, 0, 8))
    np.testing.assert_array_equal(labels.mask(0), block(2, 3, 2, 4))


@pytest.mark.parametrize(
    "content",
    [
        {"annotations": [], "filename": "a.jpg"},  # HandBone
        {"shapes": [], "imagePath": "a.png"},  # LabelMe
        {"images": [], "annotations": [], "categories": {}},
        {"images": [{"url": "x"}], "annotations": [], "categories": []},
        {"labels": {"x": 1}},
        [],
        None,
    ],
)
def test_other_files_are_not_taken_for_it(content: object) -> None:
    assert not is_coco(content)


def make_bad(root: Path, **changes: Any) -> Path:
    write_picture(root / "a.png", RAMP)
    return write_json(root / "x.json", coco(["a.png"], ["x"], **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"annotations": [{"id": 3, "image_id": 9, "category_id": 1}]}, "annotation 3: image_id 9 names no entry of image"),
        ({"annotations": [{"image_id": 0, "category_id": [1]}]}, "annotation at place 0: category_id [1] names no entry of category"),
        ({"annotations": [5]}, "annotation at place 0: image_id None"),
        ({"annotations": []}, "holds no annotations"),
        ({"categories": [{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]}, "two entries with 'name' have the id 1"),
        ({"categories": [{"id": 1, "name": "x"}, {"id": 2}]}, "entry 1 with 'name' needs an id and a name, got {'id': 2}"),
        ({"images": [{"id": 0, "file_name": "b.png"}]}, "image 0: there is no image 'b.png' in"),
        ({"images": [{"id": k, "file_name": "a.png"} for k in (0, 1)]}, "a.png has annotations under another id"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = make_bad(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        read_dataset(tmp_path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_all_bad_annotations_of_an_image_are_named(tmp_path: Path) -> None:
    segmentations = [[[1, 1, 3, 3, 5, 5]], None, [[2, 1, 4, 1, 4, 3]]]
    annotations = [{"id": k, "image_id": 0, "category_id": 1, "segmentation": each} for k, each in enumerate(segmentations)]
    path = make_bad(tmp_path, annotations=annotations)
    assert check_dataset(read_dataset(tmp_path)).problems == (
        f"{path}: annotation 0 ('x'): the polygon has no area: its points lie on a line",
        f"{path}: annotation 1 ('x'): has no segmentation; a box alone says nothing of the pixels in it",
    )


def test_an_image_of_another_size(tmp_path: Path) -> None:
    path = make_bad(tmp_path, images=[{"id": 0, "file_name": "a.png", "width": 6, "height": 8}])
    (problem,) = check_dataset(read_dataset(tmp_path)).problems
    assert problem == f"{path}: image 0 is 6x8 there, a.png is 8x6; was the image resized or turned after it was annotated?"
