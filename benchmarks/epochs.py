"""Epochs per hour of autoseg's and nnU-Net's whole training loops on the phantom: same net, patch, batch, data and threads, in turn.

    taskset -c 0,1 python -m benchmarks.epochs DIR --nnunet VENV --cores 0 1    # run what is missing, then the table
    python -m benchmarks.epochs DIR --table

DIR is a workspace; VENV an environment in which nnU-Net is installed. The phantom's overlapping masks are made exclusive by one rule, the
smaller bone lies on top, and both tools read that one data set of integer maps. An epoch is loading, augmentation, steps, what each tool
validates at its end, and its checkpoints; the first of a run does not count, nor what comes before and after the epochs. What is finished
is kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoseg.demo import write_phantom
from autoseg.io.cases import read_case
from autoseg.io.json_files import load_json
from autoseg.io.layouts import read_dataset
from autoseg.plan import Plan
from autoseg.workspace import Workspace
from benchmarks.side_by_side import NNUNETS_NET, Bench, differences, settings

NAME, SOURCE = "Dataset502_HandBone", "HandBone"
#: nnU-Net's epoch, to which the measured ones are extended.
FULL_EPOCH = 250
SIDES = ("autoseg", "nnunet")


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """What the epochs of a run took.

    Parameters
    ----------
    epoch_s : tuple of float
        Without the first.
    fixed_s : tuple of float
        Of these, what does not grow with the number of iterations.
    iterations : int
    """

    epoch_s: tuple[float, ...]
    fixed_s: tuple[float, ...]
    iterations: int

    def full_s(self) -> list[float]:
        """Seconds of epochs of `FULL_EPOCH` iterations: what grows with the iterations, in proportion, and once what does not."""
        pairs = zip(self.epoch_s, self.fixed_s, strict=True)
        return [(whole - fixed) * FULL_EPOCH / self.iterations + fixed for whole, fixed in pairs]


def main() -> None:
    """Prepare, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nnunet", type=Path, metavar="VENV", help="environment with nnunetv2 in it")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2, help="a run of each tool in each")
    parser.add_argument("--epochs", type=int, default=4, help="of a run, the first included")
    parser.add_argument("--iterations", type=int, default=20, help="of an epoch")
    parser.add_argument("--cores", type=int, nargs="+", default=(0, 1), help="with a thread each")
    parser.add_argument("--table", action="store_true", help="only print what is finished")
    given = parser.parse_args()
    bench = Bench(place=Workspace(root=given.folder.resolve()), venv=given.nnunet and given.nnunet.resolve(), threads=len(given.cores))
    if not given.table:
        if bench.venv is None or not (bench.venv / "bin" / "python").is_file():
            sys.exit("Name the environment that nnU-Net is installed in: --nnunet VENV, with VENV/bin/python in it; or --table.")
        prepare(bench, given)
        for number in range(given.rounds):
            run_autoseg(bench, number, given)
            run_nnunet(bench, number, given)
    print(table(bench, given.rounds))


def prepare(bench: Bench, given: argparse.Namespace) -> None:
    """The phantom, its exclusive version, both plans and both tools' prepared cases; ends the run if the nets differ."""
    place = bench.place
    if not (place.raw / SOURCE).is_dir():
        write_phantom(place.root, people=given.people, size=given.size, workers=len(given.cores))
    if not (place.raw / NAME).is_dir():
        write_exclusive(place.raw / SOURCE, place.raw / NAME)
    for number in range(given.rounds):
        if not place.plan_file(NAME, f"round-{number}").is_file():
            length = {"iterations": given.epochs * given.iterations, "iterations_per_epoch": given.iterations}
            sizes = settings(patch=(given.size, given.size), batch=2, **length, **dict(NNUNETS_NET))
            bench.autoseg(NAME, "plan", "plan_and_preprocess", "--gpu", "cpu", "--plan", f"round-{number}", *sizes, cores=given.cores)
    bench.prepare_nnunet(NAME, (given.size, given.size), 2)
    theirs = json.loads((place.root / "nnunet" / "preprocessed" / NAME / "nnUNetPlans.json").read_text(encoding="utf-8"))
    if found := differences(load_json(place.plan_file(NAME, "round-0"), Plan), theirs):
        sys.exit("the two do not train the same net: " + "; ".join(found))


