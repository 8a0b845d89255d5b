"""Context against patch size on the phantom: the planned patch beside one of a quarter of the image's edge, at the same wall time.

    python -m benchmarks.context DIR --hours 0.25 --seeds 3

Both plans have the same width, the same pixels per step, the same recipe and the same time; each is trained on fold 0 with every seed, the
two of a seed side by side on a core each. DIR is a workspace; what is finished is kept, so that the command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from autoseg.evaluate import Summary, load_summary
from autoseg.io.json_files import load_json, save_json
from autoseg.plan import Plan
from autoseg.planners.candidates import shrink
from autoseg.workspace import Workspace

NAME = "HandBone"
ARMS = ("planned", "quarter")


def main() -> None:
    """Make the phantom and both plans, train, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--hours", type=float, default=0.25, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs=2, default=(0, 1), help="one for each of the two plans")
    given = parser.parse_args()
    place = Workspace(root=given.folder)
    if not (place.raw / NAME).is_dir():
        autoseg("demo", "make", "-w", str(given.folder), "--people", str(given.people), "--size", str(given.size)).wait()
    for seed in range(given.seeds):
        # A run's folder is named after its plan: one plan per seed keeps them apart.
        for arm in ARMS:
            plan(place, arm, seed, given.hours)
        running = [train(place, arm, seed, given.hours, core) for arm, core in zip(ARMS, given.cores, strict=True)]
        for process in running:
            if process.wait():
                sys.exit(f"a training failed with exit code {process.returncode}")
        table(place, seed + 1)


def autoseg(*arguments: str, core: int | None = None) -> subprocess.Popen[bytes]:
    """The command line in a process of its own, on one core if it is given."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    return subprocess.Popen([*pinned, sys.executable, "-m", "autoseg", *arguments], env=environment)


def plan(place: Workspace, arm: str, seed: int, hours: float) -> None:
    """The plan of one arm and seed, made from one measurement of the step's time."""
    file = place.plan_file(NAME, f"{arm}-{seed}")
    if file.is_file():
        return
    first = place.plan_file(NAME, "planned-0")
    if not first.is_file():
        # Five folds share the hours of a plan; only fold 0 is trained.
        options = ["--gpu", "cpu", "--hours", str(5 * hours), "--plan", "planned-0"]
        if autoseg("plan_and_preprocess", "-w", str(place.root), "-d", NAME, *options).wait():
            sys.exit("planning failed")
    known = load_json(first, Plan)
    stage = known.stages["2d"]
    if arm == "quarter":
        small = shrink(stage, max(stage.patch) // 4)
        batch = stage.batch * math.prod(stage.patch) // math.prod(small.patch)
        stage = replace(small, batch=batch, step_s=None)
    save_json(file, replace(known, name=f"{arm}-{seed}", stages={"2d": stage}))


def train(place: Workspace, arm: str, seed: int, hours: float, core: int) -> subprocess.Popen[bytes]:
    """Fold 0 of one arm."""
    options = ["--plan", f"{arm}-{seed}", "--seed", str(seed), "--hours", str(hours)]
    return autoseg("train", "2d", "fold0", "-w", str(place.root), "-d", NAME, *options, core=core)


def table(place: Workspace, seeds: int) -> None:
    """Dice of fold 0's validation images: fingers, all classes, and the arms' means."""
    print(f"{'':10} {'patch':>11} {'batch':>5}  fingers  all classes  (mean of {seeds} seeds; each seed's)")
    means = {}
    for arm in ARMS:
        stage = load_json(place.plan_file(NAME, f"{arm}-0"), Plan).stages["2d"]
        found = [load_summary(place.fold_folder(NAME, f"{arm}-{seed}", "2d", "default", "0") / "summary.json") for seed in range(seeds)]
        fingers, whole = [dice(summary, "finger") for summary in found], [dice(summary, "") for summary in found]
        means[arm] = statistics.mean(fingers)
        each = ", ".join(f"{a:.3f}/{b:.3f}" for a, b in zip(fingers, whole, strict=True))
        patch = "x".join(map(str, stage.patch))
        print(f"{arm:10} {patch:>11} {stage.batch:5}  {means[arm]:7.3f}  {statistics.mean(whole):11.3f}  ({each})")
    print(f"fingers: planned - quarter = {100 * (means['planned'] - means['quarter']):+.1f} points", flush=True)


def dice(summary: Summary, prefix: str) -> float:
    """Mean Dice of the classes whose names begin so."""
    values = [found["dice"] for name, found in summary.classes.items() if name.startswith(prefix)]
    return statistics.mean(value for value in values if value is not None)


if __name__ == "__main__":
    main()
