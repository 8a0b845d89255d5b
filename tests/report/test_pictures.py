"""What a browser gets of a case."""

import base64
import io
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from autoseg.case import Case, Dataset
from autoseg.evaluate.predictions import find_predictions
from autoseg.io.layouts import read_dataset
from autoseg.labels import CodeMap
from autoseg.report.pictures import EDGE, IGNORED, SLICE_EDGE, SLICES, Wish, as_picture, draw_case, pack, sample_grid, window
from tests.io.dicom import write_series
from tests.io.make import write_json, write_volume
from tests.report.make import CASES, SIZE, make_raw, predicted, truth, write_masks


def unpack(packed: dict[str, object], size: list[int], k: int) -> NDArray[np.bool_]:
    """The mask of a class, as the page's script finds it."""
    codes, table = packed["codes"], packed["table"]
    assert isinstance(codes, str)
    assert isinstance(table, list)
    raw = np.frombuffer(zlib.decompress(base64.b64decode(codes)), np.uint8 if packed["bytes"] == 1 else np.dtype("<u2"))
    return np.asarray(np.array([k in members for members in table], np.bool_)[raw].reshape(size))


def decode(url: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("L"))


def test_masks_arrive_as_they_are(tmp_path: Path) -> None:
    dataset = read_dataset(make_raw(tmp_path / "raw"))
    write_masks(tmp_path / "out" / CASES[0], predicted())
    (prediction,) = find_predictions(tmp_path / "out")
    drawn = draw_case(Wish(dataset=dataset, case=next(case for case in dataset.train if case.name == CASES[0]), prediction=prediction))
    assert not isinstance(drawn, str), drawn
    assert (drawn["size"], drawn["slices"], drawn["aspect"]) == ([1, SIZE, SIZE], [0], 1.0)
    order = [dataset.classes.index(name) for name in ("a & b", next(name for name in dataset.classes if name != "a & b"))]
    for key, masks in (("truth", truth()), ("pred", predicted())):
        for k, mask in zip(order, masks, strict=True):
            np.testing.assert_array_equal(unpack(drawn[key], drawn["size"], k)[0], mask)


def test_without_a_prediction_or_a_truth(tmp_path: Path) -> None:
    dataset = read_dataset(make_raw(tmp_path / "raw"))
    drawn = draw_case(Wish(dataset=dataset, case=dataset.test[0], prediction=None))
    assert not isinstance(drawn, str)
    assert (drawn["truth"], drawn["pred"]) == (None, None)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    dataset = read_dataset(make_raw(tmp_path / "raw"))
    dataset.train[1].images[0].write_bytes(b"no picture")
    said = draw_case(Wish(dataset=dataset, case=dataset.train[1], prediction=None))
    assert isinstance(said, str)
    assert dataset.train[1].name in said


def test_volumes_are_slices_with_their_aspect(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    image, labels = np.zeros((6, 10, 20), np.uint8), np.zeros((6, 10, 20), np.uint8)
    image[:, :, 10:] = 200
    labels[2, 3:7, 4:9] = 1
    write_volume(root / "imagesTr/v.nii.gz", image, spacing=(1.0, 3.0, 2.0))
    write_volume(root / "labelsTr/v.nii.gz", labels, spacing=(1.0, 3.0, 2.0))
    write_json(root / "dataset.json", {"labels": {"background": 0, "it": 1}})
    dataset = read_dataset(root)
    drawn = draw_case(Wish(dataset=dataset, case=dataset.train[0], prediction=None))
    assert not isinstance(drawn, str), drawn
    assert (drawn["size"], drawn["slices"], drawn["aspect"], drawn["columns"]) == ([6, 10, 20], [0, 1, 2, 3, 4, 5], 3.0, 3)
    sheet = decode(drawn["image"])
    assert sheet.shape == (20, 60)
    assert np.all(np.abs(sheet[10:, 20:40].astype(int) - np.repeat([0, 255], 10)) < 20)  # slice 4 of 3 columns; lossy
    mask = unpack(drawn["truth"], drawn["size"], 0)
    assert mask.sum() == 20
    assert mask[2, 3:7, 4:9].all()


def test_a_kept_picture_is_of_the_files_and_values_as_they_are(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", np.zeros((3, 4, 5), np.uint16))
    dataset = Dataset(name="Lungs", root=tmp_path, layout="nnunet", classes=("lung",), values={1: ("lung",)})
    wish = Wish(dataset=dataset, case=Case(name="ct", images=(folder,)), prediction=None, kept=tmp_path / "kept")
    first = wish.file()
    assert first == wish.file()
    assert first != replace(wish, dataset=replace(dataset, ignore_value=2)).file()
    os.utime(folder / "IM0002", ns=(1, 1))  # a slice that is written anew in place leaves the folder's own time as it is
    assert first != wish.file()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 100, 50), [1, 100, 50]),
        ((1, 4 * EDGE, 2 * EDGE), [1, EDGE, EDGE // 2]),
        ((2 * SLICES, 2 * SLICE_EDGE, 3), [SLICES, SLICE_EDGE, 2]),
    ],
)
def test_what_is_shown_fits(shape: tuple[int, ...], expected: list[int]) -> None:
    grid = sample_grid(shape)
    assert [len(index) for index in grid] == expected
    for index, n in zip(grid, shape, strict=True):
        assert index[0] >= 0
        assert index[-1] < n
        # As far from one end as from the other, to the pixel.
        assert abs(index[0] - (n - 1 - index[-1])) <= 1


def test_many_sets_need_two_bytes_and_unlabelled_pixels_are_told() -> None:
    codes = np.arange(400, dtype=np.uint16).reshape(20, 20)
    table = np.unpackbits(np.arange(400, dtype=">u2").view(np.uint8).reshape(400, 2), axis=1).astype(bool)
    table[399] = False
    ignore = np.arange(400) == 399
    packed = pack(CodeMap(codes, table, ignore), sample_grid((1, 20, 20)))
    assert packed["bytes"] == 2
    assert packed["table"][399] == [IGNORED]
    np.testing.assert_array_equal(unpack(packed, [20, 20], 15), (codes % 2 == 1) & (codes < 399))


def test_colours_stay_and_grey_is_cut_at_its_percentiles() -> None:
    colours = np.zeros((3, 1, 16, 16), np.uint8)
    colours[0] = 250
    sheet, _ = as_picture(colours, sample_grid((1, 16, 16)))
    with Image.open(io.BytesIO(sheet)) as picture:
        red, green, blue = np.asarray(picture.convert("RGB")).reshape(-1, 3).mean(axis=0)
    assert red > 235
    assert max(green, blue) < 20
    assert window(np.array([0] * 5 + [10] * 2000 + [20] * 2000 + [9999] * 5)) == (10, 20)
    low, high = window(np.full((4, 4), 7.0))
    assert low == 7
    assert high > low
