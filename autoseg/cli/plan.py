"""autoseg plan_and_preprocess"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import AGAIN, choose_dataset, dataset_option, load_plan, plan_option, positive, workspace_option
from autoseg.cli.progress import Bar, duration, size
from autoseg.errors import UsageError

if TYPE_CHECKING:
    import torch

    from autoseg.budget import Budget
    from autoseg.case import Dataset
    from autoseg.fingerprint import Fingerprint
    from autoseg.plan import Plan
    from autoseg.planners.folds import Splits
    from autoseg.workspace import Workspace

logger = logging.getLogger(__name__)
GIB = 1024**3

EPILOG = """\b
Examples:
  autoseg plan_and_preprocess -d HandBone                        for the GPU of this machine
  autoseg plan_and_preprocess -d HandBone --gpu v100-32gb        for another one
  autoseg plan_and_preprocess -d HandBone --gpu cpu --hours 0.5  for this machine's processor and half an hour
"""


@click.command(name="plan_and_preprocess", epilog=EPILOG)
@dataset_option
@workspace_option
@click.option("--gpu", metavar="NAME", help="Plan for this GPU (v100-32gb, rtx3090, ...) or cpu.  [default: the GPU of this machine]")
@click.option("--gpu-memory", type=float, metavar="GIB", callback=positive, help="Plan for a GPU with this much memory.")
@click.option("--configs", metavar="LIST", help="Configurations, separated by commas.  [default: those the data set needs]")
@click.option("--hours", type=float, metavar="H", callback=positive, help="Wall time for the training of all folds.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that read and prepare.  [default: all cores]")
@plan_option
def command(
    dataset: str | None,
    workspace: Path,
    gpu: str | None,
    gpu_memory: float | None,
    configs: str | None,
    hours: float | None,
    workers: int | None,
    plan_name: str,
) -> None:
    """Measure a data set, decide everything, and prepare its cases for training."""
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.io.layouts import read_dataset

    wanted = _split(configs)
    if wanted:
        from autoseg.planners import check_config

        for name in wanted:
            check_config(name)
    place, folder = choose_dataset(workspace, dataset)
    budget = choose_budget(gpu, gpu_memory, hours)
    raw = read_dataset(folder)
    workers = workers or count_cores()
    fingerprint = measured(place, raw, workers)
    splits = made_splits(place, fingerprint)
    plan = planned(place, fingerprint, budget, splits, name=plan_name, configs=wanted)
    say_disk(place, fingerprint, plan)
    prepared(place, raw, plan, workers)
    place.remember(folder)
    click.echo(f"Next: autoseg train {next(iter(plan.stages))} fold0..{len(splits.folds) - 1}")


def _split(configs: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in configs.split(",") if part.strip()) if configs else ()


def choose_budget(gpu: str | None, gpu_memory: float | None, hours: float | None) -> Budget:
    """The budget that --gpu and --gpu-memory mean."""
    from autoseg.budget import DEFAULT_GPU, memory_budget, named_gpu
    from autoseg.fingerprint.hardware import cpu_budget, detect_budget

    if gpu is not None and gpu_memory is not None:
        raise UsageError("--gpu and --gpu-memory exclude each other; give one of them.")
    if gpu_memory is not None:
        return memory_budget(gpu_memory, hours=hours)
    if gpu is None:
        found = detect_budget(hours)
        if found is not None:
            click.echo(f"Planning for this machine's GPU: {found.name}, {found.memory_bytes / GIB:.1f} GiB")
            return found
        click.echo(f"No GPU here: planning for {DEFAULT_GPU}. --gpu cpu plans for this machine's processor instead.")
        return named_gpu(DEFAULT_GPU, hours=hours)
    return cpu_budget(hours) if gpu.lower() == "cpu" else named_gpu(gpu, hours=hours)


def measured(place: Workspace, raw: Dataset, workers: int) -> Fingerprint:
    """The fingerprint: as stored if the raw files are unchanged, else measured now."""
    from autoseg.errors import FileFormatError
    from autoseg.fingerprint import FINGERPRINT_VERSION, Fingerprint, identity_of, measure
    from autoseg.io.json_files import load_json

    file = place.fingerprint_file(raw.name)
    if file.is_file():
        try:
            known = load_json(file, Fingerprint)
        except FileFormatError as error:
            logger.info("measuring again: %s", error)
        else:
            elsewhere = Path(known.root).resolve() != raw.root.resolve() and Path(known.root).is_dir()
            # A workspace that was copied holds its own copy of the data in raw/, to which the name belongs.
            if elsewhere and raw.root.resolve() != (place.raw / raw.name).resolve():
                raise UsageError(
                    f"the name {raw.name} is taken in this workspace by {known.root}; "
                    f"rename the folder {raw.root}, or use another workspace (-w)."
                )
            if known.version == FINGERPRINT_VERSION and known.identity == identity_of(raw):
                click.echo(f"  Fingerprint: unchanged ({file})")
                return _as_it_is_here(file, known, raw.root)
    with Bar("Measuring", "case") as bar:
        fingerprint = measure(raw, workers=workers, progress=bar)
    return _as_it_is_here(file, fingerprint, raw.root)


def _as_it_is_here(file: Path, fingerprint: Fingerprint, root: Path) -> Fingerprint:
    """The fingerprint with the machine at hand and the data's place in it, written if that changes it."""
    from dataclasses import replace

    from autoseg.fingerprint.hardware import hardware
    from autoseg.io.json_files import save_json

    now = replace(fingerprint, hardware=hardware(), root=str(root.resolve()))
    if now != fingerprint or not file.is_file():
        fingerprint = now
        save_json(file, fingerprint)
    return fingerprint


