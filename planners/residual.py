"""The planner `resenc`: all as the default one decides, but with residual encoders."""

from __future__ import annotations

from dataclasses import replace

from autoseg.budget import Budget
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Plan
from autoseg.planners.default import Request, make_plan


def make_residual_plan(fingerprint: Fingerprint, budget: Budget, request: Request) -> Plan:
    """`make_plan` for U-Nets with residual encoders (`nets.blocks.ResidualBlock`): larger and slower, and traced like the plain ones."""
    return make_plan(fingerprint, budget, replace(request, planner="resenc"))
