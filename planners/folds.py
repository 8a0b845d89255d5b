"""Folds of the cross-validation: cases that belong together are never split, and every fold is like every other."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from autoseg.errors import PlanError
from autoseg.fingerprint import Fingerprint, NeighbourLikeness

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
        "groups", "folds", and "missing" if a class is absent from a fold's training cases.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rule: GroupRule
    seed: int
    groups: tuple[tuple[str, ...], ...]
    folds: tuple[Fold, ...]
    reasons: dict[str, str] = field(default_factory=dict)


def make_splits(fingerprint: Fingerprint, *, num_folds: int = 5, seed: int = 0) -> Splits:
    """Deal the groups of a data set to folds, balanced by number of cases and by which classes they show.

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
    present = {case.name: [facts is not None for facts in case.classes] for case in fingerprint.cases}
    dealt = deal(groups, present, count=count, seed=seed)
    names = [case.name for case in fingerprint.cases]
    folds = []
    for group_numbers in dealt:
        val = {name for g in group_numbers for name in groups[g]}
        folds.append(Fold(train=tuple(n for n in names if n not in val), val=tuple(n for n in names if n in val)))
    reasons = {"groups": why, "folds": _describe(folds, count, num_folds)}
    if missing := _missing(folds, present, fingerprint.classes):
        reasons["missing"] = missing
    return Splits(rule=rule, seed=seed, groups=tuple(groups), folds=tuple(folds), reasons=reasons)


def find_groups(fingerprint: Fingerprint, num_folds: int) -> tuple[GroupRule, list[tuple[str, ...]], str]:
    """What is kept together and why: declared groups, else blocks where neighbours are measurably alike, else single cases."""
    declared = [case for case in fingerprint.cases if case.group is not None]
    if declared:
        members: dict[str, list[str]] = {}
        for case in fingerprint.cases:
            members.setdefault(f"case:{case.name}" if case.group is None else f"group:{case.group}", []).append(case.name)
        why = f"{len(members)} groups of cases (persons, patients), as the data set says"
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


def deal(groups: Sequence[Sequence[str]], present: Mapping[str, Sequence[bool]], *, count: int, seed: int) -> list[list[int]]:
    """Group numbers per fold. Large groups and rare classes are dealt first, each to the fold that it leaves most even.

    Unevenness of a fold is the squared distance of its number of cases, and of its cases with each class, from an equal share; every
    fold gets at least one group.
    """
    classes = len(next(iter(present.values())))
    weights = [[float(len(group))] + [float(sum(present[name][k] for name in group)) for k in range(classes)] for group in groups]
    totals = [max(1.0, sum(column)) for column in zip(*weights, strict=True)]
    shares = [[w / t for w, t in zip(row, totals, strict=True)] for row in weights]
    drawn = list(range(len(groups)))
    random.Random(seed).shuffle(drawn)  # noqa: S311 - a shuffle, no secret
    drawn.sort(key=lambda g: (-len(groups[g]), -max(shares[g])))
    filled = [[0.0] * (classes + 1) for _ in range(count)]
    dealt: list[list[int]] = [[] for _ in range(count)]
    for position, g in enumerate(drawn):
        empty = [f for f in range(count) if not dealt[f]]
        open_folds = empty if len(drawn) - position <= len(empty) else range(count)
        best = min(open_folds, key=lambda f: (_unevenness(filled[f], shares[g]), len(dealt[f]), f))
        dealt[best].append(g)
        filled[best] = [a + b for a, b in zip(filled[best], shares[g], strict=True)]
    return dealt


def _unevenness(filled: Sequence[float], added: Sequence[float]) -> float:
    """How much dealing `added` to a fold raises its sum of squares; cases weigh as much as all classes together."""
    rise = [2 * a * b + b * b for a, b in zip(filled, added, strict=True)]
    return round(rise[0] + sum(rise[1:]) / max(1, len(rise) - 1), 12)


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
    return f"{count} folds{fewer} of {' to '.join(map(str, sizes[:: max(1, len(sizes) - 1)]))} cases, balanced by number and by class"


def _missing(folds: Sequence[Fold], present: Mapping[str, Sequence[bool]], classes: Sequence[str]) -> str:
    lines = []
    for f, fold in enumerate(folds):
        absent = [name for k, name in enumerate(classes) if not any(present[case][k] for case in fold.train)]
        if absent:
            lines.append(f"fold{f} trains without {', '.join(absent)}")
    return "; ".join(lines)
