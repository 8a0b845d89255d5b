"""Accuracy at equal iterations: autoseg and nnU-Net on two real data sets, same cases, patch and batch, three seeds each.

    python -m benchmarks.accuracy DIR --data DATA --nnunet VENV --cores 0 1    # run what is missing, then the table
    python -m benchmarks.accuracy DIR --table                                  # the table of what is finished

DIR is a workspace; DATA the folder of the raw data sets; VENV an environment with nnU-Net. Both tools read the same raw folders and train
on fold 0 of autoseg's splits, autoseg with nnU-Net's decoder, each with its own plan else, recipe, augmentation and test-time augmentation.
Runs share the cores, one each, with one thread. All predictions of whole validation images are scored by `autoseg evaluate`. What is
finished is kept: the command goes on where it stopped, and begins unfinished trainings of nnU-Net anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue

from autoseg.evaluate import load_summary
from autoseg.io.json_files import load_json, save_json
from autoseg.plan import Plan
from autoseg.workspace import Workspace
from benchmarks.side_by_side import NNUNETS_NET, Bench, settings

ITERATIONS, EPOCHS = 1000, 40
SIDES = ("nnunet", "autoseg")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set and what both sides are given.

    Parameters
    ----------
    name : str
        As nnU-Net wants it.
    source : str
        Its folder in --data.
    patch, nnunet_patch : tuple of int
        The same but for the order of axes, where the two cut volumes into slices across other axes.
    batch : int
    configuration : str
        By its name in both tools.
    changed : tuple of (str, object)
        Fields of autoseg's stage that are set beside patch and batch; what makes the net nnU-Net's, unless said otherwise.
    """

    name: str
    source: str
    patch: tuple[int, ...]
    nnunet_patch: tuple[int, ...]
    batch: int
    configuration: str = "2d"
    changed: tuple[tuple[str, object], ...] = NNUNETS_NET


