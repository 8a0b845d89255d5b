"""Every path is made in one place, and -d means what a person expects."""

import os
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.workspace import Workspace, fold_folders, run_folders


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


def test_what_a_plan_left_is_not_mistaken_for_anothers(tmp_path: Path) -> None:
    place = Workspace(root=tmp_path)
    place.preprocessed("A").mkdir(parents=True)
    names = ("plan_a[1]_earlier_2", "plan_a[1]_earlier", "plan_a[1]_earlier_b_earlier", "plan_a1_earlier", "plan_b_earlier")
    for age, name in enumerate(names):
        file = place.preprocessed("A") / f"{name}.json"
        file.write_text("{}", encoding="utf-8")
        os.utime(file, (1000 - age, 1000 - age))
    assert place.earlier_plan_file("A", "a[1]").is_file()
    assert [file.stem for file in place.earlier_plan_files("A", "a[1]")] == ["plan_a[1]_earlier_2", "plan_a[1]_earlier"]
    assert place.earlier_plan_files("A", "a") == []


def test_folds_and_the_runs_that_hold_them(tmp_path: Path) -> None:
    results = Workspace(root=tmp_path).results("A")
    for path in (
        "default/2d-sgd/fold_all",
        "default/2d-sgd/fold1",
        "default/2d-sgd/fold1_old",
        "default/2d-kept/fold_0",
        "default/2d/fold0",
    ):
        (results / path).mkdir(parents=True)
    (results / "default/2d-sgd/fold2").touch()
    assert [path.name for path in fold_folders(results / "default/2d-sgd")] == ["fold1", "fold_all"]
    assert run_folders(results) == [results / "default/2d-sgd"]
    assert (fold_folders(results / "none"), run_folders(results / "none")) == ([], [])


def test_what_a_shown_command_needs_to_mean_a_data_set(tmp_path: Path) -> None:
    place = workspace(tmp_path, "left hand")
    (tmp_path / "else where/B").mkdir(parents=True)
    assert place.options(tmp_path / "raw/left hand") == f" -d 'left hand' -w {tmp_path}"
    assert place.options(tmp_path / "else where/B") == f" -d '{tmp_path}/else where/B' -w {tmp_path}"
    assert Workspace(root=Path()).options(Path("raw/gone")) == " -d gone"  # known by its results alone


def test_a_shown_command_names_a_data_set_that_it_would_not_mean_by_itself(tmp_path: Path) -> None:
    place, b = workspace(tmp_path, "A", "B"), tmp_path / "raw/B"
    assert place.fewest_options(b) == f" -d B -w {tmp_path}"  # of two that were never planned none is meant
    place.remember(b)
    assert place.fewest_options(b) == f" -w {tmp_path}"
    assert place.fewest_options(tmp_path / "raw/A") == f" -d A -w {tmp_path}"
    (tmp_path / "raw/A").rmdir()
    (tmp_path / "else where").mkdir()
    assert place.fewest_options(b) == f" -w {tmp_path}"
    assert place.fewest_options(tmp_path / "else where") == f" -d '{tmp_path}/else where' -w {tmp_path}"


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
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"-d C: .*raw holds none\."):
        Workspace(root=tmp_path / "empty").resolve("C")


def test_a_name_taken_by_another_folder(tmp_path: Path) -> None:
    place = workspace(tmp_path, "A")
    other = tmp_path / "other" / "A"
    other.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"the name A is taken by .*raw/A, which is another folder"):
        place.resolve(str(other))


def test_a_workspace_that_is_missing_is_named(tmp_path: Path) -> None:
    place = Workspace(root=tmp_path / "nowhere")
    for given in (None, "A"):
        with pytest.raises(UsageError, match=r"the workspace .*nowhere does not exist"):
            place.resolve(given)
    (tmp_path / "elsewhere").mkdir()
    assert place.resolve(str(tmp_path / "elsewhere"))[0] == tmp_path / "elsewhere"


def test_the_one_planned_last_is_named_as_d_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workspace(tmp_path, "A", "B")
    (tmp_path / "data").mkdir()
    (tmp_path / "raw/Linked").symlink_to(tmp_path / "data")
    place = Workspace(root=Path())
    for name in ("B", "Linked"):
        place.remember(Path("raw") / name)
        assert place.resolve(None) == (Path("raw") / name, f"data set {name} (planned last)")
