"""The queue of folds: each fold named in a command is trained and validated in turn, within the command's hours."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import torch

from autoseg.case import Case, Dataset
from autoseg.errors import UsageError
from autoseg.evaluate import Summary, load_summary
from autoseg.infer.nets import device_precision
from autoseg.nets import UNet
from autoseg.plan import Plan, Stage
from autoseg.preprocess.store import PreparedStore
from autoseg.recipe import epoch_length
from autoseg.step import Learner
from autoseg.stopwatch import measure_step
from autoseg.trainers.clock import Clock
from autoseg.trainers.fit import Fit, FitSettings, Watch, with_stage
from autoseg.trainers.interrupt import Interrupt, listening
from autoseg.trainers.options import TrainOptions, apply_options
from autoseg.trainers.previous import PreviousStage
from autoseg.trainers.run import RunFolder, RunRecord, TimeSpent
from autoseg.trainers.sampler import Sampler
from autoseg.trainers.validation import Exam, evaluating, predict_stored, quick_dice, validate, write_case
from autoseg.workspace import Workspace

logger = logging.getLogger(__name__)

#: Share of a fold's time that is not counted on for steps when the length of a timed training is estimated.
NOT_STEPS = 0.1
#: The probe of the validation's time is an untrained net's, which leaves more to write than a trained one's; still, cases vary.
RESERVE_MARGIN = 1.03
#: Whole images measured for the Dice curve, how often in a training, and the share of a timed training that this may cost.
CURVE_CASES, CURVE_POINTS, CURVE_SHARE = 2, 10, 0.04


class Report(Protocol):
    """Where progress is shown."""

    def begin(self, fold: str, text: str) -> None:
        """A fold begins, goes on, or is found finished."""
        ...

    def step(self, fold: str, progress: float, loss: float, remaining_s: float) -> None:
        """After every step: share done in [0, 1], the last known loss, seconds to the end of all folds."""
        ...

    def say(self, fold: str, text: str) -> None:
        """Something about a fold that a person should know."""
        ...

    def validated(self, fold: str, done: int, total: int) -> None:
        """After every validation case."""
        ...

    def end(self, fold: str, summary: Summary, probability_bytes: int) -> None:
        """A fold is finished; its out-of-fold probabilities take so many bytes."""
        ...


@dataclass(frozen=True, kw_only=True)
class FoldCases:
    """Names of the cases that a fold trains on and is validated on; fold "all" has none of the latter."""

    train: tuple[str, ...]
    val: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training command.

    Parameters
    ----------
    workspace : Workspace
    dataset : Dataset
    plan : Plan
    config : str
        A key of plan.stages.
    store : PreparedStore
        In a cascade opened with the channels of `previous`.
    folds : mapping of str -> FoldCases
        In the order in which they are trained.
    options : TrainOptions
    hours : float or None
        For all these folds together, over all restarts.
    device : torch.device
    restart : bool
        Discard what is there.
    begun : float
        time.monotonic() when the command began: what came before the first fold counts for it.
    previous : PreviousStage or None
        The stage before in a cascade.
    """

    workspace: Workspace
    dataset: Dataset
    plan: Plan
    config: str
    store: PreparedStore
    folds: Mapping[str, FoldCases]
    options: TrainOptions = field(default_factory=TrainOptions)
    hours: float | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    restart: bool = False
    begun: float = field(default_factory=time.monotonic)
    previous: PreviousStage | None = None

    def folder(self, fold: str) -> RunFolder:
        """Where a fold's results lie."""
        workspace, plan = self.workspace, self.plan
        return RunFolder(path=workspace.fold_folder(plan.dataset, plan.name, self.config, self.options.trainer, fold))


def train_folds(job: Job, report: Report) -> dict[str, Summary]:
    """Train and validate every fold of the job; finished ones are left as they are.

    Raises
    ------
    RunError
        If a fold's folder holds a run with other settings.
    Interrupted
        When asked to stop; everything is saved.
    """
    raw = {case.name for case in job.dataset.train}
    if unknown := sorted(job.plan.stages[job.config].recipe.case_weights.keys() - raw):
        raise UsageError(
            f"{job.config}.recipe.case_weights of plan {job.plan.name} names {unknown[0]}, which is no case of {job.dataset.root}."
        )
    for fold, cases in job.folds.items():
        needed = (*cases.train, *cases.val)
        _refuse_missing(job, fold, [name for name in needed if not job.store.has(name)], "not prepared")
        _refuse_missing(job, fold, [name for name in needed if name not in raw], f"no longer in {job.dataset.root}")
    summaries = {}
    mark = job.begun
    with listening() as interrupt:
        for fold in job.folds:
            with logging_to(job.folder(fold).path / "log.txt"):
                summaries[fold] = train_fold(job, fold, report, interrupt, begun=mark)
            mark = time.monotonic()
    return summaries


