"""autoseg status and clean, as a user types them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from autoseg.errors import RunError
from autoseg.io.locks import locked
from autoseg.preprocess.readers import reading
from autoseg.standing.live import Live, write_live
from autoseg.workspace import CHECKPOINT, LOCK, Workspace
from tests.cli.conftest import Autoseg
from tests.trainers.make import NAME, plan_and_prepare


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planned and prepared; no net, which the commands never read."""
    root = tmp_path_factory.mktemp("status")
    plan_and_prepare(root)
    return root


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    shutil.copytree(trained, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return Workspace(root=Path())


def fold(place: Workspace, number: int) -> Path:
    folder = place.fold_folder(NAME, "default", "2d", "default", str(number))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_who_plans_or_cleans_is_named(autoseg: Autoseg, place: Workspace) -> None:
    with locked(place.preprocessed(NAME) / LOCK, "planned, prepared or cleaned"):
        said = autoseg("status").out
    assert f"plan_and_preprocess or clean, process {os.getpid()}" in said
    assert said.splitlines()[-1].endswith("plans and prepares, or cleans; autoseg status shows how it goes")


def test_a_training_seen_from_another_window(autoseg: Autoseg, place: Workspace) -> None:
    trained = autoseg("train", "2d", 0, "--epochs", 1, "--iterations-per-epoch", 1)
    assert trained.code == 0
    rest = "autoseg train 2d fold1..4 --epochs 1 --iterations-per-epoch 1"
    assert trained.out.splitlines()[-1] == f"Next: autoseg predict (or first the other folds: {rest})"
    chosen = autoseg("select")
    assert chosen.code == 2
    assert chosen.err.splitlines()[-1].endswith(f"Finish it: {rest}.")
    write_live(fold(place, 1), Live(doing="training", share=0.43, left_s=750))
    (fold(place, 1) / CHECKPOINT).touch()
    write_live(fold(place, 2), Live(doing="failed", share=0.2, why="the disk is full"))
    write_live(fold(place, 3), Live(doing="training", share=0.1))
    with locked(fold(place, 1) / ".lock", "trained"):
        done = autoseg("status")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith(f"Data set {NAME} (the only one in")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines if line.startswith("  fold")}
    assert rows["fold0"][0] == "done"
    assert rows["fold0"][1].startswith("Dice 0.")
    assert rows["fold1"][0] == "running"
    assert rows["fold1"][1].startswith("training 43%, 12 min 30 s left for its command, process ")
    assert rows["fold2"] == ["failed", "at 20%, the disk is full"]
    assert rows["fold3"][0] == "killed"
    assert rows["fold4"] == ["not", "begun"]
    assert "10 of 10 cases prepared" in done.out
    assert "Disk: raw " in done.out
    assert lines[-1] == "Next: the training is on its way; autoseg status shows how it goes"
    expected = f"Next: {rest.replace('1..4', '1..3')} -d {NAME}   (goes on where it stopped; begins anew"
    assert autoseg("status").out.splitlines()[-1].startswith(expected)
    assert "nothing was saved yet" in next(line for line in autoseg("status").out.splitlines() if line.startswith("  fold3"))


def test_for_programs(autoseg: Autoseg, place: Workspace) -> None:
    write_live(fold(place, 1), Live(doing="stopped", share=0.5))
    found = json.loads(autoseg("status", "--json").out)
    assert found["runs"]["default/2d-default"]["1"]["state"] == "stopped"
    assert found["plans"] == {"default": {"2d": 10}}
    assert found["bytes"]["raw"] > 0
    assert found["next"] == f"autoseg train 2d fold1 -d {NAME}"


