"""Is a raw data set whole and readable? All problems are collected before any is raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from autoseg.case import Case, Dataset
from autoseg.errors import DataError
from autoseg.io.cases import measure_case
from autoseg.io.images import ChannelFacts, channel_problem, common_num_channels
from autoseg.io.layouts import known_layouts
from autoseg.io.names import escape_name
from autoseg.io.parallel import Progress, map_cases
from autoseg.io.truth import IGNORE

HINT = "Nothing was changed. Mend or remove these files and run the command again."


def structure_problems(dataset: Dataset) -> list[str]:
    """What is wrong with the files of a data set without opening an image, a sentence each naming its file.

    Training images without labels, labels without an image, masks of undeclared classes, names that come twice or are no file names,
    and what the layout knows of.
    """
    layout = known_layouts()[dataset.layout]
    problems = []
    for case in dataset.train:
        if case.truth is None:
            expected = layout.expected_truth(dataset, case)
            problems.append(f"{case.images[0]}: has no labels" + (f"; expected {expected}" if expected else ""))
    for part in (dataset.train, dataset.test):
        problems += _name_problems(part)
    problems += _undeclared_masks(dataset)
    problems += layout.problems(dataset)
    for name in dataset.classes:
        try:
            escape_name(name)
        except ValueError as error:
            problems.append(f"{dataset.root}: class: {error}")
    return problems


def case_problems(dataset: Dataset, case: Case) -> tuple[list[str], ChannelFacts | None]:
    """What is wrong with one case's files, read in full; and its channels if the image could be read."""
    try:
        return [], measure_case(dataset, case)[1]
    except DataError as error:
        return list(error.problems), None


def channel_problems(facts: Sequence[tuple[Case, ChannelFacts]], declared: int | None = None) -> list[str]:
    """Images whose channels do not fit the data set's, once those of all are known."""
    if not facts:
        return []
    num = common_num_channels(((fact.num, fact.is_grey) for _, fact in facts), declared)
    found = ((case, channel_problem(fact, num)) for case, fact in facts)
    return [f"{', '.join(map(str, case.images))}: {problem}" for case, problem in found if problem]


def check_dataset(dataset: Dataset, workers: int = 1, progress: Progress | None = None) -> list[str]:
    """All problems of a data set, every file of it opened.

    Parameters
    ----------
    dataset : Dataset
    workers : int
        Most processes that read.
    progress : callable, optional
        Called with the number of cases done and of all.
    """
    problems = structure_problems(dataset)
    cases = (*dataset.train, *dataset.test)
    facts = []
    results = map_cases(partial(case_problems, dataset), cases, workers=workers, progress=progress)
    for case, (found, fact) in zip(cases, results, strict=True):
        problems += found
        if fact is not None:
            facts.append((case, fact))
    return problems + channel_problems(facts, len(dataset.channels) or None)


def raise_problems(problems: Sequence[str]) -> None:
    """One DataError of all problems, if there are any."""
    if problems:
        raise DataError(problems, HINT)


def _name_problems(cases: Sequence[Case]) -> list[str]:
    first: dict[str, Case] = {}
    problems = []
    for case in cases:
        if case.name in first:
            problems.append(f"{case.images[0]}: the name {case.name!r} is taken by {first[case.name].images[0]}; rename one of them")
        first.setdefault(case.name, case)
        try:
            escape_name(case.name)
        except ValueError as error:
            problems.append(f"{case.images[0]}: {error}")
    return problems


def _undeclared_masks(dataset: Dataset) -> list[str]:
    known = {*dataset.classes, IGNORE}
    problems = []
    for case in dataset.train:
        classes = case.truth.classes if case.truth is not None else ()
        for name, path in zip(classes, case.truth.files if case.truth is not None and classes else (), strict=True):
            if name not in known:
                problems.append(f"{path}: the class {name!r} is not declared; declared are {', '.join(dataset.classes)}")
        problems += [f"{case.name}: two masks of the class {name!r}" for name, count in Counter(classes).items() if count > 1]
    return problems
