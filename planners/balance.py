"""Dealing groups of cases to folds so that every fold holds its share of every class and every pose."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from autoseg.fingerprint import Fingerprint

#: Turns are dealt by quarters of the cases.
TURN_PARTS = 4
#: Unusual arrangements are dealt by their shares at the top; bent wrists are a tenth of the HandBone images. Measured on 200 hands of the
#: phantom, 20 with a bent wrist: the folds with the most and the fewest of them differ by 2.2 (mean of 20 seeds), with (0.1, 0.3) by 2.8,
#: without poses by 4.2.
UNUSUAL_SHARES = (0.05, 0.1, 0.2, 0.4)
#: Passes over all pairs of folds that exchange groups; a pass that changes nothing ends it (seen: 3 to 6).
MAX_PASSES = 50
#: Orders of dealing that are tried; equal ones end apart by the draw.
TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Trait:
    """Something that every fold should have its share of.

    Parameters
    ----------
    kind : {"class", "mirror image", "turn", "unusual"}
        Kinds weigh alike, however many traits they have.
    name : str
    cases : frozenset of str
        The cases that have it.
    """

    kind: str
    name: str
    cases: frozenset[str]


def traits_of(fingerprint: Fingerprint) -> list[Trait]:
    """The classes, and what was measured of the poses: mirror images, quarters by turn, the most unusual arrangements."""
    present = {
        name: frozenset(case.name for case in fingerprint.cases if case.classes[k] is not None)
        for k, name in enumerate(fingerprint.classes)
    }
    traits = [Trait(kind="class", name=name, cases=cases) for name, cases in present.items()]
    sides = [frozenset(pose.case for pose in fingerprint.poses if pose.side == side) for side in (0, 1)]
    if all(sides):
        traits += [Trait(kind="mirror image", name=f"mirror image {side + 1}", cases=cases) for side, cases in enumerate(sides)]
    turns = sorted((pose.turn, pose.case) for pose in fingerprint.poses if pose.turn is not None)
    if len(turns) >= TURN_PARTS:
        cuts = [len(turns) * part // TURN_PARTS for part in range(TURN_PARTS + 1)]
        quarters = [frozenset(case for _, case in turns[a:b]) for a, b in pairwise(cuts)]
        traits += [Trait(kind="turn", name=f"quarter {part + 1} by turn", cases=cases) for part, cases in enumerate(quarters)]
    unusual = sorted(((pose.unusual, pose.case) for pose in fingerprint.poses if pose.unusual is not None), reverse=True)
    for share in UNUSUAL_SHARES if unusual else ():
        top = frozenset(case for _, case in unusual[: math.ceil(share * len(unusual))])
        traits.append(Trait(kind="unusual", name=f"the {share:.0%} of most unusual poses", cases=top))
    return traits


def deal(groups: Sequence[Sequence[str]], traits: Sequence[Trait], *, count: int, seed: int) -> list[list[int]]:
    """Group numbers per fold: first the number of cases is even, then every trait.

    Large groups and rare traits are dealt first, each to the fold that it leaves most even among those with room; then groups of equal
    size change places as long as that makes the folds more even. Of `TRIES` orders the one that ends most even is taken. Unevenness is
    the sum over folds and traits of the squared share of the trait's cases. Every fold gets at least one group.
    """
    sizes = np.array([len(group) for group in groups])
    shares, weights = _shares(groups, traits)
    best, lowest = [], np.inf
    for attempt in range(TRIES):
        dealt, filled = _deal_in_turn(_order(sizes, shares, seed * TRIES + attempt), sizes, shares, weights, count)
        for _ in range(MAX_PASSES):
            exchanged = [_exchange(dealt, filled, a, b, shares, weights, sizes) for a in range(count) for b in range(a)]
            if not any(exchanged):
                break
        unevenness = round(float(((filled**2) @ weights).sum()), 9)
        if unevenness < lowest:
            best, lowest = dealt, unevenness
    return best


def _order(sizes: NDArray[np.int64], shares: NDArray[np.float64], seed: int) -> list[int]:
    drawn = list(range(len(sizes)))
    random.Random(seed).shuffle(drawn)  # noqa: S311 - a shuffle, no secret
    rarest = shares.max(axis=1, initial=0.0)
    return sorted(drawn, key=lambda g: (-sizes[g], -rarest[g]))


def _deal_in_turn(
    order: Sequence[int], sizes: NDArray[np.int64], shares: NDArray[np.float64], weights: NDArray[np.float64], count: int
) -> tuple[list[list[int]], NDArray[np.float64]]:
    """Group numbers per fold, and how much of each trait each fold holds, (count, T)."""
    filled, lengths = np.zeros((count, shares.shape[1])), np.zeros(count, np.int64)
    dealt: list[list[int]] = [[] for _ in range(count)]
    room = int(sizes.sum()) // count
    for position, g in enumerate(order):
        empty = [f for f in range(count) if not dealt[f]]
        open_folds = [f for f in range(count) if lengths[f] + sizes[g] <= room] or [f for f in range(count) if lengths[f] == lengths.min()]
        if len(order) - position <= len(empty):
            open_folds = empty
        rises = (2 * filled * shares[g] + shares[g] ** 2) @ weights
        chosen = min(open_folds, key=lambda f: (round(float(rises[f]), 12), len(dealt[f]), f))
        dealt[chosen].append(g)
        filled[chosen] += shares[g]
        lengths[chosen] += sizes[g]
    return dealt, filled


def _shares(groups: Sequence[Sequence[str]], traits: Sequence[Trait]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Which share of each trait's cases a group holds, (G, T), and the weight of each trait, (T,): 1 for all traits of a kind."""
    used = [trait for trait in traits if trait.cases]
    held = [[len(trait.cases.intersection(group)) / len(trait.cases) for trait in used] for group in groups]
    kinds = [trait.kind for trait in used]
    return np.reshape(held, (len(groups), len(used))), np.array([1 / kinds.count(kind) for kind in kinds])


