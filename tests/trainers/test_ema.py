"""--ema: the averaged weights are what is validated and what predicts; a continued run has the same ones."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.errors import UsageError
from autoseg.evaluate import load_summary
from autoseg.infer.nets import load_net
from autoseg.io.interrupt import Interrupted
from autoseg.memory import trace_step, with_allowances
from autoseg.nets import UNet
from autoseg.recipe import with_optimizer
from autoseg.trainers import launch, validation
from autoseg.trainers.options import TrainOptions
from autoseg.trainers.run import RunFolder
from tests import small
from tests.trainers.make import NAME

COMMAND = ["train", "2d", "fold0", "--epochs", "3", "--iterations-per-epoch", "4", "--ema", "0.9"]


def train(workspace: Path) -> None:
    cli.main([*COMMAND, "-w", str(workspace)], standalone_mode=False)


def run_of(workspace: Path) -> RunFolder:
    return RunFolder(path=workspace / "results" / NAME / "default" / "2d-default" / "fold0")


def last(workspace: Path) -> Checkpoint:
    return load_checkpoint(run_of(workspace).last)


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("ema") / "w"
    shutil.copytree(prepared, workspace)
    train(workspace)
    return workspace


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_both_weights_are_kept_and_the_average_predicts(undisturbed: Path) -> None:
    checkpoint = last(undisturbed)
    assert checkpoint.settings.recipe.ema == 0.9
    # Traced anew, as with any option that changes the memory.
    assert checkpoint.settings.memory.parts["average"] == sum(4 * value.numel() for value in checkpoint.weights.values())
    assert checkpoint.weights.keys() == checkpoint.trained.keys()
    assert not same(checkpoint.weights, checkpoint.trained)
    net = load_net(checkpoint, small.CPU)
    assert same({name: value.contiguous() for name, value in net.state_dict().items()}, checkpoint.weights)


def test_training_itself_is_the_one_without_an_average(undisturbed: Path, workspace: Path) -> None:
    cli.main([*COMMAND[:-2], "-w", str(workspace)], standalone_mode=False)
    plain = last(workspace)
    assert plain.trained == {}
    assert same(plain.weights, last(undisturbed).trained)


def test_a_continued_run_has_the_same_average(undisturbed: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def step(self: Screen, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps in (5, 7):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Screen, "step", step)
    for _ in range(2):
        with pytest.raises(Interrupted):
            train(workspace)
    train(workspace)
    whole, parts = last(undisturbed), last(workspace)
    assert same(whole.weights, parts.weights)
    assert same(whole.trained, parts.trained)
    assert load_summary(run_of(workspace).summary).cases == load_summary(run_of(undisturbed).summary).cases


def test_the_average_is_what_is_validated(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    validate = validation.validate

    def watched(exam: Any, net: UNet, *others: Any) -> Any:
        seen.append({name: value.detach().clone() for name, value in net.state_dict().items()})
        return validate(exam, net, *others)

    monkeypatch.setattr(launch, "validate", watched)
    train(workspace)
    (validated,) = seen
    assert all(torch.equal(value, validated[name]) for name, value in last(workspace).weights.items())


def test_the_trace_counts_it() -> None:
    plain = small.stage(network=small.network(features=(16, 32, 64)))
    averaged = small.with_recipe(plain, ema=0.99)
    for device_type in ("cpu", "cuda"):
        without, with_it = (trace_step(s, exclusive=False, precision="fp32", device_type=device_type) for s in (plain, averaged))
        assert (without.average, with_it.average) == (0, with_it.parameters)
        # CUDA rounds each tensor up.
        assert with_it.peak - without.peak == pytest.approx(with_it.parameters, abs=512 * 60 if device_type == "cuda" else 0)
        memory = with_allowances(with_it, device_type=device_type, budget_bytes=1)
        assert memory.parts["average"] == with_it.parameters
        assert sum(memory.parts.values()) == memory.peak_bytes


def test_what_is_no_decay() -> None:
    with pytest.raises(UsageError, match=r"--ema .* between 0 and 1 \(0.999, say\), got 1"):
        TrainOptions(ema=1.0)
    with pytest.raises(ValueError, match=r"ema must lie in \(0, 1\), got 0"):
        small.recipe(ema=0.0)


def test_another_optimizer_leaves_it() -> None:
    assert with_optimizer(replace(small.recipe(), ema=0.99), "sgd").ema == 0.99
