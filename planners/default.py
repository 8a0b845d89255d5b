"""The default planner: from what was measured to everything that is decided, with the reasons in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from autoseg.budget import Budget
from autoseg.errors import UsageError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import CONFIGURATIONS, Memory, Plan, Stage
from autoseg.planners.duration import planned_duration
from autoseg.planners.labels import decide_labels
from autoseg.planners.normalization import decide_crop, decide_normalization
from autoseg.planners.pose import decide_pose
from autoseg.planners.search import Choice, Tracer, batch_cap, largest_that_fits, within_time
from autoseg.planners.spacing import SpacingDecision, decide_spacing
from autoseg.planners.topology import unet
from autoseg.recipe import recipe_for
from autoseg.stopwatch import measure_step

BUILDABLE = ("2d",)
UNKNOWN = Memory(peak_bytes=0, budget_bytes=0)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks of a plan.

    Parameters
    ----------
    name : str
        Of the plan.
    configs : tuple of str
        Configurations; empty: those the data set needs.
    num_folds : int
        Folds that share the hours.
    device : torch.device or None
        A device at hand on which steps are measured; None if the plan is for another machine.
    """

    name: str = "default"
    configs: tuple[str, ...] = ()
    num_folds: int = 5
    device: torch.device | None = None


def make_plan(fingerprint: Fingerprint, budget: Budget, request: Request) -> Plan:
    """Decide everything.

    Parameters
    ----------
    fingerprint : Fingerprint
    budget : Budget
    request : Request

    Raises
    ------
    PlanError
        If no net fits the budget.
    UsageError
        If a configuration does not exist.
    """
    labels, why_labels = decide_labels(fingerprint)
    normalization, why_normalization = decide_normalization(fingerprint)
    crop, why_crop = decide_crop(fingerprint)
    reasons = {"labels": why_labels, "normalization": why_normalization, "crop": why_crop}
    if budget.hours is not None and request.device is None:
        reasons["hours"] = f"{budget.name} is not at hand: no step could be measured, so the time given decides no patch"
    plan = Plan(
        name=request.name,
        dataset=fingerprint.dataset,
        fingerprint=fingerprint.checksum(),
        labels=labels,
        num_axes=fingerprint.num_axes,
        unit=fingerprint.unit,
        channels=fingerprint.channels or tuple(f"channel {c}" for c in range(fingerprint.num_channels)),
        normalization=normalization,
        crop_to_nonzero=crop,
        budget=budget,
        stages={},
        reasons=reasons,
    )
    stages = {name: plan_stage(name, fingerprint, plan, request) for name in request.configs or needed_configs(fingerprint)}
    return replace(plan, stages=stages)


def needed_configs(fingerprint: Fingerprint) -> tuple[str, ...]:
    """The configurations that a data set needs."""
    return ("2d",)


def check_config(name: str) -> None:
    """UsageError unless a configuration of this name can be planned."""
    if name not in CONFIGURATIONS:
        raise UsageError(f"--configs {name} is not a configuration; there are {', '.join(CONFIGURATIONS)}.")
    if name not in BUILDABLE:
        raise UsageError(f"--configs {name} is not built yet; there is {', '.join(BUILDABLE)}.")


def plan_stage(name: str, fingerprint: Fingerprint, plan: Plan, request: Request) -> Stage:
    """One configuration of a plan whose other fields are settled."""
    check_config(name)
    grid = decide_spacing(fingerprint, net_axes=2, crop=plan.crop_to_nonzero)
    stage = _whole_image(name, fingerprint, plan, grid)
    images = _num_images(fingerprint, grid)
    tracer = Tracer(plan.budget, exclusive=plan.labels.exclusive, has_ignore=plan.labels.has_ignore)
    choice = _settle(stage, images, plan, request, tracer)
    stage = _with_duration(choice, images, plan.budget, request, grid)
    # The optimizer was settled last; what stands in the plan is the memory of what is trained.
    settled = replace_memory(Choice(stage=stage, reasons=stage.reasons), tracer)
    return replace(settled.stage, reasons=settled.reasons)