def _exchange(
    dealt: list[list[int]], filled: NDArray[np.float64], a: int, b: int,
    shares: NDArray[np.float64], weights: NDArray[np.float64], sizes: NDArray[np.int64],
) -> bool:  # fmt: skip
    """Let the two groups of folds `a` and `b` change places whose exchange makes the folds most even; False if none does."""
    here, there = shares[dealt[a]] * weights**0.5, shares[dealt[b]] * weights**0.5
    apart = (filled[a] - filled[b]) * weights**0.5
    # With d = there - here: |A + d|^2 + |B - d|^2 - |A|^2 - |B|^2 = 2 d (A - B) + 2 |d|^2
    moved = (there @ apart)[None] - (here @ apart)[:, None]
    distance = (here**2).sum(1)[:, None] + (there**2).sum(1)[None] - 2 * here @ there.T
    change = 2 * moved + 2 * distance
    change[sizes[dealt[a]][:, None] != sizes[dealt[b]][None]] = np.inf
    i, j = np.unravel_index(int(np.argmin(change)), change.shape)
    if change[i, j] > -1e-9:
        return False
    step = shares[dealt[b][j]] - shares[dealt[a][i]]
    filled[a] += step
    filled[b] -= step
    dealt[a][i], dealt[b][j] = dealt[b][j], dealt[a][i]
    return True


def say_balance(folds: Sequence[Sequence[str]], traits: Sequence[Trait]) -> str:
    """What the folds are balanced by and how even they came out, from the cases that each is validated on."""
    said = []
    kinds = list(dict.fromkeys(trait.kind for trait in traits))
    for kind in kinds:
        ranges = [(trait.name, *_range(folds, trait)) for trait in traits if trait.kind == kind and trait.cases]
        if kind == "class":
            name, low, high = max(ranges, key=lambda r: (r[2] - r[1], -r[1]), default=("", 0, 0))
            said.append("classes: even" if low == high else f"classes: least even {name}, {_span(low, high)} cases of a fold")
        else:
            said.append(", ".join(f"{name}: {_span(low, high)}" for name, low, high in ranges))
    if kinds == ["class"]:
        said.append("no pose could be measured")
    return "; ".join(said)


def _range(folds: Sequence[Sequence[str]], trait: Trait) -> tuple[int, int]:
    counts = [len(trait.cases.intersection(fold)) for fold in folds]
    return min(counts), max(counts)


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
