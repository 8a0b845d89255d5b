"""The three choices one after the other, each on top of what the one before switched on: members, thresholds, post-processing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from autoseg.case import Case, Dataset
from autoseg.ensemble import Combination
from autoseg.errors import DataError
from autoseg.infer.record import checksums
from autoseg.io.parallel import Progress, map_cases
from autoseg.metrics.paired import compare_pairs
from autoseg.select.calibrating import calibrate_selection, weigh_case
from autoseg.select.cleaning import Cleaned, choose_cleanings
from autoseg.select.combining import Combined, choose_combination
from autoseg.select.counting import JudgedCase, Setup, Variant, count_dice, dice_curves, list_components
from autoseg.select.members import Member
from autoseg.select.nested import RULE, Sample, Scores
from autoseg.select.selection import MemberRecord, Selection
from autoseg.select.thresholds import Cut, choose_thresholds

Result = TypeVar("Result")

HINT = (
    "Members are judged on what training stored in foldK/validation/probabilities. Delete a fold's summary.json and give the same train "
    "command again: it validates anew."
)


def _unit(case: Case) -> Hashable:
    return ("case", case.name) if case.group is None else ("group", case.group)


def _silent(_: str) -> AbstractContextManager[Progress]:
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Judges:
    """What is judged, and by how many processes.

    Parameters
    ----------
    dataset : Dataset
        How truths are read.
    members : sequence of Member
    cases : sequence of JudgedCase
        With the groups that are drawn together.
    workers : int
        Most processes. Each holds one case: its truth, the compressed probabilities, and the pixels of one class; of exclusive classes a
        byte a pixel, class and member.
    progress : callable(what) -> context of a callable(done, total)
        A bar for each pass.
    """

    dataset: Dataset
    members: Sequence[Member]
    cases: Sequence[JudgedCase]
    workers: int = 1
    progress: Callable[[str], AbstractContextManager[Progress]] = field(default=_silent)

    @property
    def setup(self) -> Setup:
        """What every case's process is told."""
        return Setup(dataset=replace(self.dataset, train=(), test=()), exclusive=self.members[0].labels.exclusive)

    @property
    def sample(self) -> Sample:
        """Folds and units of the cases."""
        numbers = {fold: f for f, fold in enumerate(dict.fromkeys(judged.fold for judged in self.cases))}
        units: list[Hashable] = [_unit(judged.case) for judged in self.cases]
        return Sample(folds=np.array([numbers[judged.fold] for judged in self.cases]), units=tuple(units))

    def run(self, what: str, task: Callable[[JudgedCase], Result | list[str]]) -> list[Result]:
        """One pass over the cases; DataError names every file that is wrong, once all were looked at."""
        results: list[Result] = []
        problems: list[str] = []
        with self.progress(what) as progress:
            for result in map_cases(task, self.cases, workers=self.workers, progress=progress):
                if isinstance(result, list):
                    problems += result
                else:
                    results.append(result)
        if problems:
            raise DataError(problems, HINT)
        return results


def select(judges: Judges, *, left_out: dict[str, str] | None = None) -> Selection:
    """Choose members, thresholds and post-processing, and calibrate the Dice to expect of them.

    Parameters
    ----------
    judges : Judges
    left_out : dict, optional
        Runs and cases that were not looked at, and why; for the record.

    Raises
    ------
    DataError
        Naming every file that cannot be read or does not fit its truth.
    """
    sample, classes = judges.sample, judges.members[0].labels.classes
    combined = _combine(judges, sample)
    cut = _cut(judges, sample, combined)
    slots = [Variant(combination=c, thresholds=t) for c, t in zip(combined.slots, cut.slots, strict=True)]
    distinct = list(dict.fromkeys(slots))
    pieces = judges.run("Post-processing", partial(list_components, judges.setup, distinct))
    cleaned = choose_cleanings(sample, classes, slots, distinct, pieces)
    selection = _record(judges, sample, combined, cut, cleaned, pieces[0].unit, left_out or {})
    if not selection.changes_masks:
        return selection
    weighed = judges.run("Calibrating", partial(weigh_case, judges.setup, selection, judges.members[0].labels))
    calibration = calibrate_selection(weighed, [judged.fold for judged in judges.cases], classes)
    return replace(selection, calibration=calibration)


def _combine(judges: Judges, sample: Sample) -> Combined:
    def count(combinations: Sequence[Combination]) -> Scores:
        return np.stack(judges.run("Comparing members", partial(count_dice, judges.setup, combinations)))

    names, labels = [member.name for member in judges.members], judges.members[0].labels
    return choose_combination(sample, names, labels.num_classes, labels.exclusive, count)


def _cut(judges: Judges, sample: Sample, combined: Combined) -> Cut:
    labels = judges.members[0].labels
    if labels.exclusive:
        return Cut(slots=((),) * len(combined.slots), scores=combined.scores, trials=())
    distinct = list(dict.fromkeys(combined.slots))
    curves = judges.run("Thresholds", partial(dice_curves, judges.setup, distinct))
    return choose_thresholds(sample, labels.classes, combined.slots, distinct, curves)


def _record(
    judges: Judges, sample: Sample, combined: Combined, cut: Cut, cleaned: Cleaned, unit: str, left_out: dict[str, str]
) -> Selection:
    labels = judges.members[0].labels
    before, after = combined.baseline, cleaned.scores
    results = {name: compare_pairs(before[:, k], after[:, k], sample.units) for k, name in enumerate(labels.classes)}
    return Selection(
        dataset=judges.dataset.name,
        classes=labels.classes,
        exclusive=labels.exclusive,
        unit=unit,
        rule=RULE,
        num_cases=len(judges.cases),
        num_groups=len(set(sample.units)),
        num_folds=sample.num_folds,
        members=tuple(
            MemberRecord(run=member.name, folds=checksums(member.checkpoints()), dice=dice)
            for member, dice in zip(judges.members, combined.members, strict=True)
        ),
        ensemble=combined.name,
        combination=combined.slots[-1],
        thresholds=cut.slots[-1],
        cleanings=cleaned.cleanings,
        tried=(*combined.trials, *cut.trials, *cleaned.trials),
        total=compare_pairs(before.mean(axis=1), after.mean(axis=1), sample.units),
        total_of_class=results,
        left_out=left_out,
    )
