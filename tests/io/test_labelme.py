"""LabelMe's shapes, and data sets of them."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.errors import DataError
from autoseg.io.cases import read_case
from autoseg.io.check import check_dataset
from autoseg.io.images import read_image
from autoseg.io.labelme import is_labelme, read_labelme
from autoseg.io.layouts import read_dataset
from tests.io.make import RAMP, encoded, make_labelme, write_json, write_picture


def shape(points: object, kind: str | None = "polygon", label: str = "a", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "flags": {}, **more}


def drawn(tmp_path: Path, *shapes: object, size: tuple[int, int] = (6, 8)) -> NDArray[np.bool_]:
    mask = np.zeros(size, np.bool_)
    for region in read_labelme(write_json(tmp_path / "a.json", {"shapes": shapes, "imagePath": "a.png"}))[1]:
        region.draw(mask)
    return mask


SQUARE = [[2, 1], [5, 1], [5, 4], [2, 4]]


@pytest.mark.parametrize(
    "given",
    [
        shape(SQUARE),
        shape(SQUARE, None),
        shape([[2, 1], [5, 4]], "rectangle"),
        shape([[5, 4], [2, 1]], "rectangle"),
        shape(SQUARE, "rectangle"),
        shape([[2, 1], [4, 3]], "mask", mask=encoded(np.full((3, 3), 255, np.uint8))),
    ],
)
def test_a_square_in_many_ways(tmp_path: Path, given: dict[str, Any]) -> None:
    expected = np.zeros((6, 8), np.bool_)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(drawn(tmp_path, given), expected)


def test_a_circle(tmp_path: Path) -> None:
    y, x = np.mgrid[:40, :40] + 0.5
    found = drawn(tmp_path, shape([[20, 18], [20, 28]], "circle"), size=(40, 40))
    np.testing.assert_array_equal(found, (x - 20) ** 2 + (y - 18) ** 2 < 10**2 - 0.02)  # no centre lies nearer to the edge


def test_a_data_set(tmp_path: Path) -> None:
    dataset = read_dataset(make_labelme(tmp_path))
    assert (dataset.layout, dataset.classes, dataset.ignore_value) == ("labelme", ("b2", "b10"), 3)
    assert [(case.name, case.images) for case in dataset.train] == [(f"x{k}", (tmp_path / f"x{k}.png",)) for k in (1, 2)]
    assert [case.name for case in dataset.test] == ["t"]
    labels = read_case(dataset, dataset.train[0]).labels
    assert labels is not None
    assert [int(labels.mask(k).sum()) for k in (0, 1)] == [9 + 4, 4]  # two shapes of b2 are united, b10 lies upon them
    assert labels.ignored().sum() == 8
    assert check_dataset(dataset).problems == ()


def test_images_without_a_file_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_picture(make_labelme(tmp_path) / "new.png", RAMP)
    assert [case.name for case in read_dataset(tmp_path).train] == ["x1", "x2"]
    assert "1 images have no LabelMe file and are left out" in caplog.text


def test_files_apart_from_their_images(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png", RAMP)
    write_json(tmp_path / "labels/a.json", {"shapes": [shape(SQUARE)], "imagePath": "D:\\work\\images\\a.png"})
    assert [case.images for case in read_dataset(tmp_path).train] == [(tmp_path / "images/a.png",)]


@pytest.mark.parametrize("content", [{"shapes": {}, "imagePath": "a"}, {"shapes": []}, {"annotations": []}, [], "shapes"])
def test_other_files_are_not_taken_for_it(content: object) -> None:
    assert not is_labelme(content)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (shape([[1, 1]], "point"), "shape 0: 'a' is a point, which has no area; known are polygon, rectangle"),
        (shape("x"), "shape 0: 'a': points must be a list of [x, y]"),
        (shape(SQUARE, label=""), "shape 0: needs a label"),
        (7, "shape 0: needs a label"),
    ],
)
def test_bad_shapes(tmp_path: Path, given: object, said: str) -> None:
    path = write_json(tmp_path / "a.json", {"shapes": [given], "imagePath": "a.png"})
    with pytest.raises(DataError) as caught:
        read_labelme(path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (shape([[1, 1], [3, 3], [5, 5]]), "shape 0 ('a'): the polygon has no area"),
        (shape([[20, 20], [30, 20], [30, 30]]), "lies outside the image of 8x6 pixels"),
        (shape([[1, 1]], "circle"), "a circle has 2 points, got 1"),
        (shape([[1, 1]] * 3, "rectangle"), "a rectangle has 2 or 4 points, got 3"),
        (shape([[6, 4]], "mask", mask=encoded(np.full((3, 3), 255, np.uint8))), "its mask of 3x3 at x 6, y 4 does not fit"),
        (shape([[0, 0]], "mask", mask="%%"), "its mask cannot be read"),
        (shape([[0, 0]], "mask"), "its mask cannot be read"),
    ],
)
def test_shapes_that_cannot_be_drawn(tmp_path: Path, given: object, said: str) -> None:
    write_picture(tmp_path / "a.png", RAMP)
    path = write_json(tmp_path / "a.json", {"shapes": [given], "imagePath": "a.png"})
    (problem,) = check_dataset(read_dataset(tmp_path)).problems
    assert problem.startswith(str(path))
    assert said in problem


def test_two_files_of_one_image(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", RAMP)
    for name in "ab":
        write_json(tmp_path / f"{name}.json", {"shapes": [shape(SQUARE)], "imagePath": "a.png"})
    with pytest.raises(DataError, match=r"b\.json: .*a\.png has shapes in .*a\.json, too"):
        read_dataset(tmp_path)


def embed(root: Path, name: str, picture: NDArray[np.uint8] = RAMP) -> None:
    """Put a file's image into it, and take away the one beside it."""
    path = root / f"{name}.json"
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "imageData": encoded(picture)})
    path.with_suffix(".png").unlink()


