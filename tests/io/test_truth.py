from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import DataError
from autoseg.geometry import Geometry
from autoseg.io.cases import read_case
from autoseg.io.images import read_image
from autoseg.io.truth import read_truth
from autoseg.labels import CodeMap
from tests.io.make import RAMP, square, write_json, write_picture, write_volume

GRID = Geometry.pixels((6, 8))


def dataset(**given: object) -> Dataset:
    settings: dict[str, object] = {"classes": ("a", "b"), "values": {1: ("a",), 2: ("b",)}}
    return Dataset(name="d", root=Path("d"), layout="folders", **(settings | given))  # type: ignore[arg-type]


def read(truth: Truth, given: Dataset | None = None, geometry: Geometry = GRID) -> CodeMap:
    return read_truth(given or dataset(), Case(name="c", images=(Path("c.png"),), truth=truth), geometry)


def map_of(path: Path) -> Truth:
    return Truth(kind="map", files=(path,))


def test_a_map(tmp_path: Path) -> None:
    array = square() + 2 * square((6, 8))[::-1, ::-1]
    labels = read(map_of(write_picture(tmp_path / "a.png", array)))
    np.testing.assert_array_equal(labels.mask(0), array == 1)
    np.testing.assert_array_equal(labels.mask(1), array == 2)


def test_regions_and_ignore(tmp_path: Path) -> None:
    array = np.array([[0, 1, 2, 3]], np.uint8)
    given = dataset(values={1: ("a",), 2: ("a", "b")}, ignore_value=3)
    labels = read(map_of(write_picture(tmp_path / "a.png", array)), given, Geometry.pixels((1, 4)))
    assert labels.mask(0).tolist() == [[False, True, True, False]]
    assert labels.mask(1).tolist() == [[False, False, True, False]]
    assert labels.ignored().tolist() == [[False, False, False, True]]


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint16])
def test_whole_numbers_of_any_dtype(tmp_path: Path, dtype: type[np.generic]) -> None:
    path = write_volume(tmp_path / "a.nii.gz", square((3, 6, 8)).astype(dtype))
    labels = read(map_of(path), geometry=read_image([path]).geometry)
    assert labels.mask(0).sum() == 12


def test_palette_indices_are_class_numbers(tmp_path: Path) -> None:
    with Pillow.fromarray(square()) as picture:
        picture.putpalette([0, 0, 0, 200, 10, 10])
        picture.save(tmp_path / "a.png")
    assert read(map_of(tmp_path / "a.png")).mask(0).sum() == 4


