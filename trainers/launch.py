"""The queue of folds: each fold named in a command is trained and validated in turn, within the command's hours."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from autoseg.case import Case
from autoseg.errors import UsageError
from autoseg.evaluate import Summary, load_summary
from autoseg.infer.fold_cases import cases_digest
from autoseg.infer.nets import device_precision
from autoseg.io.interrupt import Interrupt, listening
from autoseg.io.locks import Lock, locked
from autoseg.plan import Plan, Stage
from autoseg.preprocess.readers import reading
from autoseg.recipe import epoch_length
from autoseg.step import Learner
from autoseg.stopwatch import measure_step
from autoseg.trainers.clock import Clock
from autoseg.trainers.determinism import reproducible, tell_cublas
from autoseg.trainers.examined import Examined
from autoseg.trainers.fit import Fit
from autoseg.trainers.hours import fold_share_s, no_time, remaining_s, reserve_s
from autoseg.trainers.job import Job, Report
from autoseg.trainers.live_report import LiveReport
from autoseg.trainers.options import apply_options
from autoseg.trainers.run import RunFolder, RunRecord, TimeSpent
from autoseg.trainers.sampler import Sampler
from autoseg.trainers.siblings import earlier_plans
from autoseg.trainers.source import Source, find_source, start_from
from autoseg.trainers.state import FitSettings, predicting, with_stage
from autoseg.trainers.trackers import TrackedRun, Trackers, find_tracker
from autoseg.trainers.validation import Exam, quick_dice, validate
from autoseg.trainers.watch import Watch

logger = logging.getLogger(__name__)

#: Share of a fold's time that is not counted on for steps when the length of a timed training is estimated.
NOT_STEPS = 0.1
#: Whole images measured for the Dice curve, how often in a training, and the share of a timed training that this may cost.
CURVE_CASES, CURVE_POINTS, CURVE_SHARE = 2, 10, 0.04
VALIDATING = "Stopped while validating; {} holds the trained net and the cases validated so far. The same command goes on with the others."


def train_folds(job: Job, report: Report) -> dict[str, Summary]:
    """Train and validate every fold of the job; finished ones are left as they are.

    Raises
    ------
    RunError
        If a fold's folder holds a run with other settings.
    Interrupted
        When asked to stop; everything is saved.
    """
    for name in job.track:
        find_tracker(name)
    if job.options.deterministic:
        tell_cublas()
    raw = {case.name for case in job.dataset.train}
    if unknown := sorted(job.plan.stages[job.config].recipe.case_weights.keys() - raw):
        raise UsageError(
            f"{job.config}.recipe.case_weights of plan {job.plan.name} names {unknown[0]}, which is no case of {job.dataset.root}."
        )
    for fold, cases in job.folds.items():
        if job.options.patience is not None and not cases.val:
            raise UsageError(f"--patience goes by the validation Dice, and fold {fold} validates no case: leave it out for this fold.")
        needed = (*cases.train, *cases.val)
        _refuse_missing(job, fold, [name for name in needed if not job.store.has(name)], "not prepared")
        _refuse_missing(job, fold, [name for name in needed if name not in raw], f"no longer in {job.dataset.root}")
    summaries = {}
    mark = job.begun
    with listening("Leave out --restart then: it would begin anew." if job.restart else "") as interrupt:
        for fold in job.folds:
            with logging_to(job.folder(fold).path / "log.txt"):
                summaries[fold] = train_fold(job, fold, report, interrupt, begun=mark)
            mark = time.monotonic()
    return summaries


def _refuse_missing(job: Job, fold: str, missing: Sequence[str], what: str) -> None:
    if missing:
        more = f" and {len(missing) - 1} other cases are" if len(missing) > 1 else " is"
        advice = "Run plan_and_preprocess again (autoseg status gives the whole command)."
        raise UsageError(f"{job.folder(fold).path.name}: {missing[0]}{more} {what}. {advice}")


@contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """Write what autoseg logs to a file while the block runs; the file is made when there is something to write."""
    handler = logging.FileHandler(file, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("autoseg")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def train_fold(job: Job, fold: str, report: Report, interrupt: Interrupt, *, begun: float) -> Summary:
    """Train one fold to its end and validate it; RunError if another process has it in hand."""
    run = job.folder(fold)
    with locked(run.lock, "trained") as lock, reading(job.store.folder, "/".join(run.path.parts[-3:])):
        run.remove_leftovers()
        with LiveReport(report, run.path) as live:
            return _train_locked(job, fold, live, interrupt, lock, begun=begun)


def _train_locked(job: Job, fold: str, report: LiveReport, interrupt: Interrupt, lock: Lock, *, begun: float) -> Summary:
    run = job.folder(fold)
    share_s = fold_share_s(job, fold)
    with interrupt.at_once():
        record = _record(job, fold, share_s, run)
    record = run.start(record, restart=job.restart, earlier=earlier_plans(job))
    if run.summary.is_file():
        summary = load_summary(run.summary)
        run.stop.unlink(missing_ok=True)
        report.begin(fold, f"is done ({record.ended})" if record.ended else "is done")
        return summary
    clock = Clock(planned=record.stage.iterations, share_s=share_s, started=begun)
    exam = _exam(job, with_stage(job.plan, record.stage), fold)
    trackers = Trackers(job.track, lambda text: report.say(fold, text))
    with reproducible(wanted=job.options.deterministic, threads=record.threads), closing(trackers):
        with interrupt.at_once():
            watch = _watch(job, fold, report, exam, clock, trackers, interrupt)
            fit = _begin(job, record, exam, report, replace(watch, check_folder=lock.check, leave=report.stopped), clock)
            trackers.open(_tracked(fit))
        learner = fit.until_done(interrupt)
        with predicting(learner), interrupt.leaving(lambda: _left_while_validating(run, report)):
            summary = _finish(fit, exam, report, interrupt)
        trackers.write(fit.progress.iteration, {f"validation_{name}": value for name, value in summary.mean.items()})
        return summary


def _left_while_validating(run: RunFolder, report: LiveReport) -> str:
    report.stopped()
    return VALIDATING.format(run.path)


def _tracked(fit: Fit) -> TrackedRun:
    path, stage = fit.run.path, fit.settings.stage
    recipe = stage.recipe
    settings: dict[str, object] = {"optimizer": recipe.optimizer, "loss": recipe.loss, "lr": recipe.lr, "seed": fit.settings.seed}
    settings |= {"patch": stage.patch, "batch": stage.batch, "iterations": stage.iterations, "precision": fit.settings.precision}
    return TrackedRun(
        folder=path,
        dataset=fit.settings.plan.dataset,
        run=f"{path.parents[1].name}/{path.parent.name}",
        fold=path.name,
        settings={name: str(value) for name, value in settings.items()},
        iteration=fit.progress.iteration,
    )


def _begin(job: Job, record: RunRecord, exam: Exam, report: Report, watch: Watch, clock: Clock) -> Fit:
    """The fold's training where it stands, its time settled, and a word about it."""
    fold, stage, run = record.fold, record.stage, job.folder(record.fold)
    settings = FitSettings(
        plan=exam.plan,
        stage=stage,
        fold=fold,
        seed=job.options.seed,
        device=job.device,
        precision=device_precision(stage.precision, job.device),
        workers=job.plan.budget.workers,
        previous="" if job.previous is None else job.previous.behind(fold),
        patience=job.options.patience,
    )
    source = record.source
    if source is not None:
        watch = replace(watch, fill=lambda learner: _fill(source, learner, settings))
    fit = Fit(settings, _sampler(job, stage, fold), clock, run, watch)
    begun = fit.progress.iteration
    if source is not None and not run.last.is_file():
        _start_from(source, fit, report)
    if run.stop.is_file() and not begun:
        run.stop.unlink()
        report.say(fold, f"{run.stop} was there before anything was trained; it is removed, and the fold is trained.")
    report.begin(fold, f"continues at iteration {begun}" if begun else _describe(stage, clock.share_s))
    if clock.share_s is not None:
        clock.reserve_s = reserve_s(job, exam, fit)
        if not begun and clock.progress(0) >= 1:
            raise UsageError(no_time(job, run, clock))
    return fit