def test_images_inside_the_files(tmp_path: Path) -> None:
    beside = read_dataset(make_labelme(tmp_path / "beside"))
    embed(make_labelme(tmp_path / "inside"), "x1")
    embed(tmp_path / "inside", "test/t")
    inside = read_dataset(tmp_path / "inside")
    assert [case.name for case in inside.train + inside.test] == ["x1", "x2", "t"]
    assert inside.train[0].images == (tmp_path / "inside/x1.json",)
    for a, b in zip(inside.train + inside.test, beside.train + beside.test, strict=True):
        found, expected = read_case(inside, a), read_case(beside, b)
        np.testing.assert_array_equal(found.image, expected.image)
        assert found.labels is not None
        assert expected.labels is not None
        np.testing.assert_array_equal(found.labels.codes, expected.labels.codes)
    assert check_dataset(inside).problems == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no base64!", "x1.json: its imageData is damaged"),
        (base64.b64encode(b"text").decode(), "x1.json: holds 4 bytes that are no image"),
        (encoded(np.zeros((600, 600), np.uint8))[:-400], "x1.json: "),
        (None, "x1.json: imagePath: there is no image 'x1.png'"),
        ("", "x1.json: imagePath: there is no image 'x1.png'"),
    ],
)
def test_an_image_inside_that_cannot_be_read(tmp_path: Path, data: str | None, message: str) -> None:
    path = make_labelme(tmp_path) / "x1.json"
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "imageData": data})
    (tmp_path / "x1.png").unlink()
    with pytest.raises(DataError) as caught:
        read_case(dataset := read_dataset(tmp_path), dataset.train[0])
    assert message in str(caught.value)


def test_json_of_another_kind_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no image: it is JSON without LabelMe's imageData"):
        read_image([write_json(tmp_path / "a.json", {"a": 1})])
