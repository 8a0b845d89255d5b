"""What is tried on a GPU, on a CPU at its smallest size, and what a row says that failed."""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
import torch

from autoseg.augment import Batch, make_batch
from autoseg.recipe import LossName, OptimizerName
from benchmarks import gpu_smoke
from benchmarks.clock import Clock
from benchmarks.devices import Cuda, Device
from benchmarks.gpu_smoke import CUBLAS, HEAD, Check, checks, predict, refused_waiting, rows, small_stage, twice


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set here so that it is taken back afterwards.
    monkeypatch.setenv(CUBLAS[0], "")
    monkeypatch.delenv(CUBLAS[0])


def test_everything_runs_on_a_cpu() -> None:
    found = [dict(zip(HEAD, row, strict=True)) for row in rows(Device(), Clock(600))]
    assert [row for row in found if not row["result"].startswith("ok")] == []
    tried = {row["check"]: {other["of"] for other in found if other["check"] == row["check"]} for row in found}
    for precision in Device().precisions:
        assert tried[f"3 steps, 2D, {precision}"] == set(get_args(OptimizerName))
    for axes in (2, 3):
        assert {"all", "elastic_p", "clahe_p", "previous_morphology_p"} <= tried[f"augmentation, {axes}D"]
        assert tried[f"deterministic, {axes}D"] == {*get_args(LossName), "dice_bce, residual encoder", "augmentation"}
    assert tried["a step without waiting"] == {"sgd", "adam", "adamw"}
    assert tried["prediction"] == set(Device().precisions)
    assert tried["memory runs out"] == {"training", "prediction"}


def test_a_gpu_tries_all_that_it_computes_in() -> None:
    found = list(checks(Cuda(precisions=("fp16", "fp32"))))
    assert {check.what for check in found if "steps" in check.what} == {f"3 steps, {n}D, {p}" for n in (2, 3) for p in ("fp16", "fp32")}


def test_what_fails_says_so_and_the_others_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise RuntimeError("CUDA error: misaligned address\nmore of it")

    def some(device: Device) -> Iterator[Check]:
        yield Check(what="a", of="b", run=fails)
        yield Check(what="c", of="d", run=lambda: ", 0 apart")

    monkeypatch.setattr(gpu_smoke, "checks", some)
    found = rows(Device(), Clock(60))
    assert next(found) == ("a", "b", "failed: RuntimeError: CUDA error: misaligned address")
    assert next(found) == ("c", "d", "ok, 0 apart")
    with pytest.raises(RuntimeError, match="1 checks failed"):
        next(found)


def test_a_device_that_computes_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def other(*arguments: Any, **options: Any) -> Batch:
        nonlocal made
        batch = make_batch(*arguments, **options)
        made += 1
        batch.images[..., :8] += 0.001 * (made % 2)
        return batch

    monkeypatch.setattr(gpu_smoke, "make_batch", other)
    check = gpu_smoke.augmented(Device(), 2, "all")
    with pytest.raises(RuntimeError, match=r"50.00% of the pixels differ by more than 0.0001, by up to 0.001"):
        check.run()


def test_the_predicted_picture_is_not_flat() -> None:
    found = predict(small_stage(Device(), 2), torch.device("cpu"), "fp32")
    assert found.shape == (2, 16, 16)
    assert float(found.std()) > 0.05
    assert not np.array_equal(found[:, :8], found[:, 8:])


def test_deterministic_mode_ends_with_its_check_and_a_missing_kernel_is_no_failure() -> None:
    def scattered() -> list[torch.Tensor]:
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
        return []

    assert twice("x", "y", scattered).run() == ", but for put_: torch has no such kernel"
    assert not torch.are_deterministic_algorithms_enabled()
    numbers = iter([torch.zeros(1), torch.ones(1)])
    with pytest.raises(RuntimeError, match="other bits"):
        twice("x", "y", lambda: [next(numbers)]).run()


def test_waiting_is_refused_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with refused_waiting(Device()):
        pass
    assert modes == []
    with pytest.raises(ZeroDivisionError), refused_waiting(Cuda(place=torch.device("cuda", 0))):
        raise ZeroDivisionError
    assert modes == ["error", "default"]