def _source(given: Path, fold: str, run: RunFolder) -> Source:
    """The checkpoint to start a fold from, which is not its own: --restart would delete it before it is read."""
    source = find_source(given, fold)
    if run.path.resolve() in Path(source.path).resolve().parents:
        raise UsageError(
            f"--from {given} means {source.path}, which this very command continues or discards. Copy the file to another place first, or "
            "keep that run and train under another plan (--plan NAME)."
        )
    return source


def _start_from(source: Source, fit: Fit, report: Report) -> None:
    """Fine-tuning: fill the fresh net from a checkpoint, and say and record with what."""
    fold, plan = fit.settings.fold, fit.settings.plan
    checkpoint, taken = start_from(source, fit.learner, plan, fit.settings.stage)
    notes = [f"starts from {source.path}: {checkpoint.stage} of {checkpoint.plan.dataset}, fold {checkpoint.fold}", *taken.sentences]
    if checkpoint.plan.dataset == plan.dataset and checkpoint.fold != fold != "all":
        notes.append("that net was trained on images that this fold is validated on: its validation will look better than it is")
    for note in notes:
        logger.info("%s", note)
        report.say(fold, note)
    fit.run.note_source(replace(source, kept=taken.kept, adapted=taken.adapted, anew=taken.anew, notes=tuple(notes)))


def _fill(source: Source, learner: Learner, settings: FitSettings) -> None:
    start_from(source, learner, settings.plan, settings.stage)


