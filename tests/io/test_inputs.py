from pathlib import Path

import pytest

from autoseg.case import Case, Dataset
from autoseg.errors import UsageError
from autoseg.io.inputs import find_inputs
from tests.io.make import RAMP, make_handbone, write_picture


def names(path: Path, dataset: Dataset | None = None) -> list[tuple[str, int]]:
    return [(case.name, len(case.images)) for case in find_inputs(path, dataset)]


def test_a_file(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.b.png", RAMP)
    assert find_inputs(path) == [Case(name="a.b", images=(path,))]


def test_a_folder(tmp_path: Path) -> None:
    for name in ("x10.png", "x9.jpg", ".hidden.png"):
        write_picture(tmp_path / name, RAMP)
    (tmp_path / "notes.txt").touch()
    assert names(tmp_path) == [("x9", 1), ("x10", 1)]


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
