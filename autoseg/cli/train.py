"""autoseg train"""

from __future__ import annotations

import math
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from autoseg.cli import complete
from autoseg.cli.next_run import next_command
from autoseg.cli.options import (
    AGAIN,
    choose_dataset,
    dataset_option,
    load_plan,
    parse_folds,
    plan_option,
    positive,
    read_raw,
    workspace_option,
)
from autoseg.cli.progress import Bar, count, duration
from autoseg.cli.report import make_after
from autoseg.cli.screen import Screen
from autoseg.cli.side_by_side import side_by_side
from autoseg.errors import DeviceError, UsageError
from autoseg.recipe import AUGMENTATIONS, LossName, OptimizerName, ScheduleName
from autoseg.workspace import SUMMARY, fold_folders, fold_of

if TYPE_CHECKING:
    import torch

    from autoseg.case import Dataset
    from autoseg.evaluate import Summary
    from autoseg.plan import Plan, Stage
    from autoseg.planners.folds import Splits
    from autoseg.preprocess.store import PreparedStore
    from autoseg.trainers import FoldCases, Job, PreviousStage
    from autoseg.workspace import Workspace

GIB = 1024**3
LOSSES, OPTIMIZERS, SCHEDULES = (", ".join(get_args(names)) for names in (LossName, OptimizerName, ScheduleName))
AUGMENTATION_NAMES = ", ".join(AUGMENTATIONS)

EPILOG = """\b
Examples:
  autoseg train 2d fold0..4                  all five folds, one after the other
  autoseg train 2d fold0..4 --hours 12       finished in twelve hours
  autoseg train 2d 0 --epochs 100 --lr 1e-3  one fold, options of your own
  autoseg train 2d_lowres fold0..4           the first stage of a cascade, all folds, then
  autoseg train 2d_cascade fold0..4          the second, trained on what the first says of each case
\b
The same command again continues what was stopped and skips what is done.
"""


@click.command(name="train", epilog=EPILOG)
@click.argument("config", metavar="CONFIG", shell_complete=complete.configs)
@click.argument("folds", nargs=-1, required=True, metavar="FOLDS", shell_complete=complete.folds)
@dataset_option
@workspace_option
@plan_option
@click.option(
    "--trainer",
    metavar="NAME",
    default="default",
    show_default=True,
    help="Recipe: default (the plan's), sgd, adamw; other packages add more.",
)
@click.option("--epochs", type=int, metavar="N", help="Length of the training.  [default: the plan's]")
@click.option("--iterations-per-epoch", type=int, metavar="N", help="Steps in an epoch.  [default: the plan's]")
@click.option("--hours", type=float, metavar="H", callback=positive, help="Wall time of all these folds, restarts and validation included.")
@click.option("--lr", type=float, metavar="LR", callback=positive, help="Largest learning rate.")
@click.option("--loss", metavar="NAME", help=f"{LOSSES}; other packages add more.  [default: the plan's]")
@click.option("--optimizer", metavar="NAME", help=f"{OPTIMIZERS}; brings its own rate, schedule and warm-up.  [default: the recipe's]")
@click.option("--schedule", metavar="NAME", help=f"{SCHEDULES}.  [default: the recipe's]")
@click.option("--augmentation", metavar="NAME", help=f"{AUGMENTATION_NAMES}.  [default: the plan's]")
@click.option("--warmup", type=float, metavar="SHARE", help="Share of the training over which the rate rises.  [default: the recipe's]")
@click.option("--batch", type=int, metavar="N", help="Samples in a step; its memory is traced first.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Another seed, other random draws.")
@click.option("--patience", type=int, metavar="N", help="End a fold after N epochs without a better smoothed validation Dice.")
@click.option("--ema", type=float, metavar="DECAY", help="Predict with a moving average of the weights; 0.999, say.")
@click.option("--from", "source", type=Path, metavar="CHECKPOINT", help="Fine-tune: start from a checkpoint file, or a folder of results.")
@click.option("--track", multiple=True, metavar="NAME", help="Write the curve to tensorboard, wandb or mlflow, too; may be repeated.")
@click.option("--deterministic", is_flag=True, help="The same weights every time on the same machine; may be slower.")
@click.option(
    "--device",
    metavar="DEVICE",
    shell_complete=complete.devices,
    help="cpu, cuda, cuda:1; cuda:0,1 trains folds side by side.  [default: the first GPU]",
)
@click.option("--queued", is_flag=True, hidden=True, help="One of several processes of a command, which has the last word itself.")
@click.option("--restart", is_flag=True, help="Discard what these folds have trained so far.")
@click.pass_context
def command(
    context: click.Context,
    /,
    config: str,
    folds: tuple[str, ...],
    dataset: str | None,
    workspace: Path,
    plan_name: str,
    hours: float | None,
    source: Path | None,
    track: tuple[str, ...],
    device: str | None,
    queued: bool,
    restart: bool,
    **options: Any,
) -> None:
    """Train and validate folds of a configuration: one that the plan has, such as 2d, 2d_lowres, 2d_cascade."""
    begun = time.monotonic()
    if options["epochs"] is not None and hours is not None:
        raise UsageError("--epochs and --hours exclude each other: a training ends after a number of steps or after a time.")
    place, folder = choose_dataset(workspace, dataset)

    from autoseg.trainers import TrainOptions

    # The options that are left are its fields.
    given = {"options": TrainOptions(**options), "hours": hours, "source": source, "track": track, "restart": restart, "begun": begun}
    job, devices, num_folds = make_job(place, folder, plan_name, config, folds, device, **given)
    if not queued:
        warn_of_volumes(job.plan.stages[config], devices)
        look_beside(job)
    if len(devices) > 1 and len(job.folds) > 1:
        context.exit(train_side_by_side(context, job, devices, num_folds=num_folds))
    train_in_turn(job, num_folds=num_folds, queued=queued)


