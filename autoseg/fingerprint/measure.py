"""Measuring a data set: each case is read once, all faults are collected and reported together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from autoseg.case import Case, Dataset
from autoseg.errors import DataError
from autoseg.fingerprint.arrangement import measure_arrangement
from autoseg.fingerprint.context import measure_context
from autoseg.fingerprint.facts import CaseFacts, Fingerprint
from autoseg.fingerprint.instance import View, view_of
from autoseg.fingerprint.likeness import MAX_FLIP_CASES, measure_flips, measure_neighbours, sample_cases, unrelated
from autoseg.fingerprint.measure_case import describe, files_of, identity_of_files, measure_loaded
from autoseg.fingerprint.poses import measure_poses
from autoseg.fingerprint.sketch import Sketch
from autoseg.io.cases import read_case
from autoseg.io.check import axes_problems, channel_problems, structure_problems
from autoseg.io.images import common_num_channels
from autoseg.io.parallel import Progress, map_cases
from autoseg.io.pseudonyms import numbered
from autoseg.labels import overlap_counts

#: Foreground values kept of all cases together, per channel: 80 MB.
FOREGROUND_VALUES = 20_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What one case gives: facts for the file; sketch, view and overlap for comparing and adding up; or its problems."""

    facts: CaseFacts | None = None
    sketch: Sketch | None = None
    view: View | None = None
    overlap: NDArray[np.int64] | None = None
    problems: tuple[str, ...] = ()


def measure(dataset: Dataset, *, workers: int = 1, progress: Progress | None = None) -> Fingerprint:
    """Read every labelled case once and measure it.

    Parameters
    ----------
    dataset : Dataset
    workers : int
        Most processes to use; few or quick cases are measured in this one.
    progress : callable(done, total), optional

    Raises
    ------
    DataError
        With every problem of the structure and of every case.
    """
    problems = list(structure_problems(dataset))
    facts: list[CaseFacts] = []
    sketches: list[Sketch] = []
    views: list[View] = []
    overlap = np.zeros((len(dataset.classes),) * 2, np.int64)
    compared = set(sample_cases(len(dataset.train), MAX_FLIP_CASES))
    # Workers need the declaration, not the list of all cases.
    viewed = frozenset(dataset.train[i].name for i in compared)
    work = partial(measure_case, replace(dataset, train=(), test=()), viewed=viewed)
    values = max(1, FOREGROUND_VALUES // max(1, len(dataset.train)))
    for number, result in enumerate(map_cases(work, dataset.train, workers=workers, progress=progress)):
        problems += [problem for problem in result.problems if problem not in problems]
        if result.facts is not None and result.sketch is not None and result.overlap is not None:
            facts.append(result.facts)
            sketches.append(result.sketch.thinned(values=values, keep_classes=number in compared))
            views += [result.view] if result.view is not None else []
            overlap += result.overlap
    if not problems and not facts:
        problems.append(f"{dataset.root} holds no labelled case.")
    problems += _disagreements(dataset, facts)
    if problems:
        raise DataError(problems)
    return pool(dataset, facts, sketches=sketches, views=views, overlap=overlap)


def measure_case(dataset: Dataset, case: Case, *, viewed: frozenset[str] = frozenset()) -> Measured:
    """Read and measure one case, with a view if `viewed` names it; its problems are returned, not raised."""
    try:
        loaded = read_case(dataset, case)
    except DataError as error:
        return Measured(problems=error.problems)
    if loaded.labels is None:
        return Measured()  # `structure_problems` names it, with the place where labels are expected
    facts, sketch = measure_loaded(loaded, dataset.root)
    view = view_of(loaded, facts) if case.name in viewed else None
    return Measured(facts=facts, sketch=sketch, view=view, overlap=overlap_counts(loaded.labels))


def pool(
    dataset: Dataset, facts: Sequence[CaseFacts], *, sketches: Sequence[Sketch], views: Sequence[View], overlap: NDArray[np.int64]
) -> Fingerprint:
    """All cases' measurements as one fingerprint; `views` are those of the cases that `sample_cases` draws."""
    num_channels = _num_channels(dataset, facts)
    labelled = sum(case.labelled for case in facts)
    neighbours = measure_neighbours([case.name for case in facts], sketches)
    partners = unrelated(facts, neighbours)
    viewed = sample_cases(len(facts), MAX_FLIP_CASES)
    return Fingerprint(
        dataset=dataset.name,
        root=str(dataset.root),
        layout=dataset.layout,
        identity=identity_of(dataset),
        classes=dataset.classes,
        values=dataset.values,
        has_ignore=dataset.ignore_value is not None,
        channels=dataset.channels,
        num_channels=num_channels,
        num_axes=len(facts[0].shape),
        unit="mm" if all(case.unit == "mm" for case in facts) else "pixel",
        cases=tuple(facts),
        overlap=tuple(tuple(int(n) for n in row) for row in overlap),
        priors=tuple(float(n) / max(labelled, 1) for n in np.diag(overlap)),
        foreground=tuple(describe(values) for c in range(num_channels) if len(values := _pooled(sketches, c))),
        neighbours=neighbours,
        arrangement=measure_arrangement(facts, partners, classes=dataset.classes),
        flips=measure_flips(sketches, partners),
        context=measure_context(facts, views, partners[np.ix_(viewed, viewed)], channels=num_channels),
        poses=measure_poses(facts, classes=dataset.classes),
    )


def identity_of(dataset: Dataset) -> str:
    """Checksum of a data set as it lies on the disk: its declaration, and every training file's name, size and modification time.

    A fingerprint whose `identity` differs was measured on other data. Costs one stat per file.
    """
    declared = (dataset.classes, sorted(dataset.values.items()), dataset.ignore_value, dataset.channels, dataset.spacing)
    digest = hashlib.sha256(repr(declared).encode())
    for case, group in zip(dataset.train, numbered(case.group for case in dataset.train), strict=True):
        line = f"{case.name}\0{group}\0{identity_of_files(files_of(case), dataset.root)}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _pooled(sketches: Sequence[Sketch], channel: int) -> NDArray[np.float32]:
    return np.concatenate([s.foreground[min(channel, len(s.foreground) - 1)] for s in sketches])


def _num_channels(dataset: Dataset, facts: Sequence[CaseFacts]) -> int:
    return common_num_channels(((case.channels, case.is_grey) for case in facts), declared=len(dataset.channels) or None)


def _disagreements(dataset: Dataset, facts: Sequence[CaseFacts]) -> list[str]:
    """Cases that cannot stand in one data set: another number of axes, or channels that no rule fits to the others'."""
    cases = {case.name: case for case in dataset.train}
    shapes = [(cases[fact.name], fact.shape) for fact in facts]
    channels = [(cases[fact.name], fact.channel_facts(len(cases[fact.name].images))) for fact in facts]
    return [*axes_problems(shapes), *channel_problems(channels, len(dataset.channels) or None)]