def _refuse_missing(job: Job, fold: str, missing: Sequence[str], what: str) -> None:
    if missing:
        more = f" and {len(missing) - 1} other cases are" if len(missing) > 1 else " is"
        raise UsageError(f"{job.folder(fold).path.name}: {missing[0]}{more} {what}. Run plan_and_preprocess again.")


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
    """Train one fold to its end and validate it."""
    run = job.folder(fold)
    share_s = fold_share_s(job, fold)
    with interrupt.at_once():
        record = _record(job, fold, share_s, run)
    record = run.start(record, restart=job.restart)
    if run.summary.is_file():
        summary = load_summary(run.summary)
        report.begin(fold, "is done")
        return summary
    stage, plan = record.stage, with_stage(job.plan, record.stage)
    settings = FitSettings(
        plan=plan,
        stage=stage,
        fold=fold,
        seed=job.options.seed,
        device=job.device,
        precision=device_precision(stage.precision, job.device),
        workers=job.plan.budget.workers,
        previous="" if job.previous is None else job.previous.behind(fold),
    )
    exam = _exam(job, plan, fold)
    clock = Clock(planned=stage.iterations, share_s=share_s, started=begun)
    watch = _watch(job, fold, report, exam, clock)
    with interrupt.at_once():
        fit = Fit(settings, _sampler(job, stage, fold), clock, run, watch)
    report.begin(fold, f"continues at iteration {fit.progress.iteration}" if fit.progress.iteration else _describe(stage, share_s))
    if share_s is not None:
        with interrupt.at_once():
            clock.reserve_s = reserve_s(job, exam, fit)
        if not fit.progress.iteration and clock.progress(0) >= 1:
            raise UsageError(_no_time(job, run, clock))
    learner = fit.until_done(interrupt)
    trained_s = clock.elapsed_s()

    def progress(done: int, total: int) -> None:
        report.validated(fold, done, total)
        run.save_time(TimeSpent(used_s=clock.elapsed_s()))
        interrupt.check(run.path, fit.progress.iteration)

    summary, size = validate(exam, learner.net, run.path, progress)
    used_s = clock.elapsed_s()
    run.save_time(TimeSpent(used_s=used_s, validation_s=used_s - trained_s, validation_cases=len(exam.cases)))
    report.end(fold, summary, size)
    return summary


def fold_share_s(job: Job, fold: str) -> float | None:
    """This fold's wall time over all restarts: an equal share of what the command's finished folds have left to the others."""
    if job.hours is None:
        return None
    names = list(job.folds)
    # With --restart only folds before this one count as finished: this very command trained them.
    counted = names[: names.index(fold)] if job.restart else names
    finished = {name: spent.used_s for name in counted if (spent := job.folder(name).time_spent()).validation_s is not None}
    return (job.hours * 3600 - sum(finished.values())) / max(1, len(names) - len(finished))


def reserve_s(job: Job, exam: Exam, fit: Fit) -> float:
    """Seconds to keep for what comes after the last step: the last point of the curve, two checkpoints, the validation."""
    with TemporaryDirectory(prefix=".probe-", dir=fit.run.path) as scratch:
        begin = time.monotonic()
        fit.save(Path(scratch) / "checkpoint.safetensors")
        save_s = time.monotonic() - begin
        finished = [spent for name in job.folds if (spent := job.folder(name).time_spent()).validation_cases]
        if finished:
            case_s = max((spent.validation_s or 0.0) / spent.validation_cases for spent in finished)
        else:
            case_s = probe_s(exam, fit.learner.net, Path(scratch))
    return 2 * save_s + RESERVE_MARGIN * case_s * len(exam.cases)