def look_beside(job: Job) -> None:
    """Before hours are spent: RunError if folds of another plan are in the run already, and a warning of those of earlier cases."""
    from autoseg.trainers import check_siblings

    splits = load_splits(job.workspace, job.dataset.root)
    for text in check_siblings(job, {str(k): fold_cases(splits, str(k)) for k in range(len(splits.folds))}):
        click.echo(f"  Warning: {text}")


def make_job(
    place: Workspace, folder: Path, plan_name: str, config: str, folds: tuple[str, ...], device: str | None, **given: Any
) -> tuple[Job, tuple[torch.device, ...], int]:
    """The command's job, the devices for it, and how many folds the data set has; `given`: fields of `Job` that need nothing else."""
    from autoseg.trainers import Job

    plan, raw, splits = read_planned(place, folder, plan_name, config)
    chosen = parse_folds(folds, len(splits.folds))
    stage, options = plan.stages[config], given["options"]
    an_epoch = options.iterations_per_epoch or stage.iterations_per_epoch
    iterations = stage.iterations if options.epochs is None else options.epochs * an_epoch
    run = place.run_folder(plan.dataset, plan.name, config, options.trainer)
    finished = [] if given.get("restart") else [one for one in fold_folders(run) if (one / SUMMARY).is_file() and fold_of(one) in chosen]
    left = (len(chosen) - len(finished)) * iterations
    devices = choose_devices(device, plan, config, iterations=left, again=place.options(folder))
    store, previous = open_store(place, plan, config, splits, given["options"].trainer)
    if given["hours"] is None and given["options"].epochs is None:
        given["hours"] = plan.budget.hours
    job = Job(
        workspace=place,
        dataset=raw,
        plan=plan,
        config=config,
        store=store,
        folds={fold: fold_cases(splits, fold) for fold in chosen},
        device=devices[0],
        previous=previous,
        **given,
    )
    return job, devices, len(splits.folds)


def train_side_by_side(context: click.Context, job: Job, devices: tuple[torch.device, ...], *, num_folds: int) -> int:
    """Train folds on several devices at a time, each in a process of its own; the exit code."""
    code = side_by_side(context, job, devices)
    if code < 128:
        make_after(job.workspace, job.dataset.root)
        conclude(job, finished_folds(job), num_folds=num_folds)
    return code


def train_in_turn(job: Job, *, num_folds: int, queued: bool) -> None:
    """Train one fold after the other; the command that `queued` this one has the last word itself."""
    from autoseg.trainers import train_folds

    summaries = train_folds(job, Screen(queued=queued))
    if not queued:
        make_after(job.workspace, job.dataset.root)
        conclude(job, summaries, num_folds=num_folds)


