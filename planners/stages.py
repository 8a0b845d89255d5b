"""One stage of a plan: its grid and net, then patch and batch by memory and time, then its length."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from autoseg.budget import GIB
from autoseg.fingerprint import Fingerprint
from autoseg.geometry import SAME_SPACING
from autoseg.plan import Memory, Plan, Stage
from autoseg.planners.candidates import coarser, lower_resolutions, smaller_patches, with_voxels
from autoseg.planners.duration import Duration, planned_duration
from autoseg.planners.pose import decide_pose
from autoseg.planners.search import (
    Cap,
    Choice,
    Tracer,
    batch_cap,
    batch_words,
    largest_fitting,
    largest_that_fits,
    raise_batch,
    require_fitting,
    view_words,
)
from autoseg.planners.spacing import decide_spacing
from autoseg.planners.timing import within_time
from autoseg.planners.topology import decide_decoder, unet
from autoseg.planners.view import View
from autoseg.recipe import recipe_for
from autoseg.stopwatch import measure_step

UNKNOWN = Memory(peak_bytes=0, budget_bytes=0)
#: The second stages, and the first ones that they build on.
PREVIOUS = {"2d_cascade": "2d_lowres", "3d_cascade_fullres": "3d_lowres"}
#: A patch of volumes that covers less than this share of the median image asks for a first stage at a low resolution, which covers as much
#: (nnU-Net).
LEAST_COVER = 0.25


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all stages of a plan are made from.

    Parameters
    ----------
    fingerprint : Fingerprint
    plan : Plan
        With everything but its stages.
    tracer : Tracer
    view : View
        What the data set asks of a patch.
    num_folds : int
        Folds that share the hours.
    device : torch.device or None
        A device at hand on which steps are measured.
    """

    fingerprint: Fingerprint
    plan: Plan
    tracer: Tracer
    view: View
    num_folds: int
    device: torch.device | None

    @property
    def fold_s(self) -> float | None:
        """Wall time of one fold."""
        hours = self.plan.budget.hours
        return None if hours is None else hours * 3600 / self.num_folds


def plan_stage(name: str, task: Task) -> Stage:
    """The stage of this name."""
    start = whole_image(name, task)
    choice = SETTLERS[name](start, task)
    timed = _within_time(choice, start, task)
    return _with_duration(replace(timed.stage, reasons={**start.reasons, **choice.stage.reasons}), timed.reasons, task)


def whole_image(name: str, task: Task) -> Stage:
    """The stage whose patch covers the whole image, with the smallest batch: where the search begins."""
    fingerprint, plan = task.fingerprint, task.plan
    grid = decide_spacing(fingerprint, net_axes=int(name[0]), crop=plan.crop_to_nonzero)
    pose = decide_pose(fingerprint, slice_axis=grid.slice_axis)
    axes = [axis for axis in range(fingerprint.num_axes) if axis != grid.slice_axis]
    previous = PREVIOUS.get(name)
    channels = fingerprint.num_channels + (plan.labels.num_classes if previous else 0)
    shape, spacing = tuple(grid.image_shape[axis] for axis in axes), [grid.spacing[axis] for axis in axes]
    residual, heads = plan.planner == "resenc", plan.labels.num_heads
    convs, why_decoder = decide_decoder(plan.budget, residual=residual)
    patch, network = unet(shape, spacing, in_channels=channels, num_heads=heads, residual=residual, decoder_convs=convs)
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
        previous=previous,
        reasons={"pose": pose.reason, **grid.reasons, **why_decoder},
    )


def view_of(stage: Stage, task: Task) -> View:
    """What is asked of a stage's patch. A second stage has the first one's view: its own patch need not show more than fits."""
    if stage.previous is None:
        return task.view
    return View(share=0.0, measured=True, reason=f"{stage.previous} has seen the surroundings")


def _full_resolution(start: Stage, task: Task) -> Choice:
    return largest_that_fits(start, task.tracer, view_of(start, task), cap_of=lambda stage: cap_of(stage, task))


def _low_resolution(start: Stage, task: Task) -> Choice:
    """The finest resolution at which the whole image fits, with at most half the pixels."""
    found = require_fitting(lower_resolutions(start), task.tracer)
    patch = "the whole image at the finest resolution at which it fits, and at most half the pixels of the full one"
    why = f"the whole image; at full resolution a patch would have to show {task.view.share:.0%} of it"
    return _first_stage(found, start, task, patch=patch, view=why)


