"""What safety costs: checkpoints copied and written, prepared cases checked, locks, files flushed.

Usage: python -m benchmarks.safety [PLAN]   a plan that comes with autoseg; HandBone_v100-32gb if none is named
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from autoseg.checkpoint import save_checkpoint
from autoseg.experiment_plans import load_plan
from autoseg.io.atomic import write_bytes
from autoseg.io.locks import locked
from autoseg.plan import Plan
from autoseg.preprocess.case_folders import checksum_of
from autoseg.step import build_learner
from autoseg.trainers.fit import CHECKPOINT_EPOCH_S, CHECKPOINT_EVERY_S
from autoseg.trainers.state import FitSettings, Progress, snapshot

RUNS = 5


class Cost(NamedTuple):
    """Seconds on the clock, and of the processor, which other processes lengthen less."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        unit, factor = ("ms", 1000) if self.wall < 0.1 else ("s", 1)
        return f"{factor * self.wall:.3g} {unit} ({factor * self.cpu:.3g} of the processor)"


def cost(function: Callable[[], object]) -> Cost:
    """The medians of some calls after one that is not counted."""
    times = []
    for _ in range(RUNS + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return Cost(*(statistics.median(column) for column in zip(*times[1:], strict=True)))


def time_checkpoint(plan: Plan, folder: Path) -> None:
    """The copy that the training waits for, and the writing that it does not."""
    stage, device = plan.stages["2d"], torch.device("cpu")
    learner = build_learner(stage, device, exclusive=plan.labels.exclusive, precision="fp32")
    settings = FitSettings(plan=plan, stage=stage, fold="0", seed=0, device=device, precision="fp32", workers=1)
    copy = cost(lambda: snapshot(settings, learner, Progress()))
    copied, file = snapshot(settings, learner, Progress()), folder / "checkpoint.safetensors"
    write = cost(lambda: save_checkpoint(file, copied))
    num = sum(parameter.numel() for parameter in learner.net.parameters())
    print(f"{plan.name}: {num / 1e6:.0f} million weights, {file.stat().st_size / 1e6:.0f} MB, {stage.recipe.optimizer}")
    print(f"  copied in {copy}: {copy.wall / CHECKPOINT_EPOCH_S:.2%} of the time at every {CHECKPOINT_EPOCH_S:.0f} s, ", end="")
    print(f"{copy.wall / CHECKPOINT_EVERY_S:.2%} at every {CHECKPOINT_EVERY_S:.0f} s; written beside the training in {write}")
    small = replace(copied, weights=dict(list(copied.weights.items())[:4]), optimizer={})
    print(f"  a checkpoint of four tensors: {cost(lambda: save_checkpoint(file, small))}")


def time_files(folder: Path) -> None:
    """A prepared case's checksum, a lock, an atomic write."""
    case = folder / "image.b2nd"
    case.write_bytes(np.random.default_rng(0).integers(0, 255, 3_000_000, np.uint8).tobytes())
    print(f"checksum of a prepared case of 3 MB, once in a process: {cost(lambda: checksum_of(case))}")

    def lock() -> None:
        with locked(folder / ".lock", "trained"):
            pass

    print(f"a lock taken and released: {cost(lock)}")
    print(f"a small file written, flushed and renamed: {cost(lambda: write_bytes(folder / 'time.json', b'{}'))}")


def main() -> None:
    """Print a line for each."""
    plan = load_plan(sys.argv[1] if len(sys.argv) > 1 else "HandBone_v100-32gb")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        time_checkpoint(plan, Path(folder))
        time_files(Path(folder))


if __name__ == "__main__":
    main()