def read_planned(place: Workspace, folder: Path, plan_name: str, config: str) -> tuple[Plan, Dataset, Splits]:
    """The plan, the data set that it fits, its cases in the groups that the folds keep together, and the folds."""
    from autoseg.planners.folds import in_groups

    plan, raw = load(place, folder, plan_name), read_raw(place, folder)
    check_data(place, plan, raw)
    splits = load_splits(place, folder)
    if config not in plan.stages:
        raise UsageError(f"{config} is no configuration of plan {plan.name}; it has {', '.join(plan.stages)}.")
    # What the intervals of the fold's summary are drawn over.
    return plan, replace(raw, train=in_groups(splits, raw.train)), splits


def open_store(place: Workspace, plan: Plan, config: str, splits: Splits, trainer: str) -> tuple[PreparedStore, PreviousStage | None]:
    """The prepared cases of a configuration; in a cascade with the channels of the stage before, which are made if need be."""
    from autoseg.preprocess.store import PreparedStore, plan_key

    store = PreparedStore(place.store_folder(plan.dataset, plan_key(plan, plan.stages[config])))
    previous = stage_before(place, plan, config, splits, trainer, store)
    return (store if previous is None else PreparedStore(store.folder, previous.channels)), previous


def load(place: Workspace, folder: Path, name: str) -> Plan:
    """The data set's plan of this name; UsageError says how to make one."""
    file = place.plan_file(folder.name, name)
    if not file.is_file():
        there = ", ".join(path.stem for path in place.plan_files(folder.name))
        known = f"; there are {there}" if there else ""
        other = "" if name == "default" else f" --plan {shlex.quote(name)}"
        raise UsageError(f"{folder.name} has no plan {name}{known}. Make it: autoseg plan_and_preprocess{other}{place.options(folder)}.")
    plan = load_plan(file)
    if plan.dataset != folder.name:
        raise UsageError(f"{file} is the plan of the data set {plan.dataset}, not of {folder.name}. {AGAIN}")
    return plan


def check_data(place: Workspace, plan: Plan, raw: Dataset) -> None:
    """PlanError if the plan is for other classes, channels or axes than the data set has now, as far as is known without reading images."""
    from autoseg.errors import FileFormatError, PlanError
    from autoseg.fingerprint import Fingerprint
    from autoseg.io.json_files import load_json
    from autoseg.io.plan_fit import misfits

    num_channels = num_axes = None
    try:
        measured = load_json(place.fingerprint_file(plan.dataset), Fingerprint)
        num_channels, num_axes = measured.num_channels, measured.num_axes
    except FileFormatError:
        # Nothing of it is needed to train; plan_and_preprocess measures again.
        pass
    if found := misfits(plan, classes=raw.classes, num_channels=len(raw.channels) or num_channels, num_axes=num_axes):
        listing = "\n".join(f"  {problem}" for problem in found)
        file = place.plan_file(plan.dataset, plan.name)
        raise PlanError(
            f"{file} is for other data than {plan.dataset} holds:\n{listing}\nMake another plan: autoseg plan_and_preprocess "
            f"--plan NAME{place.options(raw.root)}, or delete the file first and leave out --plan."
        )


def load_splits(place: Workspace, folder: Path) -> Splits:
    """The folds of the data set in this folder."""
    from autoseg.io.json_files import load_json
    from autoseg.planners.folds import Splits

    file = place.splits_file(folder.name)
    if not file.is_file():
        command = f"autoseg status{place.options(folder)}"
        raise UsageError(f"{file} is missing, which says what each fold trains on. {command} gives the command that makes it.")
    return load_json(file, Splits, hint=AGAIN)


def fold_cases(splits: Splits, fold: str) -> FoldCases:
    """The names of a fold's cases; "all" trains on every case."""
    from autoseg.trainers import FoldCases

    if fold == "all":
        return FoldCases(train=tuple(sorted({name for part in splits.folds for name in (*part.train, *part.val)})), val=())
    part = splits.folds[int(fold)]
    return FoldCases(train=part.train, val=part.val)


