"""What a data set may hold and is rarely meant to hold."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoseg.io.check import check_dataset
from autoseg.io.layouts import read_dataset
from autoseg.io.oddities import oddities
from tests.io.make import RAMP, make_maps, square, write_json, write_picture

LABELS = {"x": 1, "y": 2}


def found(root: Path) -> list[str]:
    dataset = read_dataset(root)
    return oddities(dataset, check_dataset(dataset))


def plain(root: Path, cases: int = 6) -> Path:
    """Both classes in every case."""
    make_maps(root, {"x": 1, "y": 2}, cases=cases)
    for k in range(cases):
        write_picture(root / f"labelsTr/case{k}.png", np.where(RAMP > 40, 2, square()).astype(np.uint8))
    return root


def test_an_ordinary_data_set_has_none(tmp_path: Path) -> None:
    assert found(plain(tmp_path)) == []


def constant(root: Path) -> None:
    write_picture(root / "imagesTr/case2.png", RAMP * 0 + 3)


def twice(root: Path) -> None:
    write_picture(root / "imagesTr/case3.png", RAMP)


def picture_for_testing(root: Path) -> None:
    write_picture(root / "imagesTs/other.png", RAMP + 2)


def thin(root: Path) -> None:
    write_picture(root / "imagesTr/case1.png", RAMP[:, :3])
    write_picture(root / "labelsTr/case1.png", square()[:, :3])


def empty(root: Path) -> None:
    for k in range(6):
        write_picture(root / f"labelsTr/case{k}.png", square(value=0) if k == 4 else square())


def mistyped(root: Path) -> None:
    extra = {"label": LABELS, "channels": ["a"], "training": [], "numTest": 0, "description": "", "tensorImageSize": "2D", "reference": ""}
    write_json(root / "dataset.json", {"labels": LABELS, **extra})


def single(root: Path) -> None:
    write_json(root / "dataset.json", {"labels": {**LABELS, "Y": 3}})
    write_picture(root / "labelsTr/case4.png", np.where(RAMP > 44, 3, np.where(RAMP > 40, 2, square())).astype(np.uint8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (mistyped, ["'label' is not read; is 'labels' meant?", "'channels' is not read; is 'channel_names' meant?"]),
        (constant, ["case2: all pixels have one value"]),
        (twice, ["imagesTr/case3.png: hold the same pixels; put them into one group"]),
        (picture_for_testing, ["imagesTs/other.png: hold the same pixels; a score on it says nothing"]),
        (thin, ["case1: fewer than 4 pixels high or wide"]),
        (empty, ["case4: the labels hold no class", "no case holds the class y; it cannot be learned"]),
        (single, ["only one case holds the class Y; is the name mistyped?"]),
    ],
)
def test_each_is_said_once(tmp_path: Path, change: Callable[[Path], None], said: list[str]) -> None:
    change(plain(tmp_path))
    lines = found(tmp_path)
    assert len(lines) == len(said)
    assert all(text in line for text, line in zip(said, lines, strict=True)), lines


def test_twins_of_one_group_are_meant(tmp_path: Path) -> None:
    twice(plain(tmp_path))
    write_json(tmp_path / "dataset.json", {"labels": LABELS, "groups": {"case0": "p", "case3": "p"}})
    assert found(tmp_path) == []


def test_a_class_may_be_in_a_case_that_cannot_be_read(tmp_path: Path) -> None:
    empty(plain(tmp_path))
    (tmp_path / "imagesTr/case5.png").write_bytes(b"")
    assert not any("no case holds" in line for line in found(tmp_path))
