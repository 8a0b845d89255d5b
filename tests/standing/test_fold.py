"""A fold's state from its files."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from autoseg.io.locks import locked
from autoseg.io.processes import this_process
from autoseg.standing.fold import fold_standing
from autoseg.standing.live import Live, write_live
from tests.io.make import write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fold that was begun: four of ten iterations, and a last line cut short is another fold's trouble."""
    fold = tmp_path / "fold3"
    write_json(fold / "run.json", {"stage": {"iterations": 10}})
    (fold / "metrics.jsonl").write_text('{"epoch": 0, "iteration": 2}\n{"epoch": 1, "iteration": 4}\n', encoding="utf-8")
    (fold / "checkpoint_last.safetensors").write_bytes(b"net")
    write_json(fold / "time.json", {"used_s": 75.5})
    return fold


def test_not_begun(tmp_path: Path) -> None:
    found = fold_standing(tmp_path / "fold_all")
    assert (found.name, found.state, found.share) == ("all", "not begun", None)


def test_stopped_by_an_earlier_version(folder: Path) -> None:
    found = fold_standing(folder)
    assert (found.name, found.state, found.share, found.used_s) == ("3", "stopped", 0.4, 75.5)


def test_a_cut_curve_has_no_share(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text('{"epoch": 0, "itera', encoding="utf-8")
    assert fold_standing(folder).share is None


def test_the_options_that_it_was_begun_with(folder: Path) -> None:
    options = {"trainer": "sgd", "epochs": 3, "iterations_per_epoch": None, "lr": 0.001, "seed": 0, "ema": None, "deterministic": True}
    source = {"path": "/nets/default/2d-default/fold3/checkpoint_last.safetensors", "checksum": "x"}
    write_json(folder / "run.json", {"options": options, "hours": 12.0, "source": source})
    words = ("--epochs", "3", "--lr", "0.001", "--deterministic", "--hours", "12", "--from", "/nets/default/2d-default")
    assert fold_standing(folder).words == words


def test_done(folder: Path) -> None:
    write_json(folder / "summary.json", {"mean": {"dice": 0.875}})
    found = fold_standing(folder)
    assert (found.state, found.dice, found.share) == ("done", 0.875, 1.0)


def test_killed_before_anything_was_saved(folder: Path) -> None:
    write_live(folder, Live(doing="training", share=0.0))
    assert fold_standing(folder).is_saved
    (folder / "checkpoint_last.safetensors").unlink()
    found = fold_standing(folder)
    assert (found.state, found.is_saved) == ("killed", False)


def test_done_needs_its_net(folder: Path) -> None:
    write_json(folder / "summary.json", {"mean": {"dice": 0.875}})
    (folder / "checkpoint_last.safetensors").unlink()
    assert fold_standing(folder).state == "not begun"


def test_damaged_files_are_no_error(folder: Path) -> None:
    for name in ("run.json", "time.json", ".live.json"):
        (folder / name).write_text("{", encoding="utf-8")
    assert fold_standing(folder).state == "stopped"


def test_running(folder: Path) -> None:
    write_live(folder, Live(doing="training", share=0.25, left_s=600.0))
    with locked(folder / ".lock", "trained"):
        found = fold_standing(folder)
    assert (found.state, found.doing, found.share, found.left_s) == ("running", "training", 0.25, 600.0)
    assert found.owner == this_process()


def test_running_again_says_nothing_of_the_time_before(folder: Path) -> None:
    write_live(folder, Live(doing="failed", share=0.25, why="no memory"))
    with locked(folder / ".lock", "trained"):
        found = fold_standing(folder)
    assert (found.state, found.doing, found.share, found.why) == ("running", "training", None, "")


@pytest.mark.parametrize(
    ("live", "state", "share"),
    [
        (Live(doing="stopped", share=0.25), "stopped", 0.25),
        (Live(doing="failed", share=0.25, why="the disk is full"), "failed", 0.25),
        (Live(doing="training", share=0.25, left_s=3.0), "killed", 0.25),
        (Live(doing="validating", share=0.5), "killed", 1.0),
    ],
)
def test_ended(folder: Path, live: Live, state: str, share: float) -> None:
    write_live(folder, live)
    found = fold_standing(folder)
    assert (found.state, found.share, found.why) == (state, share, live.why)


def test_a_process_that_is_gone_trains_nothing(folder: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    gone = replace(this_process(), pid=int(ended.stdout), started=1)
    (folder / ".lock").write_text(json.dumps(asdict(gone)), encoding="utf-8")
    write_live(folder, Live(doing="training", share=0.25))
    assert fold_standing(folder).state == "killed"
    assert (folder / ".lock").is_file()  # looking changes nothing


def test_a_fold_of_earlier_cases(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"cases": "before"}', encoding="utf-8")
    assert not fold_standing(tmp_path, "now").is_outdated  # nothing is trained
    (tmp_path / "checkpoint_last.safetensors").write_bytes(b"")
    assert fold_standing(tmp_path, "now").is_outdated
    assert not fold_standing(tmp_path, "before").is_outdated
    assert not fold_standing(tmp_path).is_outdated
