"""Is a raw data set whole and readable? All problems are collected before any is raised, and no file is written to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.case import Case, Dataset, LoadedCase
from autoseg.errors import DataError
from autoseg.io.cases import measure_case
from autoseg.io.filenames import files_in
from autoseg.io.images import ChannelFacts, channel_problem, common_num_channels
from autoseg.io.layouts import known_layouts
from autoseg.io.names import escape_name
from autoseg.io.parallel import Progress, map_cases
from autoseg.io.truth import IGNORE


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one case showed when its files were read in full.

    Parameters
    ----------
    case : Case
    problems : tuple of str
        A sentence each, naming its file; the rest is empty if the image could not be read.
    num_files, num_bytes : int
        Of image and labels.
    facts : ChannelFacts or None
    shape : tuple of int
        (z,) y, x.
    dtype : str
        Of the pixels, numpy's name.
    unit : str
        "mm" or "pixel".
    is_constant : bool
        All pixels of the image have one value.
    pixels : str
        SHA-256 of the image's pixels: cases that share it hold the same picture.
    present : tuple of int
        Numbers of the classes that its labels hold.
    """

    case: Case
    problems: tuple[str, ...] = ()
    num_files: int = 0
    num_bytes: int = 0
    facts: ChannelFacts | None = None
    shape: tuple[int, ...] = ()
    dtype: str = ""
    unit: str = ""
    is_constant: bool = False
    pixels: str = ""
    present: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A data set that was looked at in full: what is wrong with it, and what each case showed."""

    problems: tuple[str, ...]
    seen: tuple[Seen, ...]


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


def look_at(dataset: Dataset, case: Case) -> Seen:
    """Read one case's files in full; what is wrong with them is returned, not raised."""
    paths = (*case.images, *(case.truth.files if case.truth is not None else ()))
    try:
        loaded, facts = measure_case(dataset, case)
        sizes = [file.stat().st_size for path in paths for file in files_in(path)]
    except DataError as error:
        return Seen(case=case, problems=error.problems, num_files=len(paths))
    except OSError as error:
        problem = f"{error.filename or case.images[0]}: cannot be read ({error.strerror or error})"
        return Seen(case=case, problems=(problem,), num_files=len(paths))
    return _described(Seen(case=case, num_files=len(sizes), num_bytes=sum(sizes)), loaded, facts)


def channel_problems(facts: Sequence[tuple[Case, ChannelFacts]], declared: int | None = None) -> list[str]:
    """Images whose channels do not fit the data set's, once those of all are known."""
    if not facts:
        return []
    num = common_num_channels(((fact.num, fact.is_grey) for _, fact in facts), declared)
    found = ((case, channel_problem(fact, num)) for case, fact in facts)
    return [f"{', '.join(map(str, case.images))}: {problem}" for case, problem in found if problem]


def axes_problems(shapes: Sequence[tuple[Case, tuple[int, ...]]]) -> list[str]:
    """Images and volumes in one data set: those that have not the first case's number of axes."""
    if not shapes:
        return []
    first, usual = shapes[0]
    return [
        f"{case.images[0]}: has {len(shape)} axes (shape {shape}), but {first.name} has {len(usual)}; images and volumes are two data sets"
        for case, shape in shapes
        if len(shape) != len(usual)
    ]


def check_dataset(dataset: Dataset, workers: int = 1, progress: Progress | None = None) -> Checked:
    """Look at a data set in full, every file of it opened.

    Parameters
    ----------
    dataset : Dataset
    workers : int
        Most processes that read.
    progress : callable, optional
        Called with the number of cases done and of all.
    """
    cases = (*dataset.train, *dataset.test)
    # Workers need the declaration, not the list of all cases.
    look = partial(look_at, replace(dataset, train=(), test=()))
    seen = tuple(map_cases(look, cases, workers=workers, progress=progress))
    whole = [one for one in seen if one.facts is not None]
    found = [*structure_problems(dataset), *(problem for one in seen for problem in one.problems)]
    found += channel_problems([(one.case, one.facts) for one in whole if one.facts is not None], len(dataset.channels) or None)
    found += axes_problems([(one.case, one.shape) for one in whole])
    # A file that many cases share (COCO) is named once.
    return Checked(problems=tuple(dict.fromkeys(found)), seen=seen)


def _described(seen: Seen, loaded: LoadedCase, facts: ChannelFacts) -> Seen:
    image, labels = loaded.image, loaded.labels
    return replace(
        seen,
        facts=facts,
        shape=loaded.geometry.shape,
        dtype=image.dtype.name,
        unit=loaded.geometry.unit,
        is_constant=bool((image == image.flat[0]).all()),
        pixels=hashlib.sha256(repr((image.shape, image.dtype.str)).encode() + image.tobytes()).hexdigest(),
        # The table holds no code that the map does not use.
        present=tuple(np.flatnonzero(labels.table.any(axis=0)).tolist()) if labels is not None else (),
    )


def _name_problems(cases: Sequence[Case]) -> list[str]:
    first: dict[str, Case] = {}
    problems = []
    for case in cases:
        if case.name in first:
            problems.append(f"{case.images[0]}: the name {case.name!r} is taken by {first[case.name].images[0]}; rename one of them")
        first.setdefault(case.name, case)
        if any("\udc80" <= letter <= "\udcff" for letter in str(case.images[0])):
            # Such a name cannot be printed either: its odd bytes are shown as numbers.
            shown = str(case.images[0]).encode("utf-8", "backslashreplace").decode()
            problems.append(f"{shown}: its name is no UTF-8 text; rename the file")
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
        first: dict[str, Path] = {}
        for name, path in zip(classes, case.truth.files if case.truth is not None and classes else (), strict=True):
            if name not in known:
                problems.append(f"{path}: the class {name!r} is not declared; declared are {', '.join(dataset.classes)}")
            if name in first:
                problems.append(f"{path}: {first[name].name} is a mask of the class {name!r}, too; keep one of them")
            first.setdefault(name, path)
    return problems
