"""Wrong data sets: each is answered by one message that names the file, and nothing is changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.io.check import check_dataset, raise_problems
from autoseg.io.layouts import read_dataset
from tests.io.dicom import write_dicom
from tests.io.make import RAMP, make_coco, make_handbone, make_labelme, make_maps, make_masks, square, write_json, write_picture

DECLARED: dict[str, int | list[int]] = {"background": 0, "x": 1}


def declared(root: Path) -> Path:
    return make_maps(root, DECLARED)


def missing_label(root: Path) -> None:
    (declared(root) / "labelsTr/case1.png").unlink()


def label_without_image(root: Path) -> None:
    (declared(root) / "imagesTr/case1.png").unlink()


def other_shape(root: Path) -> None:
    write_picture(declared(root) / "labelsTr/case1.png", square((6, 9)))


def truncated(root: Path) -> None:
    path = declared(root) / "imagesTr/case1.png"
    path.write_bytes(path.read_bytes()[:-30])


def no_bytes(root: Path) -> None:
    (declared(root) / "imagesTr/case1.png").write_bytes(b"")


def undeclared_value(root: Path) -> None:
    write_picture(declared(root) / "labelsTr/case1.png", square(value=7))


def mask_for_map(root: Path) -> None:
    write_picture(declared(root) / "labelsTr/case1.png", square(value=255))


def mixed_255(root: Path) -> None:
    write_picture(make_maps(root) / "labelsTr/case1.png", square(value=255))


def colour_for_grey(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": DECLARED, "channel_names": {"0": "X-ray"}})
    write_picture(root / "imagesTr/case1.png", np.stack([RAMP, RAMP + 1, RAMP], -1))


def multi_hot(root: Path) -> None:
    write_picture(declared(root) / "labelsTr/case1.png", np.stack([square(), square()[::-1], square()], -1))


def smoothed(root: Path) -> None:
    write_picture(make_masks(root) / "labelsTr/case1/a.png", RAMP)


def wrong_class(root: Path) -> None:
    write_json(make_masks(root) / "dataset.json", {"labels": ["a"]})


def no_json(root: Path) -> None:
    (declared(root) / "dataset.json").write_text('{"labels": {"x": 1,}}', encoding="utf-8")


def json_list(root: Path) -> None:
    write_json(declared(root) / "dataset.json", [1])


def label_no_number(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": {"x": 1.5}})


def spacing_no_list(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": DECLARED, "spacing": "1 mm"})


def negative_spacing(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": DECLARED, "spacing": [1, -1]})


def same_value(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": {"x": 1, "y": 1}})


def labels_twice(root: Path) -> None:
    write_picture(declared(root) / "labelsTr/case1/x.png", square())


def image_twice(root: Path) -> None:
    write_picture(declared(root) / "imagesTr/case1.bmp", RAMP)


def unknown_group(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": DECLARED, "groups": {"nobody": "p1"}})


def no_images(root: Path) -> None:
    (root / "imagesTr").mkdir(parents=True)


def no_labels(root: Path) -> None:
    shutil.rmtree(declared(root) / "labelsTr")


def wrong_ending(root: Path) -> None:
    write_json(declared(root) / "dataset.json", {"labels": DECLARED, "file_ending": ".nii.gz"})


def antialiased_maps(root: Path) -> None:
    gradient = np.arange(100, dtype=np.uint8).reshape(10, 10)
    write_picture(root / "imagesTr/case1.png", gradient)
    write_picture(root / "labelsTr/case1.png", gradient)


def empty_folder(root: Path) -> None:
    root.mkdir()


def photos_only(root: Path) -> None:
    write_picture(root / "case1.png", RAMP)


def link_loop(root: Path) -> None:
    path = declared(root) / "imagesTr/case1.png"
    path.unlink()
    path.symlink_to(path)


def broken_polygons(root: Path) -> None:
    (make_handbone(root) / "train/outputs_json/ID001/image001_L.json").write_text("{", encoding="utf-8")


def polygon_outside(root: Path) -> None:
    points = [[3000, 3000], [3010, 3000], [3010, 3010]]
    content = {"annotations": [{"label": "Ulna", "type": "poly_seg", "points": points}]}
    write_json(make_handbone(root) / "train/outputs_json/ID001/image001_L.json", content)


def no_polygons(root: Path) -> None:
    (make_handbone(root) / "train/outputs_json/ID001/image001_L.json").unlink()


def volume_among_images(root: Path) -> None:
    import tifffile

    (declared(root) / "imagesTr/case1.png").unlink()
    tifffile.imwrite(root / "imagesTr/case1.tif", np.stack([RAMP] * 3), photometric="minisblack")


def cut_dicom(root: Path) -> None:
    (declared(root) / "imagesTr/case1.png").unlink()
    write_dicom(root / "imagesTr/case1.dcm", RAMP, {0x7FE0_0010: RAMP.tobytes()[:40]})


def dicom_film(root: Path) -> None:
    (declared(root) / "imagesTr/case1.png").unlink()
    write_dicom(root / "imagesTr/case1", np.concatenate([RAMP, RAMP]), {0x0028_0008: "2", 0x0028_0010: 6})


def broken_coco(root: Path) -> None:
    (make_coco(root) / "annotations/instances.json").write_text('{"images": [], "annotations": [], "categories": [', encoding="utf-8")


def coco_without_image(root: Path) -> None:
    (make_coco(root) / "images/x2.png").unlink()


def coco_outside(root: Path) -> None:
    make_coco(root, harm={"segmentation": [[20, 20, 30, 20, 30, 30]]})


def coco_box_only(root: Path) -> None:
    make_coco(root, harm={"segmentation": []})


def coco_unknown_category(root: Path) -> None:
    make_coco(root, harm={"category_id": 77})


def broken_labelme(root: Path) -> None:
    (make_labelme(root) / "x1.json").write_text('{"shapes": [], "imagePath": ', encoding="utf-8")


def labelme_line(root: Path) -> None:
    make_labelme(root, harm={"shape_type": "line"})


def labelme_without_image(root: Path) -> None:
    (make_labelme(root) / "x1.png").unlink()


CASES: list[tuple[Callable[[Path], None], str, str]] = [
    (missing_label, "imagesTr/case1.png", "has no labels; expected"),
    (label_without_image, "labelsTr/case1.png", "labels without an image; expected"),
    (other_shape, "labelsTr/case1.png", "has the shape (6, 9), its image (6, 8)"),
    (truncated, "imagesTr/case1.png", "is truncated or damaged"),
    (no_bytes, "imagesTr/case1.png", "is empty (0 bytes)"),
    (undeclared_value, "labelsTr/case1.png", "holds the undeclared value 7; declared are 0 (background), 1 (x)"),
    (mask_for_map, "labelsTr/case1.png", "is a mask of 0 and 255 where a map was declared"),
    (mixed_255, "labelsTr/case1.png", "marks its class by 255"),
    (colour_for_grey, "imagesTr/case1.png", "has 3 colour channels, the data set has 1; convert it to grey"),
    (multi_hot, "labelsTr/case1.png", "is an image of 3 channels that differ"),
    (smoothed, "labelsTr/case1/a.png", "is no binary mask"),
    (wrong_class, "labelsTr/case1/b.png", "the class 'b' is not declared; declared are a"),
    (no_json, "dataset.json", "is not valid JSON"),
    (json_list, "dataset.json", "must hold an object"),
    (label_no_number, "dataset.json", "labels: 'x' must have a whole number from 0, or a list of them, got 1.5"),
    (spacing_no_list, "dataset.json", "spacing: must be a valid list"),
    (negative_spacing, "dataset.json", "spacing.1: must be greater than 0, got -1"),
    (same_value, "dataset.json", "two names share a value"),
    (labels_twice, "labelsTr/case1.png", "case case1 has labels twice"),
    (image_twice, "imagesTr/case1.png", "the name 'case1' is taken by"),
    (unknown_group, "dataset.json", "groups: there is no case 'nobody'"),
    (no_images, "imagesTr", "holds no images"),
    (no_labels, "labelsTr", "holds no labels"),
    (wrong_ending, "imagesTr", "holds no images that end in .nii.gz, as dataset.json says (file_ending); there are .png"),
    (antialiased_maps, "labelsTr/case1.png", "holds 100 values, too many for classes"),
    (empty_folder, "", "is empty. A data set is a folder with one of:"),
    (photos_only, "", "holds no data set in a known layout"),
    (link_loop, "imagesTr/case1.png", "is a link that leads nowhere"),
    (broken_polygons, "train/outputs_json/ID001/image001_L.json", "is not valid JSON"),
    (polygon_outside, "train/outputs_json/ID001/image001_L.json", "lies outside the image of 8x6 pixels"),
    (no_polygons, "train/DCM/ID001/image001_L.png", "has no labels; expected"),
    (volume_among_images, "labelsTr/case1.png", "has the shape (6, 8), its image (3, 6, 8)"),
    (cut_dicom, "imagesTr/case1.dcm", "is cut short: it holds 40 of 48 bytes of pixels"),
    (dicom_film, "imagesTr/case1", "holds 2 frames in one DICOM file"),
    (broken_coco, "annotations/instances.json", "is not valid JSON"),
    (coco_without_image, "annotations/instances.json", "image 2: there is no image 'x2.png' in"),
    (coco_outside, "annotations/instances.json", "annotation 1 ('a'): x 20 to 30, y 20 to 30 lies outside the image"),
    (coco_box_only, "annotations/instances.json", "annotation 1 ('a'): has no segmentation"),
    (coco_unknown_category, "annotations/instances.json", "annotation 1: category_id 77 names no entry of category"),
    (broken_labelme, "x1.json", "is not valid JSON"),
    (labelme_line, "x1.json", "shape 0: 'b2' is a line, which has no area"),
    (labelme_without_image, "x1.json", "imagePath: there is no image 'x1.png' in"),
]


@pytest.mark.parametrize(("make", "file", "message"), CASES, ids=[case[0].__name__ for case in CASES])
def test_one_message_names_the_file(tmp_path: Path, make: Callable[[Path], None], file: str, message: str) -> None:
    root = tmp_path / "D"
    make(root)
    before = contents(root)
    with pytest.raises(AutosegError) as caught:
        raise_problems(check_dataset(read_dataset(root)))
    text = str(caught.value)
    assert str(root / file) in text
    assert message in text
    assert caught.value.exit_code == 2
    assert contents(root) == before


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in root.rglob("*")}


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    root = tmp_path / "D"
    truncated(root)
    write_picture(root / "labelsTr/case0.png", square(value=7))
    (root / "labelsTr/case2.png").unlink()
    with pytest.raises(AutosegError, match="3 problems in the data:") as caught:
        raise_problems(check_dataset(read_dataset(root), workers=2))
    assert [name in str(caught.value) for name in ("labelsTr/case0.png", "imagesTr/case1.png", "imagesTr/case2.png")] == [True] * 3
