"""What to type next, by what is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from autoseg.plan import Plan
from autoseg.standing.commands import as_planned, command, device_words, restart_command, train_command
from autoseg.standing.dataset import PlanStanding, Standing
from autoseg.standing.fold import FoldStanding
from autoseg.standing.run import RunStanding


def first_config(plan: Plan) -> str:
    """The configuration to train first: a cascade's first stage, else all three axes of a volume, else the first there is."""
    before = next((stage.previous for stage in plan.stages.values() if stage.previous is not None), None)
    if before is not None:
        return before
    return "3d_fullres" if "3d_fullres" in plan.stages else next(iter(plan.stages))


def next_step(standing: Standing) -> tuple[str, str]:
    """The command and why; the command is empty where there is only waiting, or a file to mend.

    What does not fit the data any more is planned again; what was begun is finished, then what is planned and not trained; then comes the
    choice among what is trained, then the prediction, then the report.
    """
    if standing.preparer is not None:
        return "", f"{standing.preparer} plans and prepares, or cleans; autoseg status shows how it goes"
    if standing.running:
        return "", "the training is on its way; autoseg status shows how it goes"
    sound = {known.plan.name for known in standing.plans}
    # A spare file that nothing hangs on is a note, and no more, where there is a plan to go on with.
    in_the_way = [file for file in standing.broken if not sound or any(run.plan == file.stem for run in standing.runs)]
    if in_the_way:
        file = in_the_way[0]
        again = _command(standing, "plan_and_preprocess", *([] if file.stem == "default" else ["--plan", file.stem]))
        return "", f"mend {file} (see above), or delete it and run {again} again"
    fitting = [known for known in standing.plans if not known.misfits]
    if standing.plans and not fitting:
        return _replan(standing, _usual(standing.plans))
    if not standing.plans or not standing.num_folds:
        return _command(standing, "plan_and_preprocess"), "measures the data, decides everything and prepares the cases"
    names = {known.plan.name for known in standing.plans if known.misfits}
    # Nothing can be trained by a plan for other data; what it trained still predicts.
    runs = tuple(run for run in standing.runs if run.plan not in names or run.is_complete)
    return next(_steps(replace(standing, plans=tuple(fitting), runs=runs)))


def _replan(standing: Standing, known: PlanStanding) -> tuple[str, str]:
    """Another plan for what the data set holds now."""
    file = standing.place.plan_file(standing.name, known.plan.name)
    again = _command(standing, "plan_and_preprocess", *as_planned(known.plan, standing.shipped, name="NAME"))
    return again, f"{file} is for other data: {'; '.join(known.misfits)}. Or delete it first, and leave out --plan NAME"


def _steps(standing: Standing) -> Iterator[tuple[str, str]]:
    """The steps that are open, the first one first."""
    used = {run.plan for run in standing.runs}
    plans = [known for known in standing.plans if known.plan.name in used] or [_usual(standing.plans)]
    if standing.changed:
        again = _command(standing, "plan_and_preprocess", *as_planned(plans[0].plan, standing.shipped))
        yield again, f"labelled cases changed since they were measured; {standing.changed}"
    for known in standing.plans:
        begun = [run for run in standing.runs if run.plan == known.plan.name and not run.is_complete]
        if any(known.prepared.get(run.config, 0) < standing.num_cases for run in begun):
            yield from _unprepared(standing, known)
    for run in standing.runs:
        broken = run.in_state("stopped", "failed", "killed")
        if stale := [fold for fold in broken if fold.is_outdated]:
            yield _restart(standing, run, stale), "begins anew: the cases or folds of the data set are others now"
        if broken:
            yield _train(standing, run, broken), _goes_on(broken)
    for run in standing.runs:
        if run.outdated:
            yield _restart(standing, run, run.outdated), "trains again what was trained on the data set's earlier cases or folds"
    for known in plans:
        yield from _unprepared(standing, known)
        yield from _untrained(standing, known)
    yield from _after_training(standing)


def _goes_on(broken: Sequence[FoldStanding]) -> str:
    anew = [fold.name for fold in broken if not fold.is_saved]
    if len(anew) == len(broken):
        return "begins anew: nothing was saved yet"
    return "goes on where it stopped" + (f"; begins anew where nothing was saved yet: fold{','.join(anew)}" if anew else "")


