"""What to type next, by what is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from autoseg.budget import GPUS
from autoseg.plan import Plan
from autoseg.standing.dataset import PlanStanding, Standing
from autoseg.standing.fold import FoldStanding


def first_config(plan: Plan) -> str:
    """The configuration to train first: a cascade's first stage, else all three axes of a volume, else the first there is."""
    before = next((stage.previous for stage in plan.stages.values() if stage.previous is not None), None)
    if before is not None:
        return before
    return "3d_fullres" if "3d_fullres" in plan.stages else next(iter(plan.stages))


def next_step(standing: Standing) -> tuple[str, str]:
    """The command and why; the command is empty where there is only waiting.

    What was begun is finished first, then what is planned and not trained; then comes the choice among what is trained, then the
    prediction, then the report.
    """
    if standing.preparer is not None:
        return "", f"{standing.preparer} plans and prepares, or cleans; autoseg status shows how it goes"
    if not standing.plans or not standing.num_folds:
        return _command(standing, "plan_and_preprocess"), "measures the data, decides everything and prepares the cases"
    if standing.running:
        return "", "the training is on its way; autoseg status shows how it goes"
    return next(_steps(standing))


def _steps(standing: Standing) -> Iterator[tuple[str, str]]:
    """The steps that are open, the first one first."""
    for known in standing.plans:
        begun = [run for run in standing.runs if run.plan == known.plan.name and not run.is_complete]
        if any(known.prepared.get(run.config, 0) < standing.num_cases for run in begun):
            yield from _unprepared(standing, known)
    for run in standing.runs:
        if broken := run.in_state("stopped", "failed", "killed"):
            yield _train(standing, run.plan, run.config, run.trainer, broken, run.folds), "goes on where it stopped"
    used = {run.plan for run in standing.runs}
    plans = [known for known in standing.plans if known.plan.name in used] or [_usual(standing.plans)]
    for known in plans:
        yield from _unprepared(standing, known)
        yield from _untrained(standing, known)
    if not standing.is_selected and any(run.is_validated for run in standing.runs):
        yield _command(standing, "select"), "judges what was trained, and chooses thresholds and post-processing"
    if not standing.predictions:
        given = ("--ensemble",) if standing.num_test else ("--ensemble", "-i", "FOLDER")
        yield _command(standing, "predict", *given), "segments the test images" if standing.num_test else "segments the images in FOLDER"
    if standing.is_reported:
        yield "", f"nothing is left to do; {standing.place.report_file(standing.name)} shows it all"
    yield _command(standing, "report"), "shows it all in one file"


def _usual(plans: Sequence[PlanStanding]) -> PlanStanding:
    return next((known for known in plans if known.plan.name == "default"), plans[0])


def _unprepared(standing: Standing, known: PlanStanding) -> Iterator[tuple[str, str]]:
    runs = [run for run in standing.runs if run.plan == known.plan.name]
    needed = {stage for stage in known.plan.stages if not any(run.config == stage and run.is_complete for run in runs)}
    if any(known.prepared[stage] < standing.num_cases for stage in needed):
        yield _command(standing, "plan_and_preprocess", *_as_planned(standing, known.plan)), "prepares the cases that are missing"


def _untrained(standing: Standing, known: PlanStanding) -> Iterator[tuple[str, str]]:
    plan, runs = known.plan, [run for run in standing.runs if run.plan == known.plan.name]
    if not runs:
        every = tuple(FoldStanding(name=str(k), state="not begun") for k in range(standing.num_folds))
        yield _train(standing, plan.name, first_config(plan), "default", every), "trains all folds, one after the other"
    for run in runs:
        if not run.is_complete:
            open_folds = tuple(fold for fold in run.in_state("not begun") if fold.name != "all")
            yield _train(standing, run.plan, run.config, run.trainer, open_folds, run.folds), "trains the folds that are missing"
    for run in runs:
        for config in (name for name, stage in plan.stages.items() if stage.previous == run.config):
            if not any(other.config == config and other.trainer == run.trainer for other in runs):
                yield _train(standing, run.plan, config, run.trainer, run.folds), f"trains the second stage behind {run.config}"


def _train(
    standing: Standing, plan: str, config: str, trainer: str, folds: Sequence[FoldStanding], run: Sequence[FoldStanding] = ()
) -> str:
    """The command that trains `folds`, with the options of those or, of folds that were not begun, of the others of the run."""
    words = next((fold.words for fold in (*folds, *run) if fold.words), ())
    if "--hours" in words:
        # The hours are for all folds of the command; what is done counts, and is left as it is.
        folds = [fold for fold in run if fold.name != "all"] or folds
    names = [fold.name for fold in folds if fold.name != "all"]
    said = [_span(names)] if names else []
    said += ["all"] if len(names) < len(folds) else []
    options = [*_plan(plan), *(["--trainer", trainer] if trainer != "default" else []), *words]
    return _command(standing, "train", config, *said, *options)


def _span(names: Sequence[str]) -> str:
    """fold0..4 where the numbers follow each other, else fold0,2."""
    numbers = sorted(int(name) for name in names)
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"fold{numbers[0]}..{numbers[-1]}"
    return f"fold{','.join(map(str, numbers))}"


def _plan(name: str) -> list[str]:
    return [] if name == "default" else ["--plan", name]


def _as_planned(standing: Standing, plan: Plan) -> Iterator[str]:
    """The options that make this very plan, so that it is kept."""
    if plan.planner != "default":
        yield from ("--planner", plan.planner)
    if plan.name not in ("default", plan.planner):
        yield from ("--plan", plan.name)
    if plan.name in standing.shipped:
        return  # it brings its budget
    budget = plan.budget
    if budget.name == "cpu" or budget.name in GPUS:
        yield from ("--gpu", budget.name)
    elif budget.name.endswith(" GiB"):
        yield from ("--gpu-memory", budget.name.removesuffix(" GiB"))
    if budget.hours is not None:
        yield from ("--hours", f"{budget.hours:g}")
    for text in plan.overrides:
        yield from ("--set", text)


def _command(standing: Standing, name: str, *words: str) -> str:
    """A command as it is typed, with -d and, if it is another folder than this one, -w."""
    return shlex.join(["autoseg", name, *words]) + standing.place.options(standing.folder)
