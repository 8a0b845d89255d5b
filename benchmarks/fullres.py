"""A volume data set in 3d_fullres: autoseg beside nnU-Net at equal iterations, patch and batch, Dice of each class and wall time.

    python -m benchmarks.fullres DIR --data DATA --nnunet VENV --cores 0 1    # run what is missing, then the tables
    python -m benchmarks.fullres DIR --table                                 # the tables of what is finished
    python -m benchmarks.fullres DIR --same-net ...                          # autoseg, too, with nnU-Net's decoder

DIR is a workspace; DATA the folder of the raw data set; VENV an environment with nnU-Net. Both tools read the same raw folder and train on
fold 0 of autoseg's splits, one after the other, each alone on all the cores, with a thread each. nnU-Net loads with as many processes as it
takes by itself. The command ends if the two planned nets differ in anything but the decoder, which autoseg plans lighter for a processor,
or with --same-net in anything at all. Wall time is that of the whole training command: start, iterations, what each tool validates between
them, checkpoints, and predictions of the fold's whole validation volumes with each tool's test-time augmentation. All predictions are
scored by `autoseg evaluate`. What is finished is kept; an unfinished training begins anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from autoseg.evaluate import load_summary
from autoseg.io.json_files import load_json
from autoseg.plan import Plan
from autoseg.planners.topology import PROCESSOR_CONVS
from autoseg.workspace import Workspace
from benchmarks.accuracy import EPOCHS, ITERATIONS, SIDES, TASKS, Run, Task, prepare, train
from benchmarks.side_by_side import NNUNETS_NET, Bench, differences

#: nnU-Net's own patch for this data set (docs/volumes.md); its batch would be 9. The net as each tool plans it.
TASK = replace(TASKS[1], patch=(40, 56, 40), nnunet_patch=(40, 56, 40), batch=2, configuration="3d_fullres", changed=())
#: Dice may be so much lower than nnU-Net's, and the wall time this share of its.
MARGIN, SHARE = 0.005, 1 / 3


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Where the wall time of a training command went.

    Parameters
    ----------
    wall : float
        All of it.
    steps : float
        Training steps; autoseg's with augmentation, which is part of them.
    waiting : float
        For data; autoseg's is within `steps`, nnU-Net's what is left of its loop.
    checks : float
        autoseg's whole images at the end of each epoch, with its checkpoints; nnU-Net's validation steps.
    last : float
        Predictions of whole volumes at the end.
    """

    wall: float
    steps: float
    waiting: float
    checks: float
    last: float

    def row(self, name: str) -> str:
        """A line of the table; what is left is start and end."""
        loop = self.steps + self.checks + (self.waiting if name == "nnunet" else 0.0)
        parts = (self.wall, self.steps, self.waiting, self.checks, self.last, self.wall - loop - self.last)
        return f"| {name} | {' | '.join(f'{part:.0f}' for part in parts)} | {self.steps / ITERATIONS:.3f} |"


def main() -> None:
    """Prepare, train what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help=f"folder with {TASK.source}")
    parser.add_argument("--nnunet", type=Path, metavar="VENV", help="environment with nnunetv2 in it")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cores", type=int, nargs="+", default=(0, 1), help="with a thread each")
    parser.add_argument("--same-net", action="store_true", help="autoseg with nnU-Net's decoder, too; in a DIR of its own")
    parser.add_argument("--table", action="store_true", help="only print what is finished")
    given = parser.parse_args()
    task = replace(TASK, changed=NNUNETS_NET) if given.same_net else TASK
    bench = Bench(place=Workspace(root=given.folder.resolve()), venv=given.nnunet and given.nnunet.resolve(), threads=len(given.cores))
    if not given.table:
        if given.data is None or bench.venv is None or not (bench.venv / "bin" / "python").is_file():
            sys.exit("Give --data, and --nnunet with VENV/bin/python in it; or --table for what is finished.")
        prepare(bench, task, given.data.resolve(), given.seeds)
        refuse_other_nets(bench, task)
        for run in runs(given.seeds):
            if not run.scores(bench).is_file():
                seconds = train(bench, run, given.cores, workers=-1, anew=True)
                wall_file(bench, run).write_text(json.dumps(seconds), encoding="utf-8")
    print(tables(bench, given.seeds))


def runs(seeds: int) -> list[Run]:
    """In turn."""
    return [Run(task=TASK, side=side, seed=seed) for seed in range(seeds) for side in SIDES]


def refuse_other_nets(bench: Bench, task: Task) -> None:
    """End the command if the two do not train the same net, but for the decoder that is planned for a processor."""
    theirs = json.loads((bench.place.root / "nnunet" / "preprocessed" / task.name / "nnUNetPlans.json").read_text(encoding="utf-8"))
    plan = load_json(bench.place.plan_file(task.name, "seed-0"), Plan)
    found = differences(plan, theirs, task.configuration)
    if task.changed != NNUNETS_NET:
        if plan.stages[task.configuration].network.convs_up != PROCESSOR_CONVS:
            sys.exit(f"the plan in {bench.place.root} has another decoder than a processor's: give --same-net, or another DIR.")
        found = [what for what in found if not what.startswith("decoder: ")]
    if found:
        sys.exit("the two do not train the same net: " + "; ".join(found))


def wall_file(bench: Bench, run: Run) -> Path:
    """Seconds of the run's training command."""
    return run.scores(bench).with_name("wall.json")


