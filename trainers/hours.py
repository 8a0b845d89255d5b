"""A command's hours: each fold's share, what is kept for its validation, and what is left."""

from __future__ import annotations

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from autoseg.nets import UNet
from autoseg.trainers.clock import Clock
from autoseg.trainers.fit import Fit
from autoseg.trainers.job import Job
from autoseg.trainers.run import RunFolder
from autoseg.trainers.validation import Exam, evaluating, predict_stored, write_case

#: The probe of the validation's time is an untrained net's, which leaves more to write than a trained one's; still, cases vary.
RESERVE_MARGIN = 1.03


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


def no_time(job: Job, run: RunFolder, clock: Clock) -> str:
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


def remaining_s(job: Job, fold: str, clock: Clock, iteration: int, pace_s: float) -> float:
    """Seconds to the end of all folds of the command at the measured pace."""
    names = list(job.folds)
    later = [name for name in names[names.index(fold) + 1 :] if not job.folder(name).summary.is_file()]
    this_fold = clock.remaining_s(iteration, pace_s) + clock.reserve_s
    if clock.share_s is None:
        return this_fold + len(later) * (clock.planned * pace_s + clock.reserve_s)
    # Every later fold gets as much as this one had left when it began.
    return this_fold + len(later) * (clock.share_s - clock.used_s)