TASKS = (
    Task(name="Dataset501_Nuclei", source="Nuclei", patch=(128, 128), nnunet_patch=(128, 128), batch=4),
    Task(name="Dataset004_Hippocampus", source="Dataset004_Hippocampus", patch=(40, 56), nnunet_patch=(56, 40), batch=8),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training."""

    task: Task
    side: str
    seed: int

    def scores(self, bench: Bench) -> Path:
        """Of `autoseg evaluate`; a run that has them is finished."""
        return bench.place.root / "scores" / self.task.name / f"{self.side}-{self.seed}" / "summary.json"

    def nnunet_results(self, bench: Bench) -> Path:
        """A folder of results for each seed."""
        return bench.place.root / "nnunet" / "results" / f"{self.task.name}-{self.seed}"

    def predictions(self, bench: Bench) -> Path:
        """Of the validation images."""
        return self.fold(bench) / "validation"

    def fold(self, bench: Bench) -> Path:
        """What the training leaves."""
        configuration = self.task.configuration
        if self.side == "autoseg":
            return bench.place.fold_folder(self.task.name, f"seed-{self.seed}", configuration, "default", "0")
        return self.nnunet_results(bench) / self.task.name / f"nnUNetTrainer__nnUNetPlans__{configuration}" / "fold_0"


def main() -> None:
    """Prepare, train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="folder with Nuclei and Dataset004_Hippocampus")
    parser.add_argument("--nnunet", type=Path, metavar="VENV", help="environment with nnunetv2 in it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs="+", default=(0, 1))
    parser.add_argument("--table", action="store_true", help="only print what is finished")
    given = parser.parse_args()
    bench = Bench(place=Workspace(root=given.folder.resolve()), venv=given.nnunet and given.nnunet.resolve())
    if not given.table:
        if given.data is None or bench.venv is None or not (bench.venv / "bin" / "python").is_file():
            sys.exit("Give --data, and --nnunet with VENV/bin/python in it; or --table for what is finished.")
        for task in TASKS:
            prepare(bench, task, given.data.resolve(), given.seeds)
        train_all(bench, list(runs(given.seeds)), given.cores)
    print(table(bench, given.seeds))


def runs(seeds: int) -> Iterator[Run]:
    """The longest first, so that the cores are done at about the same time."""
    for side in SIDES:
        for task in TASKS:
            yield from (Run(task=task, side=side, seed=seed) for seed in range(seeds))


def prepare(bench: Bench, task: Task, data: Path, seeds: int) -> None:
    """Raw data, autoseg's plan for each seed and prepared cases, then nnU-Net's."""
    place = bench.place
    if not (place.raw / task.name).is_dir():
        link_raw(data / task.source, place.raw / task.name)
    plan_file = place.plan_file(task.name, "seed-0")
    if not plan_file.is_file():
        length = {"iterations": ITERATIONS, "iterations_per_epoch": ITERATIONS // EPOCHS}
        chosen = settings(task.configuration, patch=task.patch, batch=task.batch, **length, **dict(task.changed))
        configs = ["--configs", task.configuration]
        bench.autoseg(task.name, "plan", "plan_and_preprocess", *configs, "--gpu", "cpu", "--plan", "seed-0", *chosen)
    plan = load_json(plan_file, Plan)
    for seed in range(1, seeds):
        # A run's folder is named after its plan: one plan per seed keeps them apart.
        save_json(place.plan_file(task.name, f"seed-{seed}"), replace(plan, name=f"seed-{seed}"))
    bench.prepare_nnunet(task.name, task.nnunet_patch, task.batch, task.configuration)


def link_raw(source: Path, target: Path) -> None:
    """A data set in nnU-Net's layout is linked; one of colour images and maps gets the names and the file that nnU-Net needs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if (source / "dataset.json").is_file():
        target.symlink_to(source, target_is_directory=True)
        return
    # Under another name until it is whole.
    unfinished = target.with_name(f".{target.name}")
    for folder, suffix in (("imagesTr", "_0000"), ("labelsTr", "")):
        (unfinished / folder).mkdir(parents=True, exist_ok=True)
        for file in sorted((source / folder).glob("*.png")):
            (unfinished / folder / f"{file.stem}{suffix}.png").symlink_to(file)
    description = {
        "channel_names": dict(enumerate("RGBA")),
        "labels": {"background": 0, "nucleus": 1},
        "numTraining": len(list((unfinished / "imagesTr").iterdir())),
        "file_ending": ".png",
    }
    (unfinished / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    unfinished.rename(target)


def train_all(bench: Bench, wanted: Sequence[Run], cores: Sequence[int]) -> None:
    """Each core takes the next run as soon as it is free."""
    queue: Queue[Run] = Queue()
    for run in wanted:
        if not run.scores(bench).is_file():
            queue.put(run)
    failed: list[str] = []

    def work(core: int) -> None:
        while True:
            try:
                run = queue.get_nowait()
            except Empty:
                return
            try:
                train(bench, run, [core])
                print(f"done: {run.task.name}, {run.side}, seed {run.seed}", flush=True)
            except RuntimeError as error:
                failed.append(str(error))

    workers = [threading.Thread(target=work, args=(core,)) for core in cores]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        sys.exit("\n".join(failed))


def train(bench: Bench, run: Run, cores: Sequence[int], *, workers: int = 0, anew: bool = False) -> float:
    """One training with its predictions, and their scores; the seconds of the training, with its predictions.

    Parameters
    ----------
    bench : Bench
    run : Run
    cores : sequence of int
    workers : int
        Processes that load nnU-Net's data; -1: as many as it takes by itself.
    anew : bool
        Begin autoseg's training from the start, too, as its seconds are wanted.
    """
    name, what, configuration = run.task.name, f"{run.side}-{run.seed}", run.task.configuration
    if run.side == "autoseg":
        options = ["--plan", f"seed-{run.seed}", "--seed", str(run.seed), "--device", "cpu", *["--restart"] * anew]
        seconds = bench.autoseg(name, what, "train", configuration, "fold0", *options, cores=cores)
    else:
        length = ["--epochs", str(EPOCHS), "--iterations", str(ITERATIONS // EPOCHS), "--seed", str(run.seed)]
        where = ["--configuration", configuration, "--results", str(run.nnunet_results(bench)), "--workers", str(workers)]
        seconds = bench.nnunet(name, what, "train", *where, *length, cores=cores)
    out = ["-o", str(run.scores(bench).parent), "--workers", "1"]
    bench.autoseg(name, f"{what}-scores", "evaluate", str(run.predictions(bench)), *out, cores=cores)
    return seconds


def table(bench: Bench, seeds: int) -> str:
    """Mean Dice over classes of each seed, the means, and whether autoseg is no lower than nnU-Net minus its spread."""
    lines = ["| data set | side | Dice of each seed | mean | spread (std) |", "|---|---|---|---|---|"]
    for task in TASKS:
        found = {side: dices(bench, task, side, seeds) for side in SIDES}
        for side, values in found.items():
            each = ", ".join("-" if value is None else f"{value:.4f}" for value in values)
            mean, spread = middle([value for value in values if value is not None])
            lines.append(f"| {task.source} | {side} | {each} | {mean:.4f} | {spread:.4f} |")
        lines.append(verdict(task.source, found["autoseg"], found["nnunet"]))
    return "\n".join(lines)


def dices(bench: Bench, task: Task, side: str, seeds: int) -> list[float | None]:
    """Of the runs in order; None where one is not finished."""
    files = [Run(task=task, side=side, seed=seed).scores(bench) for seed in range(seeds)]
    return [load_summary(file).mean["dice"] if file.is_file() else None for file in files]


def middle(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; NaN for what too few values do not say."""
    nan = float("nan")
    return statistics.fmean(values) if values else nan, statistics.stdev(values) if len(values) > 1 else nan


def verdict(name: str, ours: Sequence[float | None], theirs: Sequence[float | None]) -> str:
    """The bar: the mean of our Dice is at least nnU-Net's mean minus the standard deviation of its seeds.

    Parameters
    ----------
    name : str
    ours, theirs : sequence of float or None
    """
    if None in (*ours, *theirs):
        return f"| {name} | not finished | | | |"
    mine, _ = middle([value for value in ours if value is not None])
    mean, spread = middle([value for value in theirs if value is not None])
    held = "held" if mine >= mean - spread else "missed"
    return f"| {name} | {held} | autoseg - nnU-Net: {100 * (mine - mean):+.2f} points | | |"


if __name__ == "__main__":
    main()