def made_splits(place: Workspace, fingerprint: Fingerprint) -> Splits:
    """The folds: a file that a person may have edited is kept as long as its cases are the data set's."""
    from autoseg.io.json_files import load_json, save_json
    from autoseg.planners.folds import Splits, make_splits

    file = place.splits_file(fingerprint.dataset)
    names = {case.name for case in fingerprint.cases}
    if file.is_file():
        known = load_json(file, Splits, hint=AGAIN)
        if {name for fold in known.folds for name in (*fold.train, *fold.val)} == names:
            return known
        earlier = file.with_name("splits_earlier.json")
        file.replace(earlier)
        click.echo(f"  {file} does not name the cases that the data set holds: the folds are made anew; the earlier ones are in {earlier}")
    splits = make_splits(fingerprint)
    save_json(file, splits)
    for key in ("groups", "folds", "missing"):
        if key in splits.reasons:
            click.echo(f"  {'Warning' if key == 'missing' else key.capitalize()}: {splits.reasons[key]}")
    return splits


def planned(place: Workspace, fingerprint: Fingerprint, budget: Budget, splits: Splits, *, name: str, configs: tuple[str, ...]) -> Plan:
    """Make the plan and print what was decided and why; a plan made from the same inputs is kept."""
    from autoseg.io.json_files import save_json
    from autoseg.planners import PLANNERS, Request

    file = place.plan_file(fingerprint.dataset, name)
    replaces = ""
    if file.is_file():
        known = load_plan(file)
        wanted = set(configs) <= set(known.stages)
        if known.fingerprint == fingerprint.checksum() and known.budget == budget and wanted:
            click.echo(f"  Plan: unchanged ({file})")
            return known
        replaces = f" replaces the one for {known.budget.name}; --plan NAME keeps both"
    device = device_at_hand(budget) if budget.hours is not None else None
    click.echo(f"  Planning for {budget.name} ...")
    plan = PLANNERS["default"](fingerprint, budget, Request(name=name, configs=configs, num_folds=len(splits.folds), device=device))
    save_json(file, plan)
    show(plan)
    click.echo(f"  Plan: {file}{replaces}")
    return plan


def device_at_hand(budget: Budget) -> torch.device | None:
    """The device that a budget stands for, if it is in this machine: the processor, or a GPU of that name."""
    import torch

    from autoseg.fingerprint.hardware import detect_budget

    if budget.kind == "cpu":
        return torch.device("cpu")
    found = detect_budget()
    return torch.device("cuda") if found is not None and found.name == budget.name else None


def show(plan: Plan) -> None:
    """What was decided, and why."""
    for key, reason in plan.reasons.items():
        click.echo(f"  {key}: {reason}")
    for stage in plan.stages.values():
        patch = " x ".join(map(str, stage.patch))
        click.echo(f"  {stage.name}: patch {patch}, batch {stage.batch}, {len(stage.network.features)} stages, {stage.precision}")
        for key, reason in stage.reasons.items():
            click.echo(f"    {key}: {reason}")
        if stage.step_s is not None:
            total = stage.step_s * stage.iterations
            click.echo(f"    time: {stage.step_s:.3g} s per step here; {stage.iterations:,} steps would take {duration(total)} per fold")


def say_disk(place: Workspace, fingerprint: Fingerprint, plan: Plan) -> None:
    """What the prepared cases will take at most, before it is taken."""
    import math
    import shutil

    import numpy as np

    needed = 0
    for stage in plan.stages.values():
        # A resampled image is fp32; else pixels keep their dtype. Compression, which usually halves it, is not counted on.
        for case in fingerprint.cases:
            item = 4 if stage.resample else np.dtype(case.dtype).itemsize
            scale = math.prod(max(1.0, s / t) for s, t in zip(case.spacing, stage.spacing, strict=True)) if stage.resample else 1.0
            needed += math.ceil(scale * math.prod(case.shape)) * (item * fingerprint.num_channels + 2)
    free = shutil.disk_usage(place.root).free
    click.echo(f"  Disk: at most {size(needed)} for the prepared cases, {size(free)} are free")
    if needed > 2 * free:
        raise UsageError(f"{place.root.resolve()} has {size(free)} free, too little for the prepared cases; use another workspace (-w).")


def prepared(place: Workspace, raw: Dataset, plan: Plan, workers: int) -> None:
    """Prepare what is missing, for every stage."""
    from autoseg.preprocess.dataset import prepare_dataset
    from autoseg.preprocess.store import PreparedStore, plan_key

    for stage in plan.stages.values():
        store = PreparedStore(place.store_folder(plan.dataset, plan_key(plan, stage)))
        with Bar(f"Preparing {stage.name}", "case") as bar:
            made = prepare_dataset(raw, plan, stage=stage, store=store, workers=workers, progress=bar)
        if not made:
            click.echo(f"  Preparing {stage.name}: all {len(raw.train)} cases are there")