def test_a_grey_map_saved_as_colour(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", np.stack([square()] * 3, -1))
    assert read(map_of(path)).mask(0).sum() == 4


@pytest.mark.parametrize("value", [1, 255, 7])
def test_masks_are_binary_by_any_value(tmp_path: Path, value: int) -> None:
    paths = (write_picture(tmp_path / "b.png", square(value=value)),)
    labels = read(Truth(kind="masks", files=paths, classes=("b",)), dataset(values={}))
    assert labels.num_classes == 2
    assert labels.mask(0).sum() == 0
    assert labels.mask(1).sum() == 4


def test_masks_overlap_and_an_ignore_mask(tmp_path: Path) -> None:
    a, b = (write_picture(tmp_path / f"{name}.png", square(value=255)) for name in "ab")
    ignore = write_picture(tmp_path / "ignore.png", (RAMP < 1).astype(np.uint8) * 255)
    truth = Truth(kind="masks", files=(a, b, ignore), classes=("a", "b", "ignore"))
    labels = read(truth, dataset(values={}, ignore_value=3))
    assert (labels.mask(0) & labels.mask(1)).sum() == 4
    assert labels.ignored().sum() == 1


def test_polygons_lie_on_the_images_own_grid(tmp_path: Path) -> None:
    points = [[2, 1], [3, 1], [3, 2], [2, 2]]
    content = {"annotations": [{"label": "b", "type": "poly_seg", "points": points}], "metadata": {"width": 3060}}
    labels = read(Truth(kind="polygons", files=(write_json(tmp_path / "a.json", content),)), dataset(values={}))
    np.testing.assert_array_equal(labels.mask(1), square().astype(bool))


def problem(truth: Truth, given: Dataset | None = None, geometry: Geometry = GRID) -> str:
    with pytest.raises(DataError) as caught:
        read(truth, given, geometry)
    (message,) = caught.value.problems
    assert message.startswith(str(truth.files[0]))
    return message


def test_another_shape(tmp_path: Path) -> None:
    message = problem(map_of(write_picture(tmp_path / "a.png", square((6, 9)))))
    assert "has the shape (6, 9), its image (6, 8)" in message


def test_another_place(tmp_path: Path) -> None:
    geometry = read_image([write_volume(tmp_path / "image.nii.gz", square((3, 6, 8)), origin=(0, 0, 5))]).geometry
    message = problem(map_of(write_volume(tmp_path / "a.nii.gz", square((3, 6, 8)))), geometry=geometry)
    assert "lies elsewhere than its image: origin (0.0, 0.0, 0.0) against (0.0, 0.0, 5.0)" in message


def test_undeclared_values(tmp_path: Path) -> None:
    message = problem(map_of(write_picture(tmp_path / "a.png", RAMP)))
    assert "holds the undeclared values 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ...; declared are 0 (background), 1 (a), 2 (b)" in message


def test_a_mask_where_a_map_was_declared(tmp_path: Path) -> None:
    message = problem(map_of(write_picture(tmp_path / "a.png", square(value=255))), dataset(classes=("a",), values={1: ("a",)}))
    assert "is a mask of 0 and 255 where a map was declared: 0 (background), 1 (a); divide its values by 255, or declare" in message


def test_a_multi_hot_picture(tmp_path: Path) -> None:
    array = np.stack([square(), square()[::-1], square()], -1)
    message = problem(map_of(write_picture(tmp_path / "a.png", array)))
    assert "is an image of 3 channels that differ; labels are one channel" in message


def test_fractions(tmp_path: Path) -> None:
    message = problem(map_of(write_volume(tmp_path / "a.mha", RAMP.astype(np.float32) / 2)))
    assert "holds values that are no whole numbers" in message


def test_a_smoothed_mask(tmp_path: Path) -> None:
    message = problem(Truth(kind="masks", files=(write_picture(tmp_path / "a.png", RAMP),), classes=("a",)))
    assert "is no binary mask: it holds 48 values (0, 1, 2, 3, 4, 5, ...), expected 0 and one other" in message


def test_a_mask_of_an_undeclared_class(tmp_path: Path) -> None:
    message = problem(Truth(kind="masks", files=(write_picture(tmp_path / "z.png", square()),), classes=("z",)))
    assert "the class 'z' is not declared; declared are a, b" in message


def test_a_case_reports_image_and_labels_at_once(tmp_path: Path) -> None:
    colour = write_picture(tmp_path / "c.png", np.stack([RAMP, RAMP + 1, RAMP], -1))
    truth = map_of(write_picture(tmp_path / "l.png", RAMP))
    with pytest.raises(DataError) as caught:
        read_case(dataset(spacing=(1.0, 1.0, 1.0)), Case(name="c", images=(colour,), truth=truth), 1)
    colours, values, axes = caught.value.problems
    assert "has 3 colour channels" in colours
    assert "undeclared values" in values
    assert axes == f"{colour}: has 2 axes, and dataset.json gives a spacing of 3: [1.0, 1.0, 1.0]"


def test_a_declared_spacing_wins(tmp_path: Path) -> None:
    case = Case(name="c", images=(write_picture(tmp_path / "c.png", RAMP),))
    loaded = read_case(dataset(spacing=(0.2, 0.1)), case)
    assert loaded.labels is None
    assert (loaded.geometry.spacing, loaded.geometry.unit) == ((0.2, 0.1), "mm")
