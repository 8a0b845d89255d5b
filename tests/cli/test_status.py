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
from autoseg.workspace import LOCK, Workspace
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
    assert autoseg("train", "2d", 0, "--epochs", 1, "--iterations-per-epoch", 1).code == 0
    write_live(fold(place, 1), Live(doing="training", share=0.43, left_s=750))
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
    assert (
        autoseg("status")
        .out.splitlines()[-1]
        .startswith(f"Next: autoseg train 2d fold1..3 --epochs 1 --iterations-per-epoch 1 -d {NAME}   (goes on")
    )


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


@pytest.mark.parametrize("name", ["..", ".", "../w"])
def test_a_path_is_no_name_of_results(autoseg: Autoseg, place: Workspace, name: str) -> None:
    (place.root / "results").mkdir(exist_ok=True)
    done = autoseg("clean", "-d", name, "--yes")
    assert done.code == 0, done.err
    assert "Nothing to delete." in done.out
    assert f"{NAME}/" not in done.out
    assert "its results; the data themselves are not here" not in done.out


def test_cases_that_a_training_reads_stay(autoseg: Autoseg, place: Workspace) -> None:
    (store,) = (place.preprocessed(NAME) / "cases").iterdir()
    with reading(store, "default/2d-default/fold0"):
        done = autoseg("clean", "--prepared", "--yes")
    assert done.code != 0
    assert "default/2d-default/fold0 (process " in done.err
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