def _whole_image(name: str, fingerprint: Fingerprint, plan: Plan, grid: SpacingDecision) -> Stage:
    """The stage whose patch covers the whole image, with the smallest batch: where the search begins."""
    net_axes = [axis for axis in range(fingerprint.num_axes) if axis != grid.slice_axis]
    shape = tuple(grid.image_shape[axis] for axis in net_axes)
    patch, network = unet(
        shape, [grid.spacing[axis] for axis in net_axes], in_channels=fingerprint.num_channels, num_heads=plan.labels.num_heads
    )
    pose = decide_pose(fingerprint, slice_axis=grid.slice_axis)
    return Stage(
        name=name,
        slice_axis=grid.slice_axis,
        spacing=grid.spacing,
        resample=grid.resample,
        image_shape=grid.image_shape,
        patch=patch,
        batch=2,
        network=network,
        precision=plan.budget.precision,
        memory=UNKNOWN,
        mirror_axes=pose.mirror_axes,
        mirror_swap=pose.mirror_swap,
        rotation_degrees=pose.rotation_degrees,
        iterations=1,
        iterations_per_epoch=1,
        # A timed training may be short and take AdamW, whose state is the larger: what is traced must hold for it.
        recipe=recipe_for("dice_ce" if plan.labels.exclusive else "dice_bce", 10_000 if plan.budget.hours is None else 1),
        priors=fingerprint.priors,
        reasons={"pose": pose.reason, **grid.reasons},
    )


def _settle(stage: Stage, images: int, plan: Plan, request: Request, tracer: Tracer) -> Choice:
    """Patch, batch and checkpointing: by memory, then by time where it is short and a step can be measured."""
    shape = tuple(size for axis, size in enumerate(stage.image_shape) if axis != stage.slice_axis)
    by_memory = largest_that_fits(stage, tracer, batch_cap=batch_cap(images, shape, stage.patch))
    if plan.budget.hours is None or request.device is None:
        return by_memory
    device = request.device
    known: dict[tuple[object, ...], float] = {}

    def measure(candidate: Stage) -> float:
        key = (candidate.patch, candidate.batch)
        if key not in known:
            known[key] = measure_step(candidate, device, exclusive=plan.labels.exclusive)
        return known[key]

    def cap(candidate: Stage) -> int:
        # Memory grows with the pixels of a batch: as many as fitted on larger patches fit on smaller ones.
        pixels = by_memory.stage.batch * math.prod(by_memory.stage.patch)
        return min(batch_cap(images, shape, candidate.patch), pixels // math.prod(candidate.patch))

    timed = within_time(by_memory.stage, fold_seconds(plan.budget.hours, request.num_folds), measure, cap)
    reasons = {**by_memory.reasons, **timed.reasons}
    return Choice(stage=timed.stage, reasons=reasons)


def replace_memory(choice: Choice, tracer: Tracer) -> Choice:
    """The choice with the traced memory of its final stage."""
    memory = tracer.memory(choice.stage)
    words = f"{memory.peak_bytes / 1024**3:.2f} GiB traced of {memory.budget_bytes / 1024**3:.1f} GiB"
    return Choice(stage=replace(choice.stage, memory=memory), reasons={**choice.reasons, "memory": words})


def _with_duration(choice: Choice, images: int, budget: Budget, request: Request, grid: SpacingDecision) -> Stage:
    stage = choice.stage
    trained = max(1, round(images * (1 - 1 / request.num_folds)))
    fold_s = None if budget.hours is None else fold_seconds(budget.hours, request.num_folds)
    duration = planned_duration(trained, stage.batch, fold_s=fold_s, step_s=stage.step_s)
    expected = duration.expected
    recipe = recipe_for(stage.recipe.loss, expected)
    reasons = {**stage.reasons, **choice.reasons, "length": duration.reason, "recipe": _recipe_words(recipe.optimizer, expected)}
    return replace(
        stage, recipe=recipe, iterations=duration.iterations, iterations_per_epoch=duration.iterations_per_epoch, reasons=reasons
    )


def _recipe_words(optimizer: str, iterations: int) -> str:
    if optimizer == "adamw":
        return f"AdamW with warm-up and cosine: {iterations:,} iterations are too few for SGD's momentum of 0.99"
    return f"SGD with Nesterov momentum and a polynomial schedule, as {iterations:,} iterations allow"


def fold_seconds(hours: float, num_folds: int) -> float:
    """Wall time of one fold if `num_folds` share the hours."""
    return hours * 3600 / num_folds


def _num_images(fingerprint: Fingerprint, grid: SpacingDecision) -> int:
    """Images, or slices of volumes."""
    if grid.slice_axis is None:
        return len(fingerprint.cases)
    return sum(case.shape[grid.slice_axis] for case in fingerprint.cases)
