"""What hangs on a plan that autoseg plan_and_preprocess replaces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoseg.plan import Plan
    from autoseg.workspace import Workspace


def cut_off(place: Workspace, known: Plan, plan: Plan) -> str:
    """The runs that a replaced plan trained and the new one does not continue, and their folds in training: a line each, or nothing."""
    from autoseg.standing.fold import fold_standing
    from autoseg.workspace import fold_folders, run_folders

    runs, busy = [], []
    for run in run_folders(place.results(plan.dataset)):
        if run.parent.name != plan.name or _continues(known, plan, run.name.partition("-")[0]):
            continue
        name = f"{run.parent.name}/{run.name}"
        runs.append(name)
        busy += [f"{name}/{fold.name}" for fold in fold_folders(run) if fold_standing(fold).owner is not None]
    said = f"\n  Trained by the earlier plan, and not continued by this one: {', '.join(runs)}" if runs else ""
    return said + (f"\n  In training right now, by the earlier plan: {', '.join(busy)}" if busy else "")


def _continues(known: Plan, plan: Plan, config: str) -> bool:
    """True if a run goes on by the new plan: it is of the same data, and differs in what was measured and not in what was decided."""
    there, now = known.stages.get(config), plan.stages.get(config)
    if there is None or now is None or plan.fingerprint != known.fingerprint:
        return False
    return there == replace(now, reasons=there.reasons, memory=there.memory, step_s=there.step_s)
