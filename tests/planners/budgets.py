"""Plans of the four described sets for eight budgets, and for each stage the next larger choices with their traced peaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from autoseg.budget import memory_budget
from autoseg.plan import Plan, Stage
from autoseg.planners import Request, make_plan
from autoseg.planners.candidates import lower_resolutions, smaller_patches, with_patch
from autoseg.planners.default import tracer_of
from autoseg.planners.search import Tracer, Traces, batch_cap
from tests.planners.sets import SETS

BUDGETS_GIB = (6, 8, 11, 16, 24, 32, 40, 80)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stage of a plan beside what comes next.

    Parameters
    ----------
    data, gib, stage
    capped : bool
        The whole image (or half its pixels, for a first stage) with the largest batch that the data set supports.
    larger : dict of str -> float
        Next larger choice -> its share of the budget.
    """

    data: str
    gib: int
    stage: Stage
    capped: bool
    larger: dict[str, float]

    @property
    def fill(self) -> float:
        """Share of the budget that the stage fills."""
        return self.stage.memory.peak_bytes / self.stage.memory.budget_bytes


def rows(data: str, budgets: tuple[int, ...], traces: Traces) -> Iterator[Row]:
    """All stages of the plans of one set."""
    for gib in budgets:
        plan = make_plan(SETS[data], memory_budget(gib), Request(traces=traces))
        tracer = tracer_of(plan, traces)
        for stage in plan.stages.values():
            yield Row(data=data, gib=gib, stage=stage, capped=_is_capped(stage, plan, data), larger=_larger(stage, plan, tracer, data))


def _start(stage: Stage, plan: Plan) -> Stage:
    """The whole image at full resolution, of which the stage is a smaller choice."""
    full = replace(stage, spacing=(1.0, 1.0), image_shape=next(iter(plan.stages.values())).image_shape)
    return with_patch(full, full.net_shape)


def _cap(stage: Stage, data: str) -> int:
    return batch_cap(len(SETS[data].cases), stage.net_shape, stage.patch).batch


def _choices(stage: Stage, plan: Plan) -> list[Stage]:
    """The patches or resolutions that the stage was chosen from, largest first."""
    start = _start(stage, plan)
    return lower_resolutions(start) if stage.name == "2d_lowres" else [start, *smaller_patches(start)]


def _is_capped(stage: Stage, plan: Plan, data: str) -> bool:
    return stage.patch == _choices(stage, plan)[0].patch and stage.batch == _cap(stage, data) and not stage.checkpointed_stages


def _larger(stage: Stage, plan: Plan, tracer: Tracer, data: str) -> dict[str, float]:
    found = {}
    if stage.batch < _cap(stage, data):
        found[f"batch {stage.batch + 1}"] = replace(stage, batch=stage.batch + 1)
    choices = _choices(stage, plan)
    at = next(k for k, choice in enumerate(choices) if choice.patch == stage.patch)
    if at:
        larger = choices[at - 1]
        name = " x ".join(map(str, larger.patch))
        found[name] = replace(larger, batch=2, checkpointed_stages=stage.checkpointed_stages, recipe=stage.recipe)
    if stage.checkpointed_stages:
        found[f"{stage.checkpointed_stages - 1} recomputed"] = replace(stage, batch=2, checkpointed_stages=stage.checkpointed_stages - 1)
    budget = plan.budget.memory_bytes
    return {name: tracer.memory(choice).peak_bytes / budget for name, choice in found.items()}
