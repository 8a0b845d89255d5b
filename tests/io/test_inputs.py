from pathlib import Path

import numpy as np
import pytest

from autoseg.case import Case, Dataset
from autoseg.errors import DataError, FileFormatError, UsageError
from autoseg.io.images import read_image
from autoseg.io.inputs import find_inputs, passed_over
from autoseg.io.json_files import read_plain_json
from tests.io.make import RAMP, encoded, make_handbone, write_json, write_picture


def names(path: Path, dataset: Dataset | None = None) -> list[tuple[str, int]]:
    return [(case.name, len(case.images)) for case in find_inputs(path, dataset)]


def test_a_file(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.b.png", RAMP)
    assert find_inputs(path) == [Case(name="a.b", images=(path,))]


def test_a_folder(tmp_path: Path) -> None:
    for name in ("x10.png", "x9.jpg", ".hidden.png"):
        write_picture(tmp_path / name, RAMP)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below/table.csv").touch()
    assert names(tmp_path) == [("x9", 1), ("x10", 1)]
    assert passed_over(tmp_path, find_inputs(tmp_path)) == [tmp_path / "below/table.csv", tmp_path / "notes.txt"]
    assert passed_over(tmp_path / "x9.jpg", find_inputs(tmp_path / "x9.jpg")) == []


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.jpg"):
        write_picture(tmp_path / name, RAMP)
    with pytest.raises(UsageError, match=r"a\.jpg and a\.png are both called a,"):
        find_inputs(tmp_path)


def test_nnunet_names(tmp_path: Path) -> None:
    for name in "ab":
        for channel in range(2):
            write_picture(tmp_path / f"{name}_{channel:04d}.png", RAMP)
    assert names(tmp_path) == [("a", 2), ("b", 2)]


def test_the_data_set_tells_that_channels_are_files(tmp_path: Path) -> None:
    for channel in range(2):
        write_picture(tmp_path / f"a_{channel:04d}.png", RAMP)
    write_picture(tmp_path / "b_0000.png", RAMP)  # a channel is missing; reading says so
    train = (Case(name="c", images=(Path("c_0000.png"), Path("c_0001.png"))),)
    dataset = Dataset(name="d", root=tmp_path, layout="folders", classes=("x",), train=train)
    assert names(tmp_path, dataset) == [("a", 2), ("b", 1)]
    assert names(tmp_path) == [("a_0000", 1), ("a_0001", 1), ("b_0000", 1)]


def test_nested_folders(tmp_path: Path) -> None:
    root = make_handbone(tmp_path)
    assert names(root / "train/DCM") == [("image001_L", 1), ("image001_R", 1), ("image002_L", 1), ("image002_R", 1)]
    assert names(root / "test/DCM") == [("image040_R", 1)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no such file or folder"),
        ("empty", r"the folder holds no image \(\.png"),
        ("a.txt", "is of no known image format"),
    ],
)
def test_what_holds_no_image(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"-i .*{name}: {message}"):
        find_inputs(tmp_path / name)


def labelme(path: Path, image_path: str, data: str | None = None) -> Path:
    return write_json(path, {"shapes": [], "imagePath": image_path, "imageData": data})


@pytest.mark.parametrize("said", ["a.png", "..\\pictures\\a.png", "/home/her/a.png"])
def test_a_labelme_file_stands_for_the_image_beside_it(tmp_path: Path, said: str) -> None:
    image = write_picture(tmp_path / "a.png", RAMP)
    assert find_inputs(labelme(tmp_path / "x.json", said, "not looked at")) == [Case(name="x", images=(image,))]


def test_a_labelme_file_with_its_image_inside(tmp_path: Path) -> None:
    path = labelme(tmp_path / "x.json", "gone.png", encoded(RAMP))
    found = find_inputs(path)
    assert found == [Case(name="x", images=(path,))]
    np.testing.assert_array_equal(read_image(found[0].images).array[0], RAMP)
    labelme(tmp_path / "b/x.json", "gone.png", encoded(RAMP))
    assert names(tmp_path) == [("b_x", 1), ("x", 1)]  # a folder of such files
    write_picture(tmp_path / "c.png", RAMP)
    assert names(tmp_path) == [("c", 1)]  # where there are images, JSON files are their labels


def test_an_image_below_the_labelme_file(tmp_path: Path) -> None:
    image = write_picture(tmp_path / "pictures/a.png", RAMP)
    assert find_inputs(labelme(tmp_path / "x.json", "C:\\work\\pictures\\a.png")) == [Case(name="x", images=(image,))]


def test_a_coco_file_stands_for_its_images(tmp_path: Path) -> None:
    images = [write_picture(tmp_path / f"val/{name}.png", RAMP) for name in "ab"]
    content = {"images": [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate("ab")], "annotations": [], "categories": []}
    assert find_inputs(write_json(tmp_path / "annotations/val.json", content)) == [
        Case(name=name, images=(image,)) for name, image in zip("ab", images, strict=True)
    ]
    images[1].unlink()
    with pytest.raises(DataError, match=r"image 1: there is no image 'b\.png' in"):
        find_inputs(tmp_path / "annotations/val.json")


def test_a_coco_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "a.png", RAMP)
    content = {"images": [{"id": 0, "file_name": "a.png"}], "annotations": [], "categories": []}
    read: list[Path] = []

    def counting(path: Path) -> object:
        read.append(path)
        return read_plain_json(path)

    for module in ("coco", "inputs"):
        monkeypatch.setattr(f"autoseg.io.{module}.read_plain_json", counting)
    file = write_json(tmp_path / "all.json", content)
    assert names(file) == [("a", 1)]
    assert read == [file]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ('{"shapes": [], "imagePath": "a.png"}', UsageError, "imagePath: there is no image 'a.png' in .*, and imageData is empty"),
        ('{"shapes": [], "imagePath": ""}', UsageError, "imagePath: there is no image ''"),
        ('{"a": 1}', UsageError, "x.json: is JSON that names no image"),
        ("[1", FileFormatError, "x.json is not valid JSON"),
    ],
)
def test_json_without_an_image(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=said):
        find_inputs(tmp_path / "x.json")
