"""Folds side by side: a process for each fold on the next free device, with the command's own options."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
import torch

from autoseg.cli import train
from autoseg.cli.side_by_side import as_arguments
from autoseg.cli.train import command
from autoseg.trainers.run import RunFolder
from autoseg.workspace import Workspace
from tests.trainers.make import NAME, plan_and_prepare


def context_of(*arguments: str) -> click.Context:
    return command.make_context("train", list(arguments))


def test_options_are_passed_on_as_typed_without_the_device() -> None:
    options = ("--lr", "0.5", "--restart", "--track", "wandb", "--track", "mlflow", "-w", "place", "--from", "there", "--ema", "0.9")
    context = context_of("2d", "fold0..1", *options, "--hours", "3", "--device", "cuda:0,1")
    arguments = as_arguments(context)
    assert "--device" not in arguments
    assert "--hours" not in arguments
    again = context_of("2d", "0", *arguments)
    kept = {name: value for name, value in context.params.items() if name not in ("device", "folds", "hours")}
    assert kept == {name: again.params[name] for name in kept}


def two_processors(monkeypatch: pytest.MonkeyPatch, workspace: Path, *arguments: str) -> int:
    """The command on cpu and cpu; its exit code."""
    cpu = torch.device("cpu")

    def devices(*given: Any, **named: Any) -> tuple[torch.device, ...]:
        return cpu, cpu

    monkeypatch.setattr(train, "choose_devices", devices)
    return int(command.main(["2d", *arguments, "-w", str(workspace)], standalone_mode=False))


def run_of(workspace: Path, fold: str) -> RunFolder:
    return RunFolder(path=Workspace(root=workspace).fold_folder(NAME, "default", "2d", "default", fold))


@pytest.mark.slow
def test_two_devices_train_three_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    plan_and_prepare(tmp_path)
    assert two_processors(monkeypatch, tmp_path, "0,1,2", "--epochs", "1", "--iterations-per-epoch", "2") == 0
    assert all(run_of(tmp_path, fold).summary.is_file() for fold in "012")
    output = capfd.readouterr().out
    assert "Mean validation Dice of 3 folds" in output
    assert output.count("Next: autoseg predict --ensemble") == 1
    # With another option each process says what differs, and the command's code is theirs.
    assert two_processors(monkeypatch, tmp_path, "0,1,2", "--epochs", "2", "--iterations-per-epoch", "2") == 2
    captured = capfd.readouterr()
    assert "--epochs: 1 -> 2" in captured.err
    assert "Not begun: fold2." in captured.err


@pytest.mark.slow
def test_three_folds_share_the_hours_of_two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_and_prepare(tmp_path)
    assert two_processors(monkeypatch, tmp_path, "0,1,2", "--hours", str(120 / 3600)) == 0
    records = [json.loads((run_of(tmp_path, fold).path / "run.json").read_text(encoding="utf-8")) for fold in "012"]
    first, second, third = (3600 * record["hours"] for record in records)
    # Two folds fall to one device, and a process starts and ends beside its time.
    assert sorted((first, second)) == pytest.approx([60, 120], abs=3)
    assert 0 < third <= 60
    assert all(run_of(tmp_path, fold).summary.is_file() for fold in "012")
