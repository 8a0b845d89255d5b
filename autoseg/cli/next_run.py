"""The last word of `autoseg train`: what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.errors import UsageError

if TYPE_CHECKING:
    from autoseg.trainers import Job


def next_command(job: Job, num_folds: int, *, is_of_all: bool) -> str:
    """What to type after folds were trained, and what could come before it; the same rules as `status` has."""
    from autoseg.standing import look
    from autoseg.standing.commands import train_command
    from autoseg.standing.next_step import is_choice_open, second_stages
    from autoseg.standing.run import run_standing

    place, plan, trainer = job.workspace, job.plan, job.options.trainer
    folder = place.run_folder(plan.dataset, plan.name, job.config, trainer)
    run, where = run_standing(folder, num_folds), place.fewest_options(job.dataset.root)
    device = ("--device", "cpu") if plan.budget.kind == "cuda" and job.device.type == "cpu" else ()
    rest = train_command(where, run, run.open_folds, device=device) if run.open_folds else ""
    others = ",".join(fold.name for fold in run.in_state("running") if fold.name != "all")
    waits = f"when fold{others} is done, too: " if others else ""
    for config in second_stages(plan, job.config):
        second = run_standing(place.run_folder(plan.dataset, plan.name, config, trainer), num_folds)
        alike = second if any(fold.words for fold in second.folds) else run
        if second.open_folds:
            first = f"{rest}, then " if rest else waits
            return first + train_command(where, alike, second.open_folds, config=config, device=device)
    named = options_for(job, folder) + ("" if plan.name == "default" else f" --plan {shlex.quote(plan.name)}")
    done = run.in_state("done")
    this_run = f"autoseg predict{'' if len(done) == 1 else ' --folds all' if is_of_all else ' --ensemble'}{named}{where}"
    standing = look(place, plan.dataset, job.dataset.root, raw=False)
    if run.is_validated and is_choice_open(standing):
        return f"autoseg select{where}, then autoseg predict --ensemble{where} (this run alone: {this_run})"
    if run.is_validated and not is_of_all and standing.is_selected and not standing.unjudged:
        # The selection says which runs predict, and does not where one is named.
        return f"autoseg predict --ensemble{where}"
    return this_run + (f" (or first the other folds: {rest})" if 0 < len(run.open_folds) < num_folds else "")


def options_for(job: Job, run: Path) -> str:
    """The options, beside --plan, by which predict means this run and no other that is trained; none if there is no other."""
    from autoseg.infer.folds import find_run

    config, _, trainer = run.name.partition("-")
    plan = {} if job.plan.name == "default" else {"plan": job.plan.name}
    whole = {"config": config, "trainer": trainer}
    for named in ({}, {"config": config}, whole, {"plan": job.plan.name, **whole}):
        try:
            if find_run(job.workspace.results(job.plan.dataset), **{**plan, **named}) == run:
                break
        except UsageError:
            continue
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in named.items() if name not in plan)
