"""--group-regex, what is remembered of it, and folds that a person wrote."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli.plan import measured
from autoseg.cli.splits import grouped, made_splits
from autoseg.errors import FileFormatError
from autoseg.fingerprint import Fingerprint
from autoseg.io.json_files import load_json, save_json
from autoseg.io.layouts import read_dataset
from autoseg.planners.folds import Fold, Splits
from autoseg.workspace import Workspace
from tests.cli.conftest import Autoseg
from tests.io.make import square, write_picture

NAMES = [f"{person}_{k}" for person in ("ann", "bob", "carla", "dan", "eve", "fred") for k in (1, 2)]
Run = Callable[..., tuple[Fingerprint, Splits]]


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Six persons with two images each."""
    rng = np.random.default_rng(0)
    for name in NAMES:
        write_picture(tmp_path / f"raw/D/imagesTr/{name}.png", rng.integers(0, 99, (6, 8), np.uint8))
        write_picture(tmp_path / f"raw/D/labelsTr/{name}.png", square())
    return Workspace(root=tmp_path)


@pytest.fixture
def run(place: Workspace) -> Run:
    """What plan_and_preprocess does before it plans."""

    def command(regex: str | None = None) -> tuple[Fingerprint, Splits]:
        raw, pattern, regrouped = grouped(place, read_dataset(place.raw / "D"), regex)
        fingerprint = measured(place, raw, 1, pattern)
        return fingerprint, made_splits(place, fingerprint, regrouped=regrouped)

    return command


def whole(splits: Splits) -> bool:
    """True if no fold validates on one image of a person alone."""
    persons = [[name.split("_")[0] for name in fold.val] for fold in splits.folds]
    return all(fold.count(person) == 2 for fold in persons for person in fold)


