"""autoseg plan_and_preprocess"""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.budgets import choose_budget, device_at_hand, shipped_budget
from autoseg.cli.options import (
    choose_dataset,
    dataset_option,
    free_name,
    load_plan,
    plan_name,
    plan_option,
    positive,
    read_raw,
    workspace_option,
)
from autoseg.cli.progress import Bar, duration, size
from autoseg.cli.replaced import cut_off
from autoseg.cli.splits import grouped, made_splits
from autoseg.errors import UsageError
from autoseg.workspace import LOCK

if TYPE_CHECKING:
    from autoseg.budget import Budget
    from autoseg.case import Dataset
    from autoseg.fingerprint import Fingerprint
    from autoseg.plan import Plan
    from autoseg.planners.folds import Splits
    from autoseg.workspace import Workspace

logger = logging.getLogger(__name__)

EPILOG = """\b
Examples:
  autoseg plan_and_preprocess -d HandBone                        for the GPU of this machine
  autoseg plan_and_preprocess -d HandBone --gpu v100-32gb        for another one
  autoseg plan_and_preprocess -d HandBone --gpu cpu --hours 0.5  for this machine's processor and half an hour
  autoseg plan_and_preprocess -d HandBone --plan small --set 2d.patch=1024,1024 --set 2d.batch=4
"""


@click.command(name="plan_and_preprocess", epilog=EPILOG)
@dataset_option
@workspace_option
@click.option("--gpu", metavar="NAME", help="Plan for this GPU (v100-32gb, rtx3090, ...) or cpu.  [default: the GPU of this machine]")
@click.option("--gpu-memory", type=float, metavar="GIB", callback=positive, help="Plan for a GPU with this much memory.")
@click.option("--configs", metavar="LIST", help="Configurations, separated by commas.  [default: those the data set needs]")
@click.option("--hours", type=float, metavar="H", callback=positive, help="Wall time for the training of all folds.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that read and prepare.  [default: all cores]")
@click.option(
    "--group-regex",
    metavar="REGEX",
    help="Cases in whose names this expression finds the same text (its first parentheses, else all it matches) stay in one fold.",
)
@plan_option
@click.option(
    "--planner",
    metavar="NAME",
    default="default",
    show_default=True,
    callback=plan_name,
    help="resenc: U-Nets with residual encoders, larger and slower; or a planner of another package. The plan is called so, too.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Decide a field of the plan yourself, such as 2d.patch=1024,1024; what follows from it is decided anew. Several times.",
)
def command(
    dataset: str | None,
    workspace: Path,
    gpu: str | None,
    gpu_memory: float | None,
    configs: str | None,
    hours: float | None,
    workers: int | None,
    group_regex: str | None,
    plan_name: str,
    planner: str,
    overrides: tuple[str, ...],
) -> None:
    """Measure a data set, decide everything, and prepare its cases for training."""
    from autoseg.experiment_plans import names as shipped
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.io.atomic import remove_leftovers
    from autoseg.io.locks import locked
    from autoseg.planners import find_planner
    from autoseg.planners.settings import parse_settings

    find_planner(planner)
    if plan_name == "default":
        plan_name = planner
    wanted = _split(configs)
    if wanted:
        from autoseg.planners import check_config

        for name in wanted:
            check_config(name)
    overrides = tuple(setting.text for setting in parse_settings(overrides))
    place, folder = choose_dataset(workspace, dataset)
    if (known := place.plan_file(folder.name, plan_name)).is_file():
        load_plan(known)  # one that cannot be read is met before minutes are spent
    asked = (gpu, gpu_memory, hours)
    budget = shipped_budget(plan_name, *asked, configs) if plan_name in shipped() else choose_budget(*asked)
    raw, group_regex, regrouped = grouped(place, read_raw(place, folder), group_regex)
    workers = workers or count_cores()
    with locked(place.preprocessed(raw.name) / LOCK, "planned and prepared"):
        for place_of in (place.fingerprint_file(raw.name), place.plan_file(raw.name, plan_name)):
            remove_leftovers(place_of.parent, everyones=True)
        fingerprint = measured(place, raw, workers, group_regex)
        splits = made_splits(place, fingerprint, regrouped=regrouped)
        plan = planned(place, fingerprint, budget, splits, name=plan_name, configs=wanted, planner=planner, overrides=overrides)
        say_disk(place, fingerprint, plan)
        prepared(place, raw, plan, workers)
    place.remember(folder)
    other = "" if plan_name == "default" else f" --plan {shlex.quote(plan_name)}"
    click.echo(next_command(plan, f"fold0..{len(splits.folds) - 1}{other}{place.fewest_options(folder)}"))


