"""Planners: fingerprint + budget -> Plan. PLANNERS maps a name to a function; other packages add theirs by entry points."""

from __future__ import annotations

from collections.abc import Callable

from autoseg.budget import Budget
from autoseg.extensions import find
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Plan
from autoseg.planners.default import Request, check_config, make_plan
from autoseg.planners.residual import make_residual_plan

Planner = Callable[[Fingerprint, Budget, Request], Plan]
#: Other packages add theirs under the entry-point group autoseg.planners.
PLANNERS: dict[str, Planner] = {"default": make_plan, "resenc": make_residual_plan}


def find_planner(name: str) -> Planner:
    """The planner of a name, autoseg's own or another installed package's; UsageError if there is none."""
    return find("planners", name, PLANNERS, option="--planner")


__all__ = ["PLANNERS", "Planner", "Request", "check_config", "find_planner", "make_plan"]