def stage_before(place: Workspace, plan: Plan, config: str, splits: Splits, trainer: str, store: PreparedStore) -> PreviousStage | None:
    """The stage before in a cascade, its channels prepared; None for any other configuration."""
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.trainers import prepare_previous_stage

    stage = plan.stages[config]
    if stage.previous is None:
        return None
    val = {str(number): fold.val for number, fold in enumerate(splits.folds)}
    needed = {name for fold in splits.folds for name in (*fold.train, *fold.val)}
    with Bar(f"Preparing the channels of {stage.previous}", "case") as bar:
        return prepare_previous_stage(
            place, plan, stage, trainer=trainer, val=val, needed=needed, store=store, workers=count_cores(), progress=bar
        )


def choose_devices(given: str | None, plan: Plan, config: str, *, iterations: int, again: str) -> tuple[torch.device, ...]:
    """The devices to train on; a GPU's plan without a GPU needs --device cpu, and is told what that costs.

    `again`: the options by which a command means the data set, see `Workspace.options`.
    """
    import torch

    from autoseg.infer.devices import parse_devices, why_no_gpu

    if plan.budget.kind == "cuda" and given is None and not torch.cuda.is_available():
        raise UsageError(
            f"the plan {plan.name} is for {plan.budget.name}, and {why_no_gpu()}. Plan for this machine's processor "
            f"(autoseg plan_and_preprocess --gpu cpu --hours 1{again}), or train this plan as it is with --device cpu."
        )
    devices = parse_devices(given or ("cpu" if plan.budget.kind == "cpu" else None))
    for device in devices:
        if device.type == "cuda":
            check_memory(plan, config, torch.cuda.get_device_properties(device).total_memory, str(device), again)
    if plan.budget.kind == "cuda" and devices[0].type == "cpu" and iterations:
        _warn_of_hours(plan, config, devices[0], iterations, again)
    return devices


def warn_of_volumes(stage: Stage, devices: tuple[torch.device, ...]) -> None:
    """Say where a device's torch computes nets with three axes slowly, or wrongly."""
    from autoseg.infer.devices import warn_of_volumes as warn
    from autoseg.infer.nets import device_precision

    for device in devices:
        warn(stage.network.num_axes, device_precision(stage.precision, device), device)


def check_memory(plan: Plan, config: str, total_bytes: int, device: str, again: str) -> None:
    """DeviceError if a device has less memory than the plan's traced peak, before it runs out of it."""
    needed = plan.stages[config].memory.peak_bytes
    if needed > total_bytes:
        raise DeviceError(
            f"the plan {plan.name} for {plan.budget.name} needs {needed / GIB:.1f} GiB, and {device} has {total_bytes / GIB:.1f} GiB. "
            f"Plan for it: autoseg plan_and_preprocess{again} (or --gpu-memory {int(total_bytes / GIB)})."
        )


def _warn_of_hours(plan: Plan, config: str, device: torch.device, iterations: int, again: str) -> None:
    from autoseg.infer.nets import device_precision
    from autoseg.stopwatch import measure_step

    stage = plan.stages[config]
    click.echo(f"  Timing one step of the plan for {plan.budget.name} on the processor ...")
    step_s = measure_step(replace(stage, precision=device_precision(stage.precision, device)), device, exclusive=plan.labels.exclusive)
    click.echo(
        f"  {step_s:.3g} s per step: {duration(math.ceil(step_s * iterations))} for {count(iterations, 'step')}. A plan for this machine: "
        f"autoseg plan_and_preprocess --gpu cpu --hours 1{again}"
    )


def finished_folds(job: Job) -> dict[str, Summary]:
    """The scores of the job's folds that are finished."""
    from autoseg.evaluate import load_summary

    files = {fold: job.folder(fold).summary for fold in job.folds}
    return {fold: load_summary(file) for fold, file in files.items() if file.is_file()}


def conclude(job: Job, summaries: dict[str, Summary], *, num_folds: int) -> None:
    """The Dice of all folds together, and the next command."""
    if not summaries:
        return
    scored = {fold: summary.mean["dice"] for fold, summary in summaries.items() if summary.mean.get("dice") is not None}
    if len(scored) > 1:
        values = [value for value in scored.values() if value is not None]
        click.echo(f"Mean validation Dice of {len(values)} folds: {sum(values) / len(values):.4f}")
    if scored and not any(scored.values()):
        click.echo("No held-out case was met anywhere: these nets predict nothing of use. Train longer (--epochs, --hours).")
    click.echo(f"Next: {next_command(job, num_folds, is_of_all='all' in summaries)}")