def next_command(plan: Plan, folds: str) -> str:
    """What to type next: a cascade where there is one, its first stage first."""
    from autoseg.planners.view import shown
    from autoseg.standing.next_step import first_config

    cascade = next((stage for stage in plan.stages.values() if stage.previous is not None), None)
    if cascade is None:
        # Of volumes both are planned, and the net that sees all three axes is the one that is nearly always better.
        first = first_config(plan)
        others = [name for name in plan.stages if name != first] if first == "3d_fullres" else []
        as_well = f" ({' and '.join(others)} {'is' if len(others) == 1 else 'are'} planned, too)" if others else ""
        return f"Next: autoseg train {first} {folds}{as_well}"
    single = plan.stages.get("3d_fullres" if cascade.name.startswith("3d") else "2d")
    less = single is not None and shown(single) < 1
    alone = f" (or autoseg train {single.name} {folds} alone, whose patch shows less)" if single is not None and less else ""
    return f"Next: autoseg train {cascade.previous} {folds}, then autoseg train {cascade.name} {folds}{alone}"


def _split(configs: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in configs.split(",") if part.strip()) if configs else ()


def measured(place: Workspace, raw: Dataset, workers: int, group_regex: str = "") -> Fingerprint:
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
                return _as_it_is_here(file, known, raw, group_regex)
    with Bar("Measuring", "case") as bar:
        fingerprint = measure(raw, workers=workers, progress=bar)
    return _as_it_is_here(file, fingerprint, raw, group_regex)


def _as_it_is_here(file: Path, fingerprint: Fingerprint, raw: Dataset, group_regex: str) -> Fingerprint:
    """The fingerprint with the machine at hand, the data's place, patients' names and the groups' source, written if that changes it."""
    from dataclasses import replace

    from autoseg.fingerprint.hardware import hardware
    from autoseg.io.json_files import save_json

    # Of the same data they are the same groups, but for names that another salt, or an earlier version, gave them.
    groups = {case.name: case.group for case in raw.train}
    cases = tuple(replace(case, group=groups[case.name]) for case in fingerprint.cases)
    now = replace(fingerprint, hardware=hardware(), root=str(raw.root.resolve()), group_regex=group_regex, cases=cases)
    if now != fingerprint or not file.is_file():
        fingerprint = now
        save_json(file, fingerprint)
    return fingerprint


def planned(
    place: Workspace,
    fingerprint: Fingerprint,
    budget: Budget,
    splits: Splits,
    *,
    name: str,
    configs: tuple[str, ...],
    planner: str = "default",
    overrides: tuple[str, ...] = (),
) -> Plan:
    """Make the plan and print what was decided and why; a plan made from the same inputs is kept, edited by hand or not."""
    from dataclasses import replace

    from autoseg.io.json_files import save_json
    from autoseg.planners.overrides import apply_overrides

    file = place.plan_file(fingerprint.dataset, name)
    known = load_known(file, fingerprint) if file.is_file() else None
    if known is not None:
        # How many threads read is no decision of the planner's: a person may change it in the file.
        inputs = (known.fingerprint, replace(known.budget, workers=budget.workers), known.planner, sorted(known.overrides))
        if inputs == (fingerprint.checksum(), budget, planner, sorted(overrides)) and set(configs) <= set(known.stages):
            click.echo(f"  Plan: unchanged ({file})")
            return known
    plan = made_plan(fingerprint, budget, splits, name=name, configs=configs, planner=planner)
    plan = apply_overrides(plan, overrides, fingerprint, num_folds=len(splits.folds)) if overrides else plan
    replaces = "" if known is None else set_aside(place, known, plan) + cut_off(place, known, plan)
    save_json(file, plan)
    show(plan)
    click.echo(f"  Plan: {file}{replaces}")
    return plan


