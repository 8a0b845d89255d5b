"""The other folds of a run: what is trained beside them predicts with them, and is judged with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autoseg.checkpoint import read_plan
from autoseg.errors import FileFormatError, RunError
from autoseg.infer.alike import Predicting, differing, what_predicts
from autoseg.infer.fold_cases import cases_digest, trained_on
from autoseg.io.json_files import load_json
from autoseg.plan import Plan
from autoseg.standing.commands import device_words, restart_command
from autoseg.standing.run import run_standing
from autoseg.trainers.job import FoldCases, Job
from autoseg.trainers.run import BEGIN_ANEW, RunFolder, RunRecord, restoring_plan
from autoseg.trainers.state import with_stage
from autoseg.workspace import RUN_RECORD, fold_folders, fold_of


def check_siblings(job: Job, dealt: Mapping[str, FoldCases]) -> list[str]:
    """Look at the folds that a run holds, before another one is trained beside them.

    Another plan is refused: either these folds or what would be trained now could not predict with the rest. Other cases are only told
    of: what is trained now is right by splits.json, and stays right when the earlier fold is trained again.

    Parameters
    ----------
    job : Job
        Folds that it restarts are not looked at, nor is fold "all", which predicts alone. A job that only continues adds nothing.
    dealt : mapping of str -> FoldCases
        Every fold of splits.json.

    Returns
    -------
    list of str
        Which folds are of earlier cases, and the command that trains them again.

    Raises
    ------
    RunError
        If nets of another plan are there; with the ways out.
    """
    if not any(fold.isdigit() and (job.restart or not job.folder(fold).has_record) for fold in job.folds):
        return []
    begun = {fold: run for fold, run in _begun(job) if fold.isdigit()}
    now = what_predicts(job.plan, job.config)
    unlike = {fold: why for fold, run in begun.items() if (why := _unlike(run, now, job.config))}
    restarted = set(job.folds) if job.restart else set()
    if unlike.keys() - restarted:
        raise RunError(_of_another_plan(job, unlike))
    stale = [fold for fold, run in begun.items() if fold not in restarted and fold in dealt and _is_stale(run, job.plan, dealt[fold])]
    if not stale:
        return []
    return [
        f"{_named(stale)} of {_run(job)} {'was' if len(stale) == 1 else 'were'} trained on the data set or the folds as they were before: "
        "together with the others a case may be validated twice or never. autoseg select takes a run whose folds belong together; train "
        f"again: {_command(job, stale)}"
    ]


def earlier_plans(job: Job) -> list[Path]:
    """Plans of the job's name that plan_and_preprocess has set aside, the last one first."""
    return job.workspace.earlier_plan_files(job.plan.dataset, job.plan.name)


def _begun(job: Job) -> Iterator[tuple[str, RunFolder]]:
    for path in fold_folders(_run(job)):
        if (run := RunFolder(path=path)).last.is_file():
            yield fold_of(path), run


def _run(job: Job) -> Path:
    return job.folder(next(iter(job.folds))).path.parent


def _record(run: RunFolder) -> RunRecord | None:
    try:
        return load_json(run.path / RUN_RECORD, RunRecord, hint=BEGIN_ANEW)
    except FileFormatError:
        # Without it the fold cannot be continued; it predicts.
        return None


def _unlike(run: RunFolder, now: Predicting, config: str) -> str:
    """In what a fold's plan predicts otherwise; empty if it does not, or nothing tells: predict will say what is wrong with the file."""
    try:
        plan = read_plan(run.last)
    except FileFormatError:
        return ""
    # As planned, before the options: a trainer may change what the plan has.
    if (record := _record(run)) is not None:
        plan = with_stage(plan, record.planned)
    return differing(what_predicts(plan, config), now) if config in plan.stages else ""


def _is_stale(run: RunFolder, plan: Plan, cases: FoldCases) -> bool:
    """True if a fold was trained on other cases, or on other data of the same cases."""
    now = (plan.fingerprint, cases_digest(cases.train, cases.val))
    return any(there and there != value for there, value in zip(trained_on(run.path), now, strict=True))


def _of_another_plan(job: Job, unlike: Mapping[str, str]) -> str:
    folds = list(unlike)
    file = job.workspace.plan_file(job.plan.dataset, job.plan.name)
    were = "was" if len(folds) == 1 else "were"
    lines = [
        f"{_named(folds)} of {_run(job)} {were} trained with another plan than {file} is now ({unlike[folds[0]]}), and the folds of a run "
        "predict together. One of these:",
        f"Train {'it' if len(folds) == 1 else 'them'} again, too, and first: {_command(job, folds)}",
        f"Keep both: copy {file} to {file.with_name('NAME.json')} and train that: --plan NAME",
    ]
    record = _record(job.folder(folds[0]))
    # A plan of the data as they were would be replaced again.
    earlier = restoring_plan(earlier_plans(job), record) if record is not None and record.fingerprint == job.plan.fingerprint else None
    if earlier is not None:
        lines.append(f"Go on with the plan of {'that fold' if len(folds) == 1 else 'those folds'}: copy {earlier} to {file}")
    return "\n  ".join(lines)


def _named(folds: Sequence[str]) -> str:
    return f"fold{','.join(folds)}"


def _command(job: Job, folds: Sequence[str]) -> str:
    run = run_standing(_run(job), 0)
    return restart_command(job.workspace.fewest_options(job.dataset.root), run, folds, device=device_words(job.plan))