def write_exclusive(source: Path, target: Path) -> None:
    """The training cases of a data set of overlapping masks as one of integer maps, in nnU-Net's layout."""
    dataset = read_dataset(source)
    # Under another name until it is whole.
    unfinished = target.with_name(f".{target.name}")
    for folder in ("imagesTr", "labelsTr"):
        (unfinished / folder).mkdir(parents=True, exist_ok=True)
    for case in dataset.train:
        loaded = read_case(dataset, case, 1)
        assert loaded.labels is not None
        Image.fromarray(loaded.image[0]).save(unfinished / "imagesTr" / f"{case.name}_0000.png")
        masks = [loaded.labels.mask(k) for k in range(len(dataset.classes))]
        Image.fromarray(smallest_on_top(masks)).save(unfinished / "labelsTr" / f"{case.name}.png")
    description = {
        "channel_names": {"0": "X-ray"},
        "labels": {"background": 0} | {name: k + 1 for k, name in enumerate(dataset.classes)},
        "numTraining": len(dataset.train),
        "file_ending": ".png",
    }
    (unfinished / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    unfinished.rename(target)


def smallest_on_top(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """One map of masks that overlap: a pixel of several belongs to the one with the smallest area; of equal ones, to the last.

    Parameters
    ----------
    masks : sequence of bool array, shape (y, x)
        Mask k becomes the value k + 1.
    """
    painted = np.zeros(masks[0].shape, np.uint8)
    for k in sorted(range(len(masks)), key=lambda k: -int(masks[k].sum())):
        painted[masks[k]] = k + 1
    return painted


def run_autoseg(bench: Bench, number: int, given: argparse.Namespace) -> None:
    """One run, unless it is finished."""
    folder = autoseg_folder(bench, number)
    if not (folder / "summary.json").is_file():
        what = f"autoseg-{number}"
        bench.autoseg(NAME, what, "train", "2d", "fold0", "--plan", f"round-{number}", "--device", "cpu", "--restart", cores=given.cores)


def run_nnunet(bench: Bench, number: int, given: argparse.Namespace) -> None:
    """One run, unless it is finished; as many loading processes as cores."""
    folder = nnunet_folder(bench, number)
    if not (folder / "epochs.json").is_file():
        length = ["--epochs", str(given.epochs), "--iterations", str(given.iterations), "--workers", str(len(given.cores))]
        where = ["--results", str(folder), "--no-validation"]
        bench.nnunet(NAME, f"nnunet-{number}", "train", *where, *length, cores=given.cores)


def autoseg_folder(bench: Bench, number: int) -> Path:
    """Of a run."""
    return bench.place.fold_folder(NAME, f"round-{number}", "2d", "default", "0")


def nnunet_folder(bench: Bench, number: int) -> Path:
    """Of a run."""
    return bench.place.root / "nnunet" / f"results-{number}"


def read_autoseg(folder: Path) -> Epochs:
    """Epochs as the log dates their ends; an epoch's checkpoints come after its line, so that they belong to the next one's time."""
    lines = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    ends = [datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") for line in lines if ": epoch " in line]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    epoch_s = tuple((b - a).total_seconds() for a, b in pairwise(ends))
    iterations = rows[0]["iteration"]
    fixed = tuple(whole - row["step_s"] * iterations for whole, row in zip(epoch_s, rows[1:], strict=True))
    return Epochs(epoch_s=epoch_s, fixed_s=fixed, iterations=iterations)


def read_nnunet(folder: Path) -> Epochs:
    """Epochs from one begin to the next; what comes between an epoch's last validation step and the next begin does not grow."""
    found = json.loads((folder / "epochs.json").read_text(encoding="utf-8"))
    return Epochs(epoch_s=tuple(found["epoch_s"][1:]), fixed_s=tuple(found["fixed_s"][1:]), iterations=found["iterations"])


def table(bench: Bench, rounds: int) -> str:
    """Medians over the epochs of all finished runs, and the ratio."""
    readers = {"autoseg": (autoseg_folder, "summary.json", read_autoseg), "nnunet": (nnunet_folder, "epochs.json", read_nnunet)}
    lines = ["| side | epochs | median s | min - max | of it not steps | epochs an hour |", "|---|---|---|---|---|---|"]
    medians: dict[str, tuple[float, float]] = {}
    for side in SIDES:
        folder_of, last, read = readers[side]
        folders = [folder_of(bench, number) for number in range(rounds)]
        runs = [read(folder) for folder in folders if (folder / last).is_file()]
        if not runs:
            continue
        whole = [second for run in runs for second in run.epoch_s]
        fixed = statistics.median(second for run in runs for second in run.fixed_s)
        full = statistics.median(second for run in runs for second in run.full_s())
        median = statistics.median(whole)
        medians[side] = (median, full)
        for name, length, seconds in ((f"{runs[0].iterations} iterations", len(whole), median), (f"{FULL_EPOCH}, extended", 0, full)):
            measured = f"{length} | {seconds:.1f} | {min(whole):.1f} - {max(whole):.1f}" if length else f" | {seconds:.0f} | "
            lines.append(f"| {side}, {name} | {measured} | {fixed:.1f} | {3600 / seconds:.1f} |")
    if len(medians) == len(SIDES):
        ratios = [theirs / ours for ours, theirs in zip(medians["autoseg"], medians["nnunet"], strict=True)]
        lines.append(f"\n{ratios[0]:.2f} times nnU-Net's epochs an hour as measured, {ratios[1]:.2f} times at {FULL_EPOCH} iterations.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