def test_groups_by_name_are_remembered(run: Run, place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    fingerprint, splits = run("(.+)_")
    assert fingerprint.group_regex == "(.+)_"
    assert whole(splits)
    assert splits.rule == "groups"
    assert splits.reasons["groups"] == "6 groups of cases (persons, patients), by their names (--group-regex (.+)_)"
    assert "Groups by --group-regex (.+)_ (as given): 6 groups of 12 cases" in capsys.readouterr().out
    again, same = run()
    assert (again, same) == (fingerprint, splits)
    out = capsys.readouterr().out
    assert "of an earlier run; --group-regex '' forgets it): 6 groups" in out
    assert "Fingerprint: unchanged" in out
    assert load_json(place.fingerprint_file("D"), Fingerprint) == fingerprint


def test_another_expression_deals_anew_only_if_a_group_would_be_split(
    run: Run, place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    _, single = run()
    assert not whole(single)
    _, splits = run("(.+)_")
    assert whole(splits)
    assert "the groups of cases changed, and fold" in capsys.readouterr().out
    earlier = place.splits_file("D").with_name("splits_earlier.json")
    assert load_json(earlier, Splits) == single
    _, kept = run("")  # every case by itself: folds of whole persons split nothing
    assert kept == splits
    out = capsys.readouterr().out
    assert "Groups by --group-regex (.+)_ are given up" in out
    assert "Measuring" in out
    fingerprint, kept = run("^(...)")  # the same persons under other names
    assert kept == splits
    assert {case.group for case in fingerprint.cases} == {"ann", "bob", "car", "dan", "eve", "fre"}


def test_an_edited_file_is_respected_and_warned_of(run: Run, place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    _, splits = run("(.+)_")
    edited = replace(splits, folds=(Fold(train=tuple(NAMES[1:]), val=(NAMES[0],)), Fold(train=tuple(NAMES[:6]), val=tuple(NAMES[6:]))))
    save_json(place.splits_file("D"), edited)
    capsys.readouterr()
    assert run()[1] == edited
    out = capsys.readouterr().out
    assert "Warning: fold0 splits the group ann: it trains on ann_2 and is validated on ann_1; scores" in out
    assert "fold1 splits" not in out


def test_cases_left_out_by_hand(run: Run, place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    _, splits = run()
    edited = replace(splits, folds=(Fold(train=tuple(NAMES[4:]), val=(NAMES[0],)),))
    save_json(place.splits_file("D"), edited)
    assert run()[1] == edited
    assert "Warning: no fold names ann_2, bob_1, bob_2: neither trained nor validated on" in capsys.readouterr().out


def test_a_name_that_no_case_has(run: Run, place: Workspace) -> None:
    _, splits = run()
    edited = replace(splits, folds=(Fold(train=tuple(NAMES[1:]), val=("anne_1",)),))
    save_json(place.splits_file("D"), edited)
    with pytest.raises(FileFormatError, match=r"splits\.json: its folds name cases that D does not hold: anne_1\. Mend it, or delete it"):
        run()


def test_a_class_that_an_edited_fold_does_not_train_on(run: Run, place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(place.raw / "D/labelsTr/ann_1.png", square(value=2))
    _, splits = run()
    edited = replace(splits, folds=(Fold(train=tuple(NAMES[1:]), val=(NAMES[0],)), Fold(train=(NAMES[0],), val=tuple(NAMES[1:]))))
    save_json(place.splits_file("D"), edited)
    run()
    assert "Warning: fold0 trains without class 2; fold1 trains without class 1" in capsys.readouterr().out


def test_a_data_set_that_grew_is_dealt_anew(run: Run, place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    _, splits = run("(.+)_")
    for folder in ("imagesTr", "labelsTr"):
        write_picture(place.raw / f"D/{folder}/gil_1.png", square())
    _, grown = run()
    assert "does not name the cases that the data set holds" in capsys.readouterr().out
    assert {name for fold in grown.folds for name in fold.val} == {*NAMES, "gil_1"}
    assert load_json(place.splits_file("D").with_name("splits_earlier.json"), Splits) == splits


@pytest.mark.parametrize(("regex", "said"), [("(", "is no regular expression"), ("[0-9]{4}", "matches no case of D")])
def test_one_message_and_exit_code_2(autoseg: Autoseg, place: Workspace, regex: str, said: str) -> None:
    done = autoseg("plan_and_preprocess", "-w", place.root, "--gpu", "cpu", "--group-regex", regex)
    assert done.code == 2
    assert f"--group-regex {regex}: {said}" in done.err
    assert "Case names are ann_1, ann_2, bob_1, ..." in done.err
    assert "Traceback" not in done.err
    assert not place.fingerprint_file("D").exists()


def test_an_expression_that_leaves_one_group_changes_nothing(run: Run, place: Workspace, autoseg: Autoseg) -> None:
    """It must neither cost a person's folds nor be remembered."""
    run(None)
    before = place.splits_file("D").read_bytes()
    done = autoseg("plan_and_preprocess", "-w", place.root, "--gpu", "cpu", "--group-regex", "_")
    assert done.code == 2
    assert "--group-regex _ puts all cases into one group" in done.err
    assert place.splits_file("D").read_bytes() == before
    assert not place.splits_file("D").with_name("splits_earlier.json").exists()
    again = autoseg("plan_and_preprocess", "-w", place.root, "--gpu", "cpu")
    assert again.code == 0
    assert "--group-regex" not in again.out


def test_a_remembered_expression_that_fits_no_more(run: Run, place: Workspace, autoseg: Autoseg) -> None:
    run("(.+)_")
    for name in NAMES:
        for folder in ("imagesTr", "labelsTr"):
            file = place.raw / f"D/{folder}/{name}.png"
            file.rename(file.with_name(file.name.replace("_", "-")))
    done = autoseg("plan_and_preprocess", "-w", place.root, "--gpu", "cpu")
    assert done.code == 2
    assert "The expression is an earlier run's: give another one, or --group-regex '' for none." in done.err
