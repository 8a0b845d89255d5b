"""Every path is made in one place, and -d means what a person expects."""

from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.workspace import Workspace


def workspace(root: Path, *names: str) -> Workspace:
    for name in names:
        (root / "raw" / name).mkdir(parents=True)
    return Workspace(root=root)


def test_where_everything_lies() -> None:
    place = Workspace(root=Path("w"))
    assert place.raw == Path("w/raw")
    assert place.fingerprint_file("A") == Path("w/preprocessed/A/fingerprint.json")
    assert place.splits_file("A") == Path("w/preprocessed/A/splits.json")
    assert place.plan_file("A", "default") == Path("w/preprocessed/A/plans/default.json")
    assert place.store_folder("A", "key").is_relative_to("w/preprocessed/A")
    assert place.previous_folder("A", "key") == Path("w/preprocessed/A/previous/key")
    assert place.fold_folder("A", "default", "2d", "sgd", "3") == Path("w/results/A/default/2d-sgd/fold3")
    assert place.fold_folder("A", "default", "2d", "sgd", "all") == Path("w/results/A/default/2d-sgd/fold_all")
    assert place.predictions("A") == Path("w/results/A/predictions")


def test_the_only_data_set_needs_no_name(tmp_path: Path) -> None:
    place = workspace(tmp_path, "A", ".hidden")
    (tmp_path / "raw" / "notes.txt").write_text("")
    assert place.raw_names() == ("A",)
    folder, sentence = place.resolve(None)
    assert folder == tmp_path / "raw" / "A"
    assert sentence == f"data set A (the only one in {tmp_path / 'raw'})"


def test_of_several_the_one_planned_last_is_meant(tmp_path: Path) -> None:
    place = workspace(tmp_path, "B", "A")
    with pytest.raises(UsageError, match=r"holds several data sets: A, B\. Name one: -d A"):
        place.resolve(None)
    place.remember(tmp_path / "raw" / "B")
    assert place.resolve(None) == (tmp_path / "raw" / "B", "data set B (planned last)")
    (tmp_path / "raw" / "B").rmdir()
    (tmp_path / "raw" / "C").mkdir()
    with pytest.raises(UsageError, match="several data sets: A, C"):
        place.resolve(None)


def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no data set. Put one there, or name a folder: -d PATH"):
        Workspace(root=tmp_path).resolve(None)


def test_by_name_and_by_path(tmp_path: Path) -> None:
    place = workspace(tmp_path / "w", "A")
    elsewhere = tmp_path / "elsewhere" / "손 X"
    elsewhere.mkdir(parents=True)
    assert place.resolve("A") == (place.raw / "A", "data set A")
    assert place.resolve(str(elsewhere)) == (elsewhere, f"data set 손 X ({elsewhere})")
    assert place.resolve(str(place.raw / "A"))[0] == place.raw / "A"
    place.remember(elsewhere)
    assert workspace(tmp_path / "w", "B").resolve(None)[0] == elsewhere


def test_unknown_names_list_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"-d C: no such data set in .*raw and no such folder; known are A, B\."):
        workspace(tmp_path, "A", "B").resolve("C")
    with pytest.raises(UsageError, match=r"-d C: .*raw holds none\."):
        Workspace(root=tmp_path / "empty").resolve("C")


def test_a_name_taken_by_another_folder(tmp_path: Path) -> None:
    place = workspace(tmp_path, "A")
    other = tmp_path / "other" / "A"
    other.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"the name A is taken by .*raw/A, which is another folder"):
        place.resolve(str(other))
