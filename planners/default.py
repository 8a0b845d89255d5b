"""The default planner: from what was measured to everything that is decided, with the reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from autoseg.budget import Budget
from autoseg.errors import UsageError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import CONFIGURATIONS, Plan, Stage
from autoseg.planners.labels import decide_labels
from autoseg.planners.normalization import decide_crop, decide_normalization
from autoseg.planners.search import Tracer, Traces
from autoseg.planners.stages import LEAST_COVER, PREVIOUS, Task, covered, plan_stage
from autoseg.planners.view import needed_view, shows_enough


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks of a plan.

    Parameters
    ----------
    name : str
        Of the plan.
    configs : tuple of str
        Configurations; empty: those the data set needs.
    planner : str
        "resenc" asks for residual encoders, see `planners.residual`.
    num_folds : int
        Folds that share the hours.
    device : torch.device or None
        A device at hand on which steps are measured; None if the plan is for another machine.
    traces : dict
        Traces that plans for several budgets share.
    """

    name: str = "default"
    configs: tuple[str, ...] = ()
    planner: str = "default"
    num_folds: int = 5
    device: torch.device | None = None
    traces: Traces = field(default_factory=dict, compare=False)


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
        planner=request.planner,
        reasons=reasons,
    )
    tracer = tracer_of(plan, request.traces)
    view = needed_view(fingerprint)
    task = Task(fingerprint=fingerprint, plan=plan, tracer=tracer, view=view, num_folds=request.num_folds, device=request.device)
    return replace(plan, stages=plan_stages(task, request.configs))


def tracer_of(plan: Plan, traces: Traces | None = None) -> Tracer:
    """What traces the stages of a plan on its budget."""
    return Tracer(plan.budget, exclusive=plan.labels.exclusive, has_ignore=plan.labels.has_ignore, traces=traces)


def plan_stages(task: Task, wanted: tuple[str, ...]) -> dict[str, Stage]:
    """The configurations that were asked for, with those they build on; if none was, those that the data set needs.

    Of pictures that is 2d, and where its patch shows too little to tell look-alikes apart, a low resolution that shows all and a second
    stage behind it. Of volumes it is 2d and 3d_fullres, and where the latter's patch covers less than a quarter of the image a low
    resolution and a second stage (nnU-Net).
    """
    for name in wanted:
        check_config(name)
        _check_axes(name, task.fingerprint)
    is_volume = task.fingerprint.num_axes == 3
    asked = wanted or (("2d", "3d_fullres") if is_volume else ("2d",))
    stages = {name: plan_stage(name, task) for name in _with_previous(asked)}
    if not wanted and is_volume and covered(stages["3d_fullres"]) < LEAST_COVER:
        stages |= {name: plan_stage(name, task) for name in _with_previous(("3d_cascade_fullres",))}
    elif not wanted and not is_volume and task.view.measured and not shows_enough(stages["2d"], task.view):
        stages |= {name: plan_stage(name, task) for name in _with_previous(("2d_cascade",))}
    return stages


def _with_previous(names: Sequence[str]) -> tuple[str, ...]:
    """The configurations, each behind the one that it builds on."""
    return tuple(dict.fromkeys(part for name in names for part in (PREVIOUS.get(name, name), name)))


def check_config(name: str) -> None:
    """UsageError unless there is a configuration of this name."""
    if name not in CONFIGURATIONS:
        raise UsageError(f"--configs {name} is not a configuration; there are {', '.join(CONFIGURATIONS)}.")


def _check_axes(name: str, fingerprint: Fingerprint) -> None:
    if int(name[0]) > fingerprint.num_axes:
        flat = ", ".join(config for config in CONFIGURATIONS if config.startswith("2d"))
        raise UsageError(f"--configs {name} is for volumes, and {fingerprint.dataset} holds 2D images; for those there are {flat}.")