def _after_training(standing: Standing) -> Iterator[tuple[str, str]]:
    rivals = rival_runs(standing)
    if is_choice_open(standing):
        yield _command(standing, "select"), "judges what was trained, and chooses members, thresholds and post-processing"
    if not standing.predictions:
        images = () if standing.num_test else ("-i", "FOLDER")
        # Of several runs that nothing was chosen among, one is meant.
        named = _named(rivals[0]) if len(rivals) > 1 and not standing.is_selected else ()
        why = "segments the test images" if standing.num_test else "segments the images in FOLDER"
        if not standing.is_selected and any(run.is_validated for run in rivals):
            why += "; autoseg select before it chooses thresholds and post-processing"
        yield _command(standing, "predict", "--ensemble", *named, *images), why
    if standing.is_reported:
        yield "", f"nothing is left to do; {standing.place.report_file(standing.name)} shows it all"
    yield _command(standing, "report"), "shows it all in one file"


def _named(run: RunStanding) -> tuple[str, ...]:
    return ("--plan", run.plan, "--config", run.config, "--trainer", run.trainer)


def rival_runs(standing: Standing) -> tuple[RunStanding, ...]:
    """The runs with a finished fold that a prediction could be made with: not those that are the stage before of another one's."""
    trained = [run for run in standing.runs if run.in_state("done")]
    stages = {known.plan.name: known.plan.stages for known in standing.plans}
    behind = {(run.plan, stages[run.plan][run.config].previous) for run in trained if run.config in stages.get(run.plan, {})}
    return tuple(run for run in trained if (run.plan, run.config) not in behind)


def is_choice_open(standing: Standing) -> bool:
    """True if `select` comes before `predict`.

    That is: several runs are trained, and held-out cases can judge one; or a selection does not know all of them as they are now.
    """
    rivals = rival_runs(standing)
    if standing.is_selected:
        return bool(standing.unjudged)
    return len(rivals) > 1 and any(run.is_validated for run in rivals)


def _usual(plans: Sequence[PlanStanding]) -> PlanStanding:
    return next((known for known in plans if known.plan.name == "default"), plans[0])


def _unprepared(standing: Standing, known: PlanStanding) -> Iterator[tuple[str, str]]:
    runs = [run for run in standing.runs if run.plan == known.plan.name]
    needed = {stage for stage in known.plan.stages if not any(run.config == stage and run.is_complete for run in runs)}
    if any(known.prepared[stage] < standing.num_cases for stage in needed):
        again = _command(standing, "plan_and_preprocess", *as_planned(known.plan, standing.shipped))
        yield again, "prepares the cases that are missing"


def _untrained(standing: Standing, known: PlanStanding) -> Iterator[tuple[str, str]]:
    plan, runs = known.plan, [run for run in standing.runs if run.plan == known.plan.name]
    if not runs:
        every = tuple(FoldStanding(name=str(k), state="not begun") for k in range(standing.num_folds))
        run = RunStanding(plan=plan.name, config=first_config(plan), trainer="default", folds=every)
        yield train_command(_where(standing), run, every), "trains all folds, one after the other"
    for run in runs:
        if not run.is_complete:
            yield _train(standing, run, run.open_folds), "trains the folds that are missing"
    for run in runs:
        for config in second_stages(plan, run.config):
            if not any(other.config == config and other.trainer == run.trainer for other in runs):
                yield _train(standing, run, run.folds, config), f"trains the second stage behind {run.config}"


def second_stages(plan: Plan, config: str) -> list[str]:
    """The configurations behind this one in a cascade."""
    return [name for name, stage in plan.stages.items() if stage.previous == config]


def _train(standing: Standing, run: RunStanding, folds: Sequence[FoldStanding], config: str | None = None) -> str:
    plan = next((known.plan for known in standing.plans if known.plan.name == run.plan), None)
    return train_command(_where(standing), run, folds, config=config, device=device_words(plan))


def _restart(standing: Standing, run: RunStanding, folds: Sequence[FoldStanding]) -> str:
    plan = next((known.plan for known in standing.plans if known.plan.name == run.plan), None)
    return restart_command(_where(standing), run, [fold.name for fold in folds], device=device_words(plan))


def _where(standing: Standing) -> str:
    return standing.place.options(standing.folder)


def _command(standing: Standing, name: str, *words: str) -> str:
    """A command as it is typed, with -d and, if it is another folder than this one, -w."""
    return command(_where(standing), name, *words)
