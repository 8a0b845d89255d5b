"""Which combinations of members are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from autoseg.ensemble import Combination, Kind

#: Up to so many members weights are tried in quarters, up to so many all subsets; of more, single members, pairs and all of them.
MAX_QUARTERS, MAX_SUBSETS = 3, 5
QUARTERS = 4

Weights = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Option:
    """A combination that is the same for each class.

    Parameters
    ----------
    kind : {"soft", "hard"}
    weights : tuple of float, (M,)
    """

    kind: Kind
    weights: Weights

    def combination(self, num_classes: int) -> Combination:
        """It for all classes."""
        return Combination(kind=self.kind, weights=(self.weights,) * num_classes)


def list_options(num_members: int) -> list[Option]:
    """Single members first, then the soft vote, the hard vote (of three and more: that of two is their soft vote), then other weights.

    >>> [option.weights for option in list_options(2)]
    [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.25, 0.75), (0.75, 0.25)]
    """
    singles = [Option(kind="soft", weights=_equal((m,), num_members)) for m in range(num_members)]
    if num_members == 1:
        return singles
    everyone = _equal(tuple(range(num_members)), num_members)
    votes = [Option(kind="soft", weights=everyone)]
    if num_members > 2:
        votes.append(Option(kind="hard", weights=everyone))
    known = {option.weights for option in (*singles, *votes)}
    others = [Option(kind="soft", weights=weights) for weights in _more_weights(num_members) if weights not in known]
    return [*singles, *votes, *others]


def _more_weights(num: int) -> Iterator[Weights]:
    if num <= MAX_QUARTERS:
        for parts in product(range(QUARTERS + 1), repeat=num):
            if sum(parts) == QUARTERS:
                yield tuple(part / QUARTERS for part in parts)
        return
    for size in range(2, num if num <= MAX_SUBSETS else 3):
        for members in combinations(range(num), size):
            yield _equal(members, num)


def _equal(members: tuple[int, ...], num: int) -> Weights:
    return tuple(1 / len(members) if m in members else 0.0 for m in range(num))
