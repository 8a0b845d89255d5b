"""Groups of cases from their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from autoseg.case import Dataset
from autoseg.errors import UsageError

#: Case names shown in a message.
_SHOWN = 3


def group_by_name(dataset: Dataset, pattern: str) -> Dataset:
    """The data set with the groups that a regular expression finds in the names of its training cases.

    A case's group is the expression's first group (parentheses), or the whole match if it has none or that one took no part; a case whose
    name does not match, or of whose name nothing is left, is a group of its own. Groups that the data set declared are replaced.

    Raises
    ------
    UsageError
        Naming --group-regex, with some case names: it is no regular expression, or matches no case.

    Examples
    --------
    "[^_]+" puts ann_left and ann_right into one group, and so does "(.+)_(left|right)".
    """
    names = [case.name for case in dataset.train]
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group-regex {pattern}: is no regular expression ({error}). Case names are {_some(names)}.") from None
    found = [_group(expression, name) for name in names]
    if not any(found):
        raise UsageError(
            f"--group-regex {pattern}: matches no case of {dataset.name}. Case names are {_some(names)}; "
            f'"[^_]+" for instance takes what stands before the first underscore.'
        )
    return replace(dataset, train=tuple(replace(case, group=group) for case, group in zip(dataset.train, found, strict=True)))


def describe_groups(dataset: Dataset) -> str:
    """How many groups there are, and which cases stand alone."""
    groups = {case.group for case in dataset.train if case.group is not None}
    alone = [case.name for case in dataset.train if case.group is None]
    said = f"{len(groups)} group{'s' if len(groups) != 1 else ''} of {len(dataset.train) - len(alone)} cases"
    return said + (f"; {len(alone)} more do not match and stand alone ({_some(alone)})" if alone else "")


def partition(members: Sequence[tuple[str, str | None]]) -> frozenset[frozenset[str]]:
    """Which cases belong together, whatever their groups are called, from (case, group) pairs; cases without a group are left out."""
    groups: dict[str, set[str]] = {}
    for name, group in members:
        if group is not None:
            groups.setdefault(group, set()).add(name)
    return frozenset(frozenset(names) for names in groups.values())


def _group(expression: re.Pattern[str], name: str) -> str | None:
    match = expression.search(name)
    if match is None:
        return None
    first = match[1] if expression.groups else None
    return (first if first is not None else match[0]) or None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
