"""What a data set may hold and is rarely meant to hold: warnings of `autoseg check`, none of which stops a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoseg.case import Dataset
from autoseg.io.check import Checked, Seen
from autoseg.io.layouts.dataset_json import mistyped_keys

#: Images with fewer pixels than this along y or x are named: they are lines, and no net can pool them twice.
SHORT_AXIS = 4
#: A class in one case alone is named if others are in this many.
COMMON = 4
#: Names shown in a warning; the rest are counted.
SHOWN = 5


def oddities(dataset: Dataset, checked: Checked) -> list[str]:
    """Mistyped keys, empty images, the same picture twice, short axes, cases without a class, classes without a case; a sentence each."""
    whole = [one for one in checked.seen if one.facts is not None]
    mistyped = mistyped_keys(dataset.root) if dataset.layout == "folders" else []
    return [*mistyped, *_oddities(dataset, whole)]


def _oddities(dataset: Dataset, whole: Sequence[Seen]) -> Iterator[str]:
    tested = {id(case) for case in dataset.test}
    if constant := [one.case.name for one in whole if one.is_constant]:
        yield f"{_all(constant)}: all pixels have one value; is the picture empty?"
    yield from _twins(whole, tested)
    if short := [one.case.name for one in whole if min(one.shape[-2:]) < SHORT_AXIS]:
        yield f"{_all(short)}: fewer than {SHORT_AXIS} pixels high or wide"
    trained = [one for one in whole if id(one.case) not in tested and one.case.truth is not None]
    if empty := [one.case.name for one in trained if not one.present]:
        yield f"{_all(empty)}: the labels hold no class; train on it only if nothing is to be found there"
    # If a case could not be read, the class may be in that one.
    if len(trained) == len(dataset.train):
        yield from _rare_classes(dataset.classes, trained)


def _rare_classes(classes: Sequence[str], trained: Sequence[Seen]) -> Iterator[str]:
    held = [sum(k in one.present for one in trained) for k in range(len(classes))]
    if absent := [name for name, number in zip(classes, held, strict=True) if number == 0]:
        yield f"no case holds the class{'es' if len(absent) > 1 else ''} {_all(absent)}; it cannot be learned"
    # Where half of the classes are in nearly every case, one that is in a single case is often another one's name, mistyped.
    usual = sorted(held)[len(held) // 2] if held else 0
    if usual >= COMMON and usual > len(trained) // 2 and (single := [n for n, number in zip(classes, held, strict=True) if number == 1]):
        yield f"only one case holds the class{'es' if len(single) > 1 else ''} {_all(single)}; is the name mistyped?"


def _twins(whole: Sequence[Seen], tested: set[int]) -> Iterator[str]:
    same: dict[str, list[Seen]] = {}
    for one in whole:
        if not one.is_constant:
            same.setdefault(one.pixels, []).append(one)
    for twins in same.values():
        if len(twins) > 1:
            sides = {id(one.case) in tested for one in twins}
            groups = {one.case.group for one in twins}
            tail = "a score on it says nothing" if len(sides) > 1 else "put them into one group, or keep one"
            if len(sides) > 1 or len(groups) > 1 or groups == {None}:
                yield f"{_all([str(one.case.images[0]) for one in twins])}: hold the same pixels; {tail}"


def _all(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