def _finish(fit: Fit, exam: Exam, report: Report, interrupt: Interrupt) -> Summary:
    """Validate a fold whose schedule has ended, and write down what it took."""
    fold, run, clock = fit.settings.fold, fit.run, fit.clock
    trained_s = clock.elapsed_s()

    def progress(done: int, total: int) -> None:
        report.validated(fold, done, total)
        run.save_time(TimeSpent(used_s=clock.elapsed_s()))
        interrupt.check(run.path, fit.progress.iteration)

    with interrupt.idle():
        summary, size = validate(exam, fit.learner.net, run.path, progress, Examined.of(run))
    used_s = clock.elapsed_s()
    run.save_time(TimeSpent(used_s=used_s, validation_s=used_s - trained_s, validation_cases=len(exam.cases)))
    report.end(fold, summary, size)
    return summary


def _record(job: Job, fold: str, share_s: float | None, run: RunFolder) -> RunRecord:
    planned = job.plan.stages[job.config]
    begun = run.has_record and not job.restart

    def expected(stage: Stage) -> int:
        # A run that has begun keeps the stage that was settled then (RunFolder.start): nothing is measured for it.
        if share_s is None or begun:
            return stage.iterations
        at_hand = stage.step_s is not None and job.plan.budget.kind == job.device.type
        if at_hand and stage.step_s is not None:
            step_s = stage.step_s
        else:
            here = replace(stage, precision=device_precision(stage.precision, job.device))
            step_s = measure_step(here, job.device, exclusive=job.plan.labels.exclusive)
        return min(stage.iterations, max(1, int((1 - NOT_STEPS) * share_s / step_s)))

    stage = apply_options(job.plan, planned, job.options, expected=expected)
    if share_s is not None and job.options.iterations_per_epoch is None:
        stage = replace(stage, iterations_per_epoch=epoch_length(expected(stage)))
    cases = job.folds[fold]
    return RunRecord(
        plan=job.plan.name,
        config=job.config,
        fold=fold,
        fingerprint=job.plan.fingerprint,
        cases=cases_digest(cases.train, cases.val),
        options=job.options,
        planned=planned,
        stage=stage,
        hours=job.hours,
        previous="" if job.previous is None else job.previous.digest,
        source=None if job.source is None else _source(job.source, fold, run),
        threads=torch.get_num_threads() if job.options.deterministic and job.device.type == "cpu" else None,
    )


def _exam(job: Job, plan: Plan, fold: str) -> Exam:
    by_name: dict[str, Case] = {case.name: case for case in job.dataset.train}
    cases = tuple(by_name[name] for name in job.folds[fold].val)
    return Exam(dataset=job.dataset, plan=plan, stage=job.config, store=job.store, cases=cases, device=job.device)


def _sampler(job: Job, stage: Stage, fold: str) -> Sampler:
    cases, classes = job.folds[fold].train, job.plan.labels.classes
    return Sampler(store=job.store, cases=cases, stage=stage, seed=job.options.seed, fold=fold, classes=classes)


def _watch(job: Job, fold: str, report: Report, exam: Exam, clock: Clock, trackers: Trackers, interrupt: Interrupt) -> Watch:
    curve = exam.cases[:: max(1, len(exam.cases) // CURVE_CASES)][:CURVE_CASES]
    measured_at: int | None = None
    each = job.options.patience is not None
    spent_s, per_epoch = 0.0, exam.plan.stages[exam.stage].iterations_per_epoch

    def measure_dice(learner: Learner, iteration: int) -> float | None:
        nonlocal measured_at, spent_s
        if measured_at is None:
            # A continued run measures where the undisturbed one would: the epoch before this one was seen to.
            measured_at = int(CURVE_POINTS * max(0, iteration - per_epoch) / clock.planned)
        point = int(CURVE_POINTS * clock.progress(iteration))
        too_dear = clock.share_s is not None and spent_s > CURVE_SHARE * clock.elapsed_s()
        if not curve or (not each and (point <= measured_at or too_dear)):
            return None
        begin = time.monotonic()
        with predicting(learner), interrupt.idle():
            dice = quick_dice(exam, learner.net, curve)
        measured_at, spent_s = point, spent_s + time.monotonic() - begin
        return dice

    def on_step(iteration: int, loss: float, pace_s: float) -> None:
        report.step(fold, clock.progress(iteration), loss, remaining_s(job, fold, clock, iteration, pace_s))

    return Watch(on_step=on_step, measure_dice=measure_dice, say=lambda text: report.say(fold, text), on_epoch=trackers.write)


def _describe(stage: Stage, share_s: float | None) -> str:
    size = " x ".join(map(str, stage.patch))
    length = f"{stage.iterations:,} iterations" if share_s is None else f"{share_s / 60:.1f} minutes"
    return f"patch {size}, batch {stage.batch}, {stage.recipe.optimizer}, {length}"
