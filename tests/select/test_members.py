"""Which runs are members, and on which cases they are compared."""

import json
import shutil
from pathlib import Path

import pytest

from autoseg.case import Case
from autoseg.errors import UsageError
from autoseg.labels import LabelSpace
from autoseg.select.members import Member, choose_cases, find_members
from autoseg.workspace import CHECKPOINT, SUMMARY
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, plant_run, tiny_plan

FOLDS = ("0", "1")
HELD_OUT = {"0": ("a", "b"), "1": ("c",)}
CASES = [Case(name=name, images=()) for name in "abc"]


def plant_other(results: Path, name: str, labels: LabelSpace = OVERLAPPING, *folds: str) -> None:
    """results/NAME/2d-default"""
    plant_run(results.parent / "elsewhere" / name, tiny_plan(labels), *(folds or FOLDS)).parent.rename(results / name)


def test_finished_runs_are_members_and_others_are_named(tmp_path: Path) -> None:
    results = tmp_path / "results"
    plant_run(results, tiny_plan(OVERLAPPING), *FOLDS)
    plant_other(results, "wide")
    plant_other(results, "half", OVERLAPPING, "0")
    plant_run(tmp_path / "results/predictions", tiny_plan(OVERLAPPING), *FOLDS)
    members, left_out = find_members(results, FOLDS)
    assert [member.name for member in members] == ["default/2d-default", "wide/2d-default"]
    assert left_out == {"half/2d-default": "1 of 2 folds not finished (1)"}
    assert members[0].checkpoints()["1"] == results / "default/2d-default/fold1" / CHECKPOINT
    members, left_out = find_members(results, FOLDS, ["wide/2d-default"])
    assert [member.name for member in members] == ["wide/2d-default"]
    assert left_out["default/2d-default"] == "not among --members"


def test_a_copy_of_a_fold_is_no_member_s(tmp_path: Path) -> None:
    run = plant_run(tmp_path, tiny_plan(OVERLAPPING), *FOLDS)
    shutil.copytree(run / "fold1", run / "fold1_old")
    shutil.copytree(run / "fold1", run.with_name("2d-kept") / "fold1_old")
    (member,), left_out = find_members(tmp_path, FOLDS)
    assert (list(member.folds), left_out) == (list(FOLDS), {})


def test_what_cannot_be_a_member_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Train first: autoseg train 2d fold0\.\.4"):
        find_members(tmp_path / "nothing", FOLDS)
    results = tmp_path / "results"
    run = plant_run(results, tiny_plan(OVERLAPPING), *FOLDS)
    (run / "fold1" / SUMMARY).unlink()
    with pytest.raises(UsageError, match=r"1 of 2 folds not finished \(1\)\. Finish it: autoseg train 2d fold0\.\.4\."):
        find_members(results, FOLDS)
    with pytest.raises(UsageError, match=r"--members default/2d-default: 1 of 2 folds not finished"):
        find_members(results, FOLDS, ["default/2d-default"])
    with pytest.raises(UsageError, match=r"--members: 2d is not trained; there are default/2d-default"):
        find_members(results, FOLDS, ["2d"])


def test_folds_of_different_plans_are_no_member(tmp_path: Path) -> None:
    results = tmp_path / "results"
    plant_run(results, tiny_plan(OVERLAPPING), "0")
    plant_run(results, tiny_plan(OVERLAPPING, patch=32), "1")
    with pytest.raises(UsageError, match=r"fold1.*another plan than the folds before it \(patch .*: autoseg train 2d fold1 --restart\."):
        find_members(results, FOLDS)
    plant_other(results, "wide")
    members, left_out = find_members(results, FOLDS)
    assert ([member.name for member in members], list(left_out)) == (["wide/2d-default"], ["default/2d-default"])
    with pytest.raises(UsageError, match=r"--members default/2d-default: .*another plan"):
        find_members(results, FOLDS, ["default/2d-default"])