def read_seconds(bench: Bench, run: Run) -> Seconds:
    """The parts of a finished run."""
    wall = float(json.loads(wall_file(bench, run).read_text(encoding="utf-8")))
    if run.side == "nnunet":
        return of_nnunet(wall, json.loads((run.nnunet_results(bench) / "epochs.json").read_text(encoding="utf-8"))["seconds"])
    folder = run.fold(bench)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return of_autoseg(wall, rows, (folder / "log.txt").read_text(encoding="utf-8").splitlines())


def of_nnunet(wall: float, seconds: dict[str, float]) -> Seconds:
    """From what benchmarks/nnunet_train.py noted of the trainer's methods."""
    steps, checks = seconds["train_step"], seconds["validation_step"]
    waiting = seconds["run_training"] - steps - checks
    return Seconds(wall=wall, steps=steps, waiting=waiting, checks=checks, last=seconds["perform_actual_validation"])


def of_autoseg(wall: float, rows: list[dict[str, Any]], log: list[str]) -> Seconds:
    """From a run's metrics, one row an epoch, and its log, which dates the ends of epochs and of the validation."""
    counts = [after - before for before, after in pairwise([0, *(row["iteration"] for row in rows)])]
    steps = [row["step_s"] * count for row, count in zip(rows, counts, strict=True)]
    waiting = sum(row["data_wait_s"] * count for row, count in zip(rows, counts, strict=True))
    dates = [dated(line) for line in log if ": epoch " in line]
    # From the first epoch's end to the last's: all later epochs, the last one's check included, the first one's not.
    rest = ((dates[-1] - dates[0]).total_seconds() - sum(steps[1:])) * len(rows) / max(1, len(rows) - 1)
    validated = next(dated(line) for line in reversed(log) if "cases validated" in line)
    return Seconds(wall=wall, steps=sum(steps), waiting=waiting, checks=rest, last=(validated - dates[-1]).total_seconds())


def dated(line: str) -> datetime:
    """When a line of a log was written."""
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")


def tables(bench: Bench, seeds: int) -> str:
    """Dice of each class and seconds of each run, and both bars."""
    lines = [f"{ITERATIONS} iterations in {EPOCHS} epochs", "", "| side | seed | Dice of each class | mean |", "|---|---|---|---|"]
    times = ["| side | wall s | steps | waiting | checks | last | rest | s a step |", "|---|---|---|---|---|---|---|---|"]
    done = [run for run in runs(seeds) if wall_file(bench, run).is_file()]
    dices = {run: {name: scores["dice"] for name, scores in load_summary(run.scores(bench)).classes.items()} for run in done}
    for run in done:
        each = [value for value in dices[run].values() if value is not None]
        named = ", ".join(f"{name} {value:.4f}" for name, value in dices[run].items())
        lines.append(f"| {run.side} | {run.seed} | {named} | {sum(each) / len(each):.4f} |")
        times.append(read_seconds(bench, run).row(run.side))
    pairs = [[run for run in done if run.seed == seed] for seed in range(seeds)]
    bars = [verdict(pair[0], pair[1], dices, bench) for pair in pairs if len(pair) == len(SIDES)]
    return "\n".join([*lines, "", *times, "", *bars])


def verdict(theirs: Run, ours: Run, dices: dict[Run, dict[str, float | None]], bench: Bench) -> str:
    """Whether a seed's pair of runs holds the bars, in words."""
    lowest = min((dices[ours][name] or 0.0) - (value or 0.0) for name, value in dices[theirs].items())
    share = read_seconds(bench, ours).wall / read_seconds(bench, theirs).wall
    dice = "held" if lowest >= -MARGIN else "missed"
    time = "held" if share <= SHARE else "missed"
    times = f"{share:.3f} of nnU-Net's, {1 / share:.2f} times its speed"
    return f"seed {ours.seed}: Dice {dice} (the worse class {lowest:+.4f}), wall time {time} ({times})"


if __name__ == "__main__":
    main()