def _low_resolution_volume(start: Stage, task: Task) -> Choice:
    """The finest resolution at which a patch as large as the full one's covers a quarter of the image, with at most half the voxels."""
    full = _full_resolution(start, task).stage
    voxels = math.prod(start.net_shape)
    there = with_voxels(start, min(int(math.prod(full.patch) / LEAST_COVER), max(1, voxels // 2)))
    found = require_fitting([there, *smaller_patches(there)], task.tracer)
    patch = f"the largest that fits at the finest resolution at which one of its size covers {LEAST_COVER:.0%} of the image"
    why = f"{covered(found):.0%} of the image's volume; at full resolution a patch covers {covered(full):.0%}"
    return _first_stage(found, start, task, patch=patch, view=why)


def covered(stage: Stage) -> float:
    """The share of the median image's volume that a patch covers; at most 1."""
    return math.prod(min(1.0, edge / size) for edge, size in zip(stage.patch, stage.net_shape, strict=True))


def _first_stage(found: Stage, start: Stage, task: Task, *, patch: str, view: str) -> Choice:
    cap = cap_of(found, task)
    stage = raise_batch(found, task.tracer, cap.batch)
    return Choice(stage=_with_spacing_words(stage, start), reasons={"view": view, "patch": patch, "batch": batch_words(stage, cap)})


def _with_spacing_words(stage: Stage, start: Stage) -> Stage:
    factors = [s / full for s, full in zip(stage.net_spacing, start.net_spacing, strict=True)]
    alike = min(factors) > (1 - SAME_SPACING) * max(factors)
    times = f"{max(factors):.3g} times" if alike else f"{' x '.join(f'{factor:.3g}' for factor in factors)} times"
    words = f"{times} the full resolution's: median images of {' x '.join(map(str, stage.net_shape))}"
    return replace(stage, reasons={**stage.reasons, "spacing": words})


#: How a stage's patch and batch are found within memory, and what it may come down to when time is short.
SETTLERS: dict[str, Callable[[Stage, Task], Choice]] = {
    "2d": _full_resolution,
    "2d_lowres": _low_resolution,
    "2d_cascade": _full_resolution,
    "3d_fullres": _full_resolution,
    "3d_lowres": _low_resolution_volume,
    "3d_cascade_fullres": _full_resolution,
}


def cap_of(stage: Stage, task: Task) -> Cap:
    """Largest batch that the data set supports."""
    return batch_cap(num_images(task.fingerprint, stage), stage.net_shape, stage.patch)


def num_images(fingerprint: Fingerprint, stage: Stage) -> int:
    """Images, or slices of volumes."""
    if stage.slice_axis is None:
        return len(fingerprint.cases)
    return sum(case.shape[stage.slice_axis] for case in fingerprint.cases)


def duration_of(stage: Stage, fingerprint: Fingerprint, num_folds: int, *, fold_s: float | None) -> Duration:
    """How long a fold of the stage is trained. A volume counts as often as a patch of a 3D net fits into it."""
    per_case = max(1.0, math.prod(stage.net_shape) / math.prod(stage.patch)) if len(stage.patch) == 3 else 1.0
    trained = max(1, round(num_images(fingerprint, stage) * (1 - 1 / num_folds) * per_case))
    things = "patches of training volumes" if per_case > 1 else "training images"
    return planned_duration(trained, stage.batch, fold_s=fold_s, step_s=stage.step_s, things=things)


def _within_time(choice: Choice, start: Stage, task: Task) -> Choice:
    """What memory allows, or less where the time is short and a step can be measured."""
    device, fold_s = task.device, task.fold_s
    if fold_s is None or device is None:
        return choice
    known: dict[tuple[object, ...], float] = {}

    def measure(candidate: Stage) -> float:
        key = (candidate.patch, candidate.batch)
        if key not in known:
            known[key] = measure_step(candidate, device, exclusive=task.plan.labels.exclusive)
        return known[key]

    def cap(candidate: Stage) -> int:
        # Memory grows with the pixels of a batch: as many as fitted on larger patches fit on smaller ones.
        pixels = choice.stage.batch * math.prod(choice.stage.patch)
        return min(cap_of(candidate, task).batch, pixels // math.prod(candidate.patch))

    # What a first stage of pictures comes down to shows the whole all the same.
    lower = start.name == "2d_lowres"
    smaller = _without_recomputing(coarser(choice.stage) if lower else smaller_patches(choice.stage), task.tracer)
    timed = within_time([choice.stage, *smaller], fold_s, measure, cap, whole=choice.reasons["patch"])
    stage = _with_spacing_words(timed.stage, start) if lower else timed.stage
    reasons = {**choice.reasons, **timed.reasons}
    if not lower:
        reasons["view"] = view_words(stage, view_of(start, task))
    return Choice(stage=stage, reasons=reasons)


def _without_recomputing(stages: list[Stage], tracer: Tracer) -> list[Stage]:
    """The stages with nothing computed twice where that fits: a smaller patch may not need what the largest one did."""
    plain = [replace(stage, checkpointed_stages=0) for stage in stages]
    if plain == stages:
        return stages
    first = largest_fitting(plain, tracer)
    at = len(plain) if first is None else plain.index(first)
    return stages[:at] + plain[at:]


def _with_duration(stage: Stage, why: dict[str, str], task: Task) -> Stage:
    """The stage with its length and recipe, and the traced memory of just what is trained."""
    duration = duration_of(stage, task.fingerprint, task.num_folds, fold_s=task.fold_s)
    recipe = recipe_for(stage.recipe.loss, duration.expected)
    stage = task.tracer.settled(replace(stage, recipe=recipe))
    memory = stage.memory
    reasons = {
        **stage.reasons,
        **why,
        "memory": f"{memory.peak_bytes / GIB:.2f} GiB traced of {memory.budget_bytes / GIB:.1f} GiB",
        "length": duration.reason,
        "recipe": _recipe_words(recipe.optimizer, duration.expected),
    }
    return replace(stage, iterations=duration.iterations, iterations_per_epoch=duration.iterations_per_epoch, reasons=reasons)


def _recipe_words(optimizer: str, iterations: int) -> str:
    if optimizer == "adamw":
        return f"AdamW with warm-up and cosine: {iterations:,} iterations are too few for SGD's momentum of 0.99"
    return f"SGD with Nesterov momentum and a polynomial schedule, as {iterations:,} iterations allow"