def load_known(file: Path, fingerprint: Fingerprint) -> Plan:
    """A plan that is there already; PlanError if it is for other classes, channels or axes than the data set has."""
    from autoseg.errors import PlanError
    from autoseg.io.plan_fit import misfits

    plan = load_plan(file)
    found = misfits(plan, classes=fingerprint.classes, num_channels=fingerprint.num_channels, num_axes=fingerprint.num_axes)
    if found:
        listing = "\n".join(f"  {problem}" for problem in found)
        raise PlanError(
            f"{file} is for other data than {fingerprint.dataset} holds:\n{listing}\nDelete it to plan anew, or keep both: --plan NAME."
        )
    return plan


def made_plan(
    fingerprint: Fingerprint, budget: Budget, splits: Splits, *, name: str, configs: tuple[str, ...], planner: str = "default"
) -> Plan:
    """The planner's plan, or the one of this name that comes with autoseg."""
    from dataclasses import replace

    from autoseg import experiment_plans
    from autoseg.planners import Request, find_planner

    if name in experiment_plans.names():
        plan = experiment_plans.plan_for(name, fingerprint)
        for stage in plan.stages.values():
            if note := experiment_plans.other_size(stage, fingerprint):
                click.echo(f"  Warning: {stage.name}: {note}")
        return plan
    device = device_at_hand(budget) if budget.hours is not None else None
    click.echo(f"  Planning for {budget.name} ...")
    request = Request(name=name, configs=configs, num_folds=len(splits.folds), device=device)
    # What a planner set in the manner of --set is its own decision and no person's.
    return replace(find_planner(planner)(fingerprint, budget, request), name=name, planner=planner, overrides=())


def set_aside(place: Workspace, known: Plan, plan: Plan) -> str:
    """Keep a plan that is replaced, which a person may have edited, beside the folder of plans; and the words that say so."""
    from autoseg.io.atomic import write_bytes

    earlier = free_name(place.earlier_plan_file(plan.dataset, plan.name))
    write_bytes(earlier, place.plan_file(plan.dataset, plan.name).read_bytes())
    if known.budget != plan.budget:
        which = f"the one for {known.budget.name}"
    elif known.planner != plan.planner:
        which = f"the one of --planner {known.planner}"
    elif known.overrides != plan.overrides:
        which = f"the one with {' '.join(f'--set {text}' for text in known.overrides) or 'nothing set'}"
    else:
        which = "the earlier one"
    return f" replaces {which}; --plan NAME keeps both\n  The earlier plan: {earlier}"


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

    from autoseg.preprocess.prepare import resampled_shape
    from autoseg.preprocess.store import plan_key

    needed = 0
    # Stages that prepare alike share their cases. What a cascade adds compresses to about a hundredth, and is not counted.
    for stage in {plan_key(plan, stage): stage for stage in plan.stages.values()}.values():
        # A resampled image is fp32; else pixels keep their dtype. Compression, which usually halves it, is not counted on.
        for case in fingerprint.cases:
            item = 4 if stage.resample else np.dtype(case.dtype).itemsize
            sizes = resampled_shape(case.shape, case.spacing, stage=stage)
            scale = math.prod(sizes) / math.prod(case.shape)
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
