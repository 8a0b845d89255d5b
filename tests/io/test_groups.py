"""Groups from case names, and from DICOM headers."""

from pathlib import Path

import pytest
import SimpleITK as sitk

from autoseg.case import Case, Dataset
from autoseg.errors import UsageError
from autoseg.io.groups import describe_groups, group_by_name, partition
from autoseg.io.layouts import read_dataset
from autoseg.io.pseudonyms import Salt
from tests.io.make import RAMP, make_handbone, square, write_json, write_picture


def dataset(*names: str) -> Dataset:
    cases = tuple(Case(name=name, images=(Path(f"{name}.png"),), group="declared") for name in names)
    return Dataset(name="D", root=Path("D"), layout="folders", classes=("a",), train=cases)


HANDS = dataset("ann_left", "ann_right", "bob_left", "carla")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("^[^_]+", ["ann", "ann", "bob", "carla"]),  # the whole match
        ("^(.+)_(left|right)$", ["ann", "ann", "bob", None]),  # the first group
        ("^(?:(.+)_left|.+_right)$", ["ann", "ann_right", "bob", None]),  # the first group took no part: the whole match
        ("(left|right)", ["left", "right", "left", None]),  # anywhere in the name
        ("(_?)l", ["_", None, "_", None]),  # nothing of the name is left: no group
    ],
)
def test_the_first_group_or_the_whole_match(pattern: str, expected: list[str | None]) -> None:
    assert [case.group for case in group_by_name(HANDS, pattern).train] == expected


def test_what_is_said() -> None:
    assert describe_groups(group_by_name(HANDS, "(.+)_")) == "2 groups of 3 cases; 1 more do not match and stand alone (carla)"
    assert describe_groups(group_by_name(HANDS, "^.")) == "3 groups of 4 cases"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "--group-regex (: is no regular expression (missing ), unterminated subpattern"),
        ("[0-9]+", "--group-regex [0-9]+: matches no case of D"),
        ("x*", "matches no case of D"),  # matches nothing of every name
    ],
)
def test_expressions_that_cannot_be_used(pattern: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        group_by_name(HANDS, pattern)
    assert said in str(caught.value)
    assert "Case names are ann_left, ann_right, bob_left, ..." in str(caught.value)


def test_partitions_know_no_names() -> None:
    assert partition([("a", "1"), ("b", "1"), ("c", None)]) == partition([("b", "x"), ("a", "x")])
    assert partition([("a", "1"), ("b", "1")]) != partition([("a", "1"), ("b", "2")])


def write_dicom(path: Path, patient: str) -> None:
    image = sitk.GetImageFromArray(RAMP[None])
    image.SetMetaData("0010|0020", patient)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.KeepOriginalImageUIDOn()
    writer.Execute(image)


def test_patients_of_dicom_files(tmp_path: Path) -> None:
    patients = {"a": "17 KIM", "b": "9", "c": "17 KIM", "d": "", "e": "9 "}
    for name, patient in patients.items():
        write_dicom(tmp_path / f"imagesTr/{name}.dcm", patient)
        write_picture(tmp_path / f"labelsTr/{name}.png", square())
    salt = Salt(tmp_path / "salt")
    groups = {case.name: case.group for case in read_dataset(tmp_path, salt=salt).train}
    kim, nine = salt.hashed("17 KIM"), salt.hashed("9")
    assert groups == {"a": kim, "b": nine, "c": kim, "d": None, "e": nine}
    assert partition(list(groups.items())) == {frozenset("ac"), frozenset("be")}
    others = {case.name: case.group for case in read_dataset(tmp_path).train}
    assert partition(list(others.items())) == partition(list(groups.items()))
    assert not {name for name in others.values() if name} & {kim, nine}
    write_json(tmp_path / "dataset.json", {"groups": {"a": "x", "b": "x"}})  # what a person says wins
    assert [case.group for case in read_dataset(tmp_path).train] == ["x", "x", None, None, None]


def test_a_damaged_dicom_file_has_no_patient(tmp_path: Path) -> None:
    write_dicom(tmp_path / "imagesTr/a.dcm", "1")
    (tmp_path / "imagesTr/b.dcm").write_bytes(b"\0" * 128 + b"DICM")
    for name in "ab":
        write_picture(tmp_path / f"labelsTr/{name}.png", square())
    salt = Salt(tmp_path / "salt")
    assert [case.group for case in read_dataset(tmp_path, salt=salt).train] == [salt.hashed("1"), None]


def test_person_folders_and_patients_without_one(tmp_path: Path) -> None:
    root = make_handbone(tmp_path)
    for name in ("x", "y"):
        write_dicom(root / f"train/DCM/{name}.dcm", "7")
        source = root / "train/outputs_json/ID001/image001_R.json"
        (root / f"train/outputs_json/{name}.json").write_bytes(source.read_bytes())
    salt = Salt(tmp_path / "salt")
    groups = {case.name: case.group for case in read_dataset(root, salt=salt).train}
    assert groups["x"] == groups["y"] == salt.hashed("7")
    assert (groups["image001_R"], groups["image002_L"]) == ("ID001", "ID002")
