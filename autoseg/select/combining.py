"""The first choice: which members, and how they vote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.ensemble import Combination
from autoseg.select.candidates import Option, list_options
from autoseg.select.nested import Choice, Duel, Rows, Sample, Scores, choose, score
from autoseg.select.selection import Trial

#: Dice of combinations, (N, V, K): one pass over all cases.
CountDice = Callable[[Sequence[Combination]], Scores]

BEST = "best member"


@dataclass(frozen=True, kw_only=True, eq=False)
class Combined:
    """What was chosen.

    Parameters
    ----------
    name : str
        "best member", "soft vote", "hard vote", "class-wise".
    slots : tuple of Combination
        That of each slot; the last was chosen on all cases.
    scores, baseline : arrays, (N, K)
        Nested Dice of it, and of the best member.
    members : tuple of float, (M,)
        Dice of each member, by which the best one is known.
    trials : tuple of Trial
    """

    name: str
    slots: tuple[Combination, ...]
    scores: Scores
    baseline: Scores
    members: tuple[float, ...]
    trials: tuple[Trial, ...]


def choose_combination(sample: Sample, names: Sequence[str], num_classes: int, exclusive: bool, count: CountDice) -> Combined:
    """Choose among the best member, the soft vote, the hard vote and weights for each class; each must beat what is on before it.

    Parameters
    ----------
    sample : Sample
    names : sequence of M str
    num_classes : int
    exclusive : bool
        Classes of a pixel then depend on each other's weights: what class-wise weights come to is counted in a pass of their own.
    count : callable
    """
    options = list_options(len(names))
    table = count([option.combination(num_classes) for option in options])
    families = _families(options, table, len(names))
    chosen = {name: choose(sample, fit) for name, fit in families.items()}
    slots = {name: tuple(_combination(options, choice) for choice in choices) for name, choices in chosen.items()}
    scores = {name: _nested(sample, table, choices) for name, choices in chosen.items()}
    if exclusive and "class-wise" in slots:
        scores["class-wise"] = _nested_combinations(sample, slots["class-wise"], count)
    on, trials = BEST, []
    for name in [name for name in families if name != BEST]:
        choice = "its own weights for each class" if name == "class-wise" else f"all {len(names)} members"
        before, after = (scores[which].mean(axis=1) for which in (on, name))
        trial = Duel(step="ensemble", candidate=name, against=on, choice=choice, before=before, after=after).decide(sample)
        trials.append(trial)
        on = name if trial.is_on else on
    singles = tuple(float(table[:, m].mean()) for m in range(len(names)))
    return Combined(name=on, slots=slots[on], scores=scores[on], baseline=scores[BEST], members=singles, trials=tuple(trials))


def _families(options: Sequence[Option], table: Scores, num_members: int) -> dict[str, Callable[[int, Rows], Choice]]:
    """Name -> what it chooses of the options for each class, (K,), by the Dice of some cases."""
    num_classes = table.shape[2]
    singles, soft = table[:, :num_members], [k for k, option in enumerate(options) if option.kind == "soft"]

    def best_member(_: int, rows: Rows) -> Choice:
        return np.full(num_classes, singles[rows].mean(axis=(0, 2)).argmax())

    def always(option: int) -> Callable[[int, Rows], Choice]:
        return lambda _, __: np.full(num_classes, option)

    def class_wise(_: int, rows: Rows) -> Choice:
        best: Choice = np.array(soft)[table[rows][:, soft].mean(axis=0).argmax(axis=0)]
        return best

    families: dict[str, Callable[[int, Rows], Choice]] = {BEST: best_member}
    if num_members > 1:
        families["soft vote"] = always(num_members)
        if num_members > 2:
            families["hard vote"] = always(num_members + 1)
        if num_classes > 1:
            families["class-wise"] = class_wise
    return families


def _combination(options: Sequence[Option], choice: Choice) -> Combination:
    return Combination(kind=options[int(choice[0])].kind, weights=tuple(options[int(c)].weights for c in choice))


def _nested(sample: Sample, table: Scores, choices: Sequence[Choice]) -> Scores:
    classes = np.arange(table.shape[2])
    return score(sample, table.shape[2], lambda slot, rows: table[rows][:, choices[slot], classes])


def _nested_combinations(sample: Sample, slots: Sequence[Combination], count: CountDice) -> Scores:
    """The same from a pass over the cases with the slots' combinations as they are."""
    distinct = list(dict.fromkeys(slots))
    table = count(distinct)
    return score(sample, table.shape[2], lambda slot, rows: table[rows][:, distinct.index(slots[slot])])