def probe_s(exam: Exam, net: UNet, scratch: Path) -> float:
    """Seconds that an average validation case takes, by one of median size that is predicted, written and scored."""
    if not exam.cases:
        return 0.0
    sizes = {case.name: math.prod(exam.store.open(case.name).shape) for case in exam.cases}
    median = sorted(exam.cases, key=lambda case: sizes[case.name])[len(exam.cases) // 2]
    with evaluating(net):
        model = exam.model(net, tta=True)
        # The first time pays for choosing kernels; the second is what a case costs.
        for _ in range(2):
            begin = time.monotonic()
            write_case(exam, scratch, median, predict_stored(exam, model, median, probabilities=True))
            took = time.monotonic() - begin
    return took * sum(sizes.values()) / len(sizes) / sizes[median.name]


def _no_time(job: Job, run: RunFolder, clock: Clock) -> str:
    """Why a fold cannot even begin, and the hours that would let it."""
    others = [name for name in job.folds if job.folder(name).path != run.path]
    used_s = sum(job.folder(name).time_spent().used_s for name in others)
    return (
        f"{run.path.name}: no time is left to train. {job.hours:g} hours are for folds {', '.join(job.folds)} together; "
        f"the other ones have used {used_s / 3600:.2g}, and the validation of this one takes about {clock.reserve_s / 3600:.2g}. "
        f"Give more: --hours {_more_hours(job):g}."
    )


def _more_hours(job: Job) -> float:
    """Twice what the folds have used, or twice the hours given."""
    used_s = sum(job.folder(name).time_spent().used_s for name in job.folds)
    return round(2 * max(job.hours or 0.0, used_s / 3600), 3)


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
    names = "\n".join([*sorted(cases.train), "", *sorted(cases.val)])
    return RunRecord(
        plan=job.plan.name,
        config=job.config,
        fold=fold,
        fingerprint=job.plan.fingerprint,
        cases=hashlib.sha256(names.encode()).hexdigest()[:16],
        options=job.options,
        planned=planned,
        stage=stage,
        hours=job.hours,
        previous="" if job.previous is None else job.previous.digest,
    )


def _exam(job: Job, plan: Plan, fold: str) -> Exam:
    by_name: dict[str, Case] = {case.name: case for case in job.dataset.train}
    cases = tuple(by_name[name] for name in job.folds[fold].val)
    return Exam(dataset=job.dataset, plan=plan, stage=job.config, store=job.store, cases=cases, device=job.device)


def _sampler(job: Job, stage: Stage, fold: str) -> Sampler:
    cases, classes = job.folds[fold].train, job.plan.labels.classes
    return Sampler(store=job.store, cases=cases, stage=stage, seed=job.options.seed, fold=fold, classes=classes)


def _watch(job: Job, fold: str, report: Report, exam: Exam, clock: Clock) -> Watch:
    curve = exam.cases[:: max(1, len(exam.cases) // CURVE_CASES)][:CURVE_CASES]
    measured_at: int | None = None
    spent_s, per_epoch = 0.0, exam.plan.stages[exam.stage].iterations_per_epoch

    def measure_dice(learner: Learner, iteration: int) -> float | None:
        nonlocal measured_at, spent_s
        if measured_at is None:
            # A continued run measures where the undisturbed one would: the epoch before this one was seen to.
            measured_at = int(CURVE_POINTS * max(0, iteration - per_epoch) / clock.planned)
        point = int(CURVE_POINTS * clock.progress(iteration))
        too_dear = clock.share_s is not None and spent_s > CURVE_SHARE * clock.elapsed_s()
        if not curve or point <= measured_at or too_dear:
            return None
        begin = time.monotonic()
        dice = quick_dice(exam, learner.net, curve)
        measured_at, spent_s = point, spent_s + time.monotonic() - begin
        return dice

    def on_step(iteration: int, loss: float, pace_s: float) -> None:
        remaining_s = _remaining_s(job, fold, clock, iteration, pace_s)
        report.step(fold, clock.progress(iteration), loss, remaining_s)

    return Watch(on_step=on_step, measure_dice=measure_dice, say=lambda text: report.say(fold, text))


def _remaining_s(job: Job, fold: str, clock: Clock, iteration: int, pace_s: float) -> float:
    """Seconds to the end of all folds of the command at the measured pace."""
    names = list(job.folds)
    later = [name for name in names[names.index(fold) + 1 :] if not job.folder(name).summary.is_file()]
    this_fold = clock.remaining_s(iteration, pace_s) + clock.reserve_s
    if clock.share_s is None:
        return this_fold + len(later) * (clock.planned * pace_s + clock.reserve_s)
    # Every later fold gets as much as this one had left when it began.
    return this_fold + len(later) * (clock.share_s - clock.used_s)


def _describe(stage: Stage, share_s: float | None) -> str:
    size = " x ".join(map(str, stage.patch))
    length = f"{stage.iterations:,} iterations" if share_s is None else f"{share_s / 60:.1f} minutes"
    return f"patch {size}, batch {stage.batch}, {stage.recipe.optimizer}, {length}"