def test_folds_of_different_splits_are_no_member(tmp_path: Path) -> None:
    results, dealt = tmp_path / "results", {"0": "new0", "1": "new1"}
    run = plant_run(results, tiny_plan(OVERLAPPING), *FOLDS)

    def note(fold: str, **record: str) -> None:
        (run / f"fold{fold}/run.json").write_text(json.dumps(record), encoding="utf-8")

    # No record, a record that fits, and a whole run of earlier splits: which of its cases can be judged is seen case by case.
    for zero, one in ((("d", "new0"), ("d", "new1")), (("c", "old0"), ("c", "old1"))):
        assert len(find_members(results, FOLDS, dealt=dealt)[0]) == 1
        for fold, (data, cases) in (("0", zero), ("1", one)):
            note(fold, fingerprint=data, cases=cases)
    assert len(find_members(results, FOLDS, dealt=dealt)[0]) == 1
    note("1", fingerprint="d", cases="new1")
    with pytest.raises(UsageError, match=r"fold 0 was trained on other cases .* Train it again: autoseg train 2d fold0 --restart\."):
        find_members(results, FOLDS, dealt=dealt)
    note("1", fingerprint="b", cases="older1")
    with pytest.raises(UsageError, match=r"folds 0, 1 were trained on other cases .* them again: autoseg train 2d fold0,1 --restart\."):
        find_members(results, FOLDS, dealt=dealt)


def test_members_of_other_classes_are_refused(tmp_path: Path) -> None:
    results = tmp_path / "results"
    plant_run(results, tiny_plan(OVERLAPPING), *FOLDS)
    plant_other(results, "maps", EXCLUSIVE)
    with pytest.raises(UsageError, match=r"default/2d-default and maps/2d-default have other classes: middle, 손/any in one of them only"):
        find_members(results, FOLDS)


@pytest.mark.parametrize(
    "labels",
    [
        LabelSpace(classes=OVERLAPPING.classes[::-1], exclusive=False),
        LabelSpace(classes=OVERLAPPING.classes, exclusive=True, values=(1, 2)),
    ],
)
def test_the_same_classes_in_another_order_or_exclusive_are_other_classes(tmp_path: Path, labels: LabelSpace) -> None:
    plant_run(tmp_path / "results", tiny_plan(OVERLAPPING), *FOLDS)
    plant_other(tmp_path / "results", "other", labels)
    with pytest.raises(UsageError, match=r"have other classes: in another order, or exclusive in one of them only.*--members"):
        find_members(tmp_path / "results", FOLDS)
    members, _ = find_members(tmp_path / "results", FOLDS, ["other/2d-default"])
    assert members[0].labels == labels


def member(folder: Path, name: str, stored: dict[str, str]) -> Member:
    """With empty files of probabilities: case -> fold."""
    made = Member(name=name, folds={fold: folder / name / f"fold{fold}" for fold in FOLDS}, labels=OVERLAPPING)
    for case, fold in stored.items():
        made.stored(fold, case).parent.mkdir(parents=True, exist_ok=True)
        made.stored(fold, case).touch()
    return made


def test_cases_that_all_members_predicted(tmp_path: Path) -> None:
    one, two = member(tmp_path, "p/one", {"a": "0", "b": "0", "c": "1"}), member(tmp_path, "p/two", {"a": "0", "c": "1"})
    judged, left_out = choose_cases([one, two], HELD_OUT, CASES)
    assert [(found.case.name, found.fold) for found in judged] == [("a", "0"), ("c", "1")]
    assert judged[0].files == (one.stored("0", "a"), two.stored("0", "a"))
    assert list(left_out) == ["b"]
    assert str(two.stored("0", "b")) in left_out["b"]
    _, left_out = choose_cases([one], HELD_OUT, CASES[:2])
    assert left_out == {"c": "is no training case of the data set any more"}


def test_other_folds_are_refused(tmp_path: Path) -> None:
    one, two = member(tmp_path, "p/one", {"a": "0", "b": "0", "c": "1"}), member(tmp_path, "p/two", {"a": "1", "b": "0", "c": "1"})
    with pytest.raises(UsageError, match=r"p/two was trained with other folds.*a is held out by fold 1 there, by fold 0 here"):
        choose_cases([one, two], HELD_OUT, CASES)


def test_no_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no case on which p/one can be judged: .*a\.prob is missing"):
        choose_cases([member(tmp_path, "p/one", {})], HELD_OUT, CASES)
