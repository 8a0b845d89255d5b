"""Folds of the cross-validation: cases that belong together are never split, and every fold is like every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from autoseg.case import Case
from autoseg.errors import PlanError
from autoseg.fingerprint import Fingerprint, NeighbourLikeness
from autoseg.planners.balance import deal, say_balance, traits_of

#: Runs of alike neighbours are groups by themselves if there are at least this many per fold; else the series is cut into equal blocks.
RUNS_PER_FOLD = 2

GroupRule = Literal["groups", "blocks", "cases"]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fold: the cases it trains on and the cases it is validated on."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    train: tuple[str, ...]
    val: tuple[str, ...]

    def __post_init__(self) -> None:
        both = set(self.train) & set(self.val)
        if both:
            raise ValueError(f"cases stand in train and val of one fold: {', '.join(sorted(both)[:5])}")
        if not self.train or not self.val:
            raise ValueError("train and val of a fold need at least one case each")


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The folds of a data set, in a file that a person may edit.

    Parameters
    ----------
    rule : {"groups", "blocks", "cases"}
        What is kept together: declared groups, blocks of neighbours that look alike, or nothing.
    seed : int
    groups : tuple of tuple of str
        The cases that are kept together.
    folds : tuple of Fold
    reasons : dict
        "groups", "folds", "balance" (what the folds are balanced by and how even they came out), and "missing" if a class is absent
        from a fold's training cases.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rule: GroupRule
    seed: int
    groups: tuple[tuple[str, ...], ...]
    folds: tuple[Fold, ...]
    reasons: dict[str, str] = field(default_factory=dict)


def make_splits(fingerprint: Fingerprint, *, num_folds: int = 5, seed: int = 0) -> Splits:
    """Deal the groups of a data set to folds, balanced by number of cases, classes shown and measured pose.

    Parameters
    ----------
    fingerprint : Fingerprint
    num_folds : int
        Fewer if there are fewer groups.
    seed : int
        Equal fingerprints and seeds give equal folds.

    Raises
    ------
    PlanError
        If there are not two groups to hold apart.
    """
    rule, groups, why = find_groups(fingerprint, num_folds)
    if len(groups) < 2:
        raise PlanError(_cannot_split(fingerprint, groups))
    count = min(num_folds, len(groups))
    traits = traits_of(fingerprint)
    dealt = deal(groups, traits, count=count, seed=seed)
    names = [case.name for case in fingerprint.cases]
    folds = []
    for group_numbers in dealt:
        val = {name for g in group_numbers for name in groups[g]}
        folds.append(Fold(train=tuple(n for n in names if n not in val), val=tuple(n for n in names if n in val)))
    reasons = {"groups": why, "folds": _describe(folds, count, num_folds), "balance": say_balance([fold.val for fold in folds], traits)}
    if missing := missing_classes(folds, fingerprint):
        reasons["missing"] = missing
    return Splits(rule=rule, seed=seed, groups=tuple(groups), folds=tuple(folds), reasons=reasons)


def in_groups(splits: Splits, cases: Sequence[Case]) -> tuple[Case, ...]:
    """Cases with the groups by which they were split, --group-regex and blocks of neighbours included: what a bootstrap draws.

    They keep those that the data set declares if the splits are of single cases, or do not know all of `cases`.
    """
    if splits.rule == "cases" or {case.name for case in cases} - {name for members in splits.groups for name in members}:
        return tuple(cases)
    declared = {case.name: case.group for case in cases}
    group: dict[str, str] = {}
    for k, members in enumerate(splits.groups, start=1):
        names = {declared.get(name) for name in members}
        # The data set's own name of a group (a person) where there is one: tables of persons know it.
        known = names.pop() if len(names) == 1 else None
        group |= dict.fromkeys(members, known if known is not None else f"group {k}")
    return tuple(replace(case, group=group[case.name]) for case in cases)


def find_groups(fingerprint: Fingerprint, num_folds: int) -> tuple[GroupRule, list[tuple[str, ...]], str]:
    """What is kept together and why: declared groups, else blocks where neighbours are measurably alike, else single cases."""
    declared = [case for case in fingerprint.cases if case.group is not None]
    if declared:
        members: dict[str, list[str]] = {}
        for case in fingerprint.cases:
            members.setdefault(f"case:{case.name}" if case.group is None else f"group:{case.group}", []).append(case.name)
        source = f"by their names (--group-regex {fingerprint.group_regex})" if fingerprint.group_regex else "as the data set says"
        why = f"{len(members)} groups of cases (persons, patients), {source}"
        return "groups", [tuple(names) for names in members.values()], why
    singles: list[tuple[str, ...]] = [(case.name,) for case in fingerprint.cases]
    likeness = fingerprint.neighbours
    if likeness is None:
        return "cases", singles, "each case by itself: too few to measure whether neighbours are alike"
    numbers = (
        f"{likeness.share_above:.0%} of neighbours by name correlate above the 90th percentile of other pairs, {likeness.others_p90:.2f}; "
        f"10 % would by chance"
    )
    if not likeness.alike:
        return "cases", singles, f"each case by itself: neighbours are not alike ({numbers})"
    blocks = _blocks(likeness, num_folds)
    return "blocks", blocks, f"{len(blocks)} blocks of consecutive cases, because neighbours are alike ({numbers})"


def _blocks(likeness: NeighbourLikeness, num_folds: int) -> list[tuple[str, ...]]:
    """The runs between neighbours that are not alike (several series one after the other); of one long series, equal blocks."""
    order = likeness.order
    cuts = [i + 1 for i, value in enumerate(likeness.neighbours) if value <= likeness.others_p90]
    if len(cuts) + 1 < RUNS_PER_FOLD * num_folds:
        parts = min(num_folds, len(order))
        cuts = [len(order) * part // parts for part in range(1, parts)]
    return [tuple(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


def _cannot_split(fingerprint: Fingerprint, groups: Sequence[Sequence[str]]) -> str:
    count = len(fingerprint.cases)
    if count < 2:
        return f"{fingerprint.dataset} holds {count} labelled case; a fold needs at least two, one to train on and one to validate on."
    return (
        f"all {count} labelled cases of {fingerprint.dataset} belong to one group ({', '.join(groups[0][:3])}); a fold needs two groups, "
        f"because a group is never split. Add cases of another person, or declare finer groups in dataset.json."
    )


def _describe(folds: Sequence[Fold], count: int, asked: int) -> str:
    sizes = sorted({len(fold.val) for fold in folds})
    fewer = "" if count == asked else f" ({asked} asked for, but there are only {count} groups)"
    return f"{count} folds{fewer} of {' to '.join(map(str, sizes[:: max(1, len(sizes) - 1)]))} case{'' if sizes == [1] else 's'}"


def missing_classes(folds: Sequence[Fold], fingerprint: Fingerprint) -> str:
    """The folds that train without a class, "fold0 trains without x, y"; empty if there are none."""
    lines = []
    for f, fold in enumerate(folds):
        trained = set(fold.train)
        shown = [case.classes for case in fingerprint.cases if case.name in trained]
        absent = [name for k, name in enumerate(fingerprint.classes) if not any(classes[k] for classes in shown)]
        if absent:
            lines.append(f"fold{f} trains without {', '.join(absent)}")
    return "; ".join(lines)


def split_groups(folds: Sequence[Fold], fingerprint: Fingerprint) -> list[str]:
    """The declared groups that a fold trains on and is validated on, a sentence each: what an edited file may do."""
    group = {case.name: case.group for case in fingerprint.cases if case.group is not None}
    found = []
    for f, fold in enumerate(folds):
        trained = {group[name]: name for name in reversed(fold.train) if name in group}
        for name in fold.val:
            if group.get(name) in trained:
                found.append(f"fold{f} splits the group {group[name]}: it trains on {trained[group[name]]} and is validated on {name}")
    return found
