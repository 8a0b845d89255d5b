"""Folds side by side: one process per device, each with the command's own options."""

from pathlib import Path

import click
import pytest
import torch

from autoseg.cli.train import as_arguments, command, side_by_side
from autoseg.workspace import Workspace
from tests.trainers.make import NAME, plan_and_prepare


def context_of(*arguments: str) -> click.Context:
    return command.make_context("train", list(arguments))


def test_options_are_passed_on_as_typed_without_the_device() -> None:
    context = context_of("2d", "fold0..1", "--lr", "0.5", "--restart", "--device", "cuda:0,1", "-w", "place")
    arguments = as_arguments(context)
    assert "--device" not in arguments
    again = context_of("2d", "0", *arguments)
    kept = {name: value for name, value in context.params.items() if name not in ("device", "folds")}
    assert kept == {name: again.params[name] for name in kept}


@pytest.mark.slow
def test_two_devices_train_their_folds_at_once(tmp_path: Path) -> None:
    plan_and_prepare(tmp_path)
    context = context_of("2d", "0,1", "--epochs", "1", "--iterations-per-epoch", "2", "-w", str(tmp_path))
    cpu = torch.device("cpu")
    assert side_by_side(context, ("0", "1"), (cpu, cpu)) == 0
    for fold in "01":
        assert (Workspace(root=tmp_path).fold_folder(NAME, "default", "2d", "default", fold) / "summary.json").is_file()
