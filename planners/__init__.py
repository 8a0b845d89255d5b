"""Planners: fingerprint + budget -> Plan. PLANNERS maps a name to a function; another package adds its own by an entry."""

from __future__ import annotations

from collections.abc import Callable

from autoseg.budget import Budget
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Plan
from autoseg.planners.default import Request, check_config, make_plan
from autoseg.planners.residual import make_residual_plan

PLANNERS: dict[str, Callable[[Fingerprint, Budget, Request], Plan]] = {"default": make_plan, "resenc": make_residual_plan}

__all__ = ["PLANNERS", "Request", "check_config", "make_plan"]