def test_before_anything_was_done(autoseg: Autoseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw" / "Empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    done = autoseg("status")
    assert done.code == 0
    assert "Cannot be read: " in done.out
    assert "Next: autoseg plan_and_preprocess -d Empty" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_clean_says_how_much_and_asks(autoseg: Autoseg, place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    unused = place.store_folder(NAME, "0123456789abcdef") / "case0" / "image.b2nd"
    unused.parent.mkdir(parents=True)
    unused.write_bytes(b"x" * 5_000)
    done = autoseg("clean", "--dry-run")
    assert done.code == 0
    assert "5.0 KB  prepared cases that no plan uses" in done.out
    assert "kept; --prepared deletes them" in done.out
    assert "nothing was deleted; 5.0 KB would be free" in done.out
    done = autoseg("clean")  # nobody at the keyboard
    assert done.code == 2
    assert "-y deletes without asking" in done.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda text: False)
    assert "Nothing was deleted." in autoseg("clean").out
    assert unused.is_file()
    assert "5.0 KB freed." in autoseg("clean", "--yes").out
    assert not unused.parent.parent.exists()
    assert "Nothing to delete." in autoseg("clean", "--yes").out


def test_clean_does_not_read_the_raw_data(autoseg: Autoseg, place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.standing.dataset.read_dataset", None)
    done = autoseg("clean", "--prepared", "--yes")
    assert done.code == 0, done.err
    assert "freed." in done.out


def test_prepared_cases_go_when_asked_and_come_back(autoseg: Autoseg, place: Workspace) -> None:
    done = autoseg("clean", "--prepared", "--yes")
    assert done.code == 0, done.err
    assert "2d: 0 of 10 cases prepared" in autoseg("status").out
    assert autoseg("train", "2d", 0, "--epochs", 1).code == 2  # and says what to do
    done = autoseg("plan_and_preprocess", "-d", NAME, "--gpu", "cpu", "--workers", 1)
    assert done.code == 0, done.err
    assert "2d: 10 of 10 cases prepared" in autoseg("status").out


@pytest.mark.parametrize("name", ["..", ".", "../w", "raw", "/"])
def test_a_path_is_no_name_of_results(autoseg: Autoseg, place: Workspace, name: str) -> None:
    (place.root / "results").mkdir(exist_ok=True)
    done = autoseg("clean", "-d", name, "--yes")
    assert done.code == 2
    assert f"-d {name}: nothing in this workspace was made from " in done.err
    assert f"{NAME}" in done.err
    assert "Nothing to delete." not in done.out
    assert "its results; the data themselves are not here" not in done.out


def test_cases_that_a_training_reads_stay(autoseg: Autoseg, place: Workspace) -> None:
    (store,) = (place.preprocessed(NAME) / "cases").iterdir()
    with reading(store, "default/2d-default/fold0"):
        done = autoseg("clean", "--prepared", "--yes")
    assert done.code != 0
    assert "default/2d-default/fold0 (process " in done.err
    assert "which are to be deleted. Wait until it has ended" in done.err
    assert "prepared again" not in done.err
    assert "10 of 10 cases prepared" in autoseg("status").out


def test_a_training_that_begins_while_the_question_waits_is_refused(
    autoseg: Autoseg, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store,) = (place.preprocessed(NAME) / "cases").iterdir()

    def answer(text: str) -> bool:
        with pytest.raises(RunError, match="are being prepared again by"), reading(store, "default/2d-default/fold0"):
            pass
        return True

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", answer)
    assert autoseg("clean", "--prepared").code == 0
    assert "0 of 10 cases prepared" in autoseg("status").out


def test_nothing_is_cleaned_under_a_training(autoseg: Autoseg, place: Workspace) -> None:
    with locked(fold(place, 1) / ".lock", "trained"):
        done = autoseg("clean", "--prepared", "--yes")
    assert done.code != 0
    assert "default/2d-default/fold1 (process " in done.err
    assert "2d: 10 of 10 cases prepared" in autoseg("status").out


def last_line(autoseg: Autoseg) -> str:
    done = autoseg("status")
    assert done.code == 0, done.err
    return done.out.splitlines()[-1]


def test_a_broken_plan_is_shown_in_full_and_mended_first(autoseg: Autoseg, place: Workspace) -> None:
    file = place.plan_file(NAME, "default")
    file.write_text(file.read_text(encoding="utf-8").replace('"num_axes"', '"axes"'), encoding="utf-8")
    lines = autoseg("status").out.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("Cannot be read: "))
    assert lines[at].endswith("is damaged or was edited wrongly:")
    assert "    axes: unknown key" in lines[at + 1 : -1]
    assert lines[-1] == f"Next: mend {file} (see above), or delete it and run autoseg plan_and_preprocess -d {NAME} again"


def test_a_plan_whose_parts_contradict_each_other_is_mended_first(autoseg: Autoseg, place: Workspace) -> None:
    file = place.plan_file(NAME, "default")
    file.write_text(file.read_text(encoding="utf-8").replace('"in_channels": 1', '"in_channels": 7'), encoding="utf-8")
    done = autoseg("status")
    assert f"Cannot be read: {file} was edited wrongly:\n    stages.2d: network.in_channels must be" in done.out
    assert done.out.splitlines()[-1].startswith(f"Next: mend {file} (see above), or delete it")


def test_a_case_that_is_gone(autoseg: Autoseg, place: Workspace) -> None:
    (place.raw / NAME / "imagesTr/case3.png").unlink()
    shutil.rmtree(place.raw / NAME / "labelsTr/case3")
    assert "measured      10 cases in 5 folds; since then no longer there: case3" in autoseg("status").out
    again = f"autoseg plan_and_preprocess --gpu cpu -d {NAME}"
    assert last_line(autoseg).startswith(f"Next: {again}   (labelled cases changed")
    done = autoseg(*again.split()[1:], "--workers", 1)
    assert done.code == 0, done.err
    assert "2d: 9 of 9 cases prepared" in autoseg("status").out
    assert last_line(autoseg).startswith("Next: autoseg train 2d")


def test_a_class_that_has_another_name_now(autoseg: Autoseg, place: Workspace) -> None:
    for mask in (place.raw / NAME).glob("labelsTr/*/big one.png"):
        mask.rename(mask.with_name("huge.png"))
    line = last_line(autoseg)
    assert line.startswith(f"Next: autoseg plan_and_preprocess --plan NAME --gpu cpu -d {NAME}   (")
    assert "default.json is for other data: classes: 2 in the plan, 2 in the data; only in the plan big one" in line


def test_the_second_stage_behind_one_fold(autoseg: Autoseg, place: Workspace) -> None:
    file = place.plan_file(NAME, "default")
    plan = json.loads(file.read_text(encoding="utf-8"))
    plan["stages"] = {"2d_lowres": plan["stages"]["2d"] | {"name": "2d_lowres"}}
    network = plan["stages"]["2d_lowres"]["network"] | {"in_channels": 3}
    plan["stages"]["2d_cascade"] = plan["stages"]["2d_lowres"] | {"name": "2d_cascade", "previous": "2d_lowres", "network": network}
    file.write_text(json.dumps(plan), encoding="utf-8")
    options = "--trainer sgd --epochs 1 --iterations-per-epoch 1"
    done = autoseg("train", "2d_lowres", "fold0", *options.split())
    assert done.code == 0, done.err
    second = f"autoseg train 2d_cascade fold0..4 {options}"
    assert done.out.splitlines()[-1] == f"Next: autoseg train 2d_lowres fold1..4 {options}, then {second}"
