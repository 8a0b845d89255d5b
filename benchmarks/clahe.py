"""CLAHE as the normalisation of X-rays against plain standardisation: the same steps, seeds and images.

    python -m benchmarks.clahe DIR

Both arms are trained on fold 0 of the phantom for the same number of iterations, then predict its test images. DIR is a workspace; what is
finished is kept, so that the command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from autoseg.cli.demo import score_files, with_truth
from autoseg.evaluate import Summary, load_summary
from autoseg.io.json_files import load_json, save_json
from autoseg.io.layouts import read_dataset
from autoseg.plan import Plan
from autoseg.workspace import Workspace
from benchmarks.context import NAME, dice

#: Arm -> what its plan is told.
ARMS = {"zscore": (), "clahe": ("--set", "normalization.0.kind=clahe")}
#: Names of classes begin so; "" is all of them.
GROUPS = ("", "finger", "Pisiform")


def main() -> None:
    """Make the phantom and the plans, train, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    place = Workspace(root=given.folder)
    if not (place.raw / NAME).is_dir():
        autoseg(place, "demo", "make", "--people", str(given.people), "--size", str(given.size))
    for seed in range(given.seeds):
        for arm in ARMS:
            plan(place, arm, seed, given.iterations)
            autoseg(place, "train", "2d", "fold0", "-d", NAME, "--plan", f"{arm}-{seed}", "--seed", str(seed), "--device", "cpu")
            predict(place, arm, seed)
        table(place, seed + 1)


def autoseg(place: Workspace, *arguments: str) -> None:
    """The command line on one thread; ends the run if it fails."""
    command = [sys.executable, "-m", "autoseg", *arguments, "-w", str(place.root)]
    if code := subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {code}")


def plan(place: Workspace, arm: str, seed: int, iterations: int) -> None:
    """The plan of one arm and seed: a run's folder is named after its plan, so one for each keeps them apart."""
    first = place.plan_file(NAME, f"{arm}-0")
    if not first.is_file():
        options = ["--gpu", "cpu", "--plan", f"{arm}-0", "--workers", "1", *ARMS[arm]]
        options += ["--set", "2d.batch=2", "--set", f"2d.iterations={iterations}"]
        autoseg(place, "plan_and_preprocess", "-d", NAME, *options)
    file = place.plan_file(NAME, f"{arm}-{seed}")
    if not file.is_file():
        save_json(file, replace(load_json(first, Plan), name=f"{arm}-{seed}"))


def predictions(place: Workspace, arm: str, seed: int) -> Path:
    """Where an arm's masks of the test images lie."""
    return place.root / "test" / f"{arm}-{seed}"


def predict(place: Workspace, arm: str, seed: int) -> None:
    """Predict the test images; what is done is skipped."""
    options = ["--plan", f"{arm}-{seed}", "--folds", "fold0", "--format", "masks", "--device", "cpu"]
    autoseg(place, "predict", "-d", NAME, *options, "-o", str(predictions(place, arm, seed)))


def table(place: Workspace, seeds: int) -> None:
    """Mean Dice of validation and test images by groups of classes: the mean of the seeds, and each seed's."""
    print(f"\nDice, mean of {seeds} seeds (each seed's)")
    raw = read_dataset(place.raw / NAME)
    cases = with_truth(raw, place.root / "truth" / NAME)
    found = {
        (images, arm, seed): trained(place, arm, seed) if images == "validation" else score_files(raw, cases, predictions(place, arm, seed))
        for images in ("validation", "test")
        for arm in ARMS
        for seed in range(seeds)
    }
    for images in ("validation", "test"):
        for group in GROUPS:
            for arm in ARMS:
                values = [dice(found[images, arm, seed], group) for seed in range(seeds)]
                each = ", ".join(f"{one:.4f}" for one in values)
                print(f"{images:10}  {group or 'all':8}  {arm:6}  {statistics.mean(values):.4f}  ({each})", flush=True)


def trained(place: Workspace, arm: str, seed: int) -> Summary:
    """The scores of a fold's validation images."""
    return load_summary(place.fold_folder(NAME, f"{arm}-{seed}", "2d", "default", "0") / "summary.json")


if __name__ == "__main__":
    main()
