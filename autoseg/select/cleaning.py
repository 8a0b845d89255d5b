"""The third choice: which masks lose their small components and their holes.

Of each class: keeping the largest component, or dropping those below a size, whichever gains more, if any; then filling holes on top of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autoseg.postprocess import Cleaning
from autoseg.select.counting import BIN, CLASS, EDGES, FILLED, HIT, SAID, VARIANT, Pieces, Variant, to_dice
from autoseg.select.nested import Duel, Rows, Sample, Scores, score
from autoseg.select.selection import Trial

#: Smallest sizes that are tried for a class: quantiles of its components' sizes.
NUM_SIZES = 32

#: What each slot does to the class's masks.
Option = Callable[[int], Cleaning]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cleaned:
    """What was chosen.

    Parameters
    ----------
    cleanings : tuple of K Cleaning
        Chosen on all cases.
    scores : array, (N, K)
        Nested Dice.
    trials : tuple of Trial
    """

    cleanings: tuple[Cleaning, ...]
    scores: Scores
    trials: tuple[Trial, ...]


def choose_cleanings(
    sample: Sample, classes: Sequence[str], slots: Sequence[Variant], distinct: Sequence[Variant], pieces: Sequence[Pieces]
) -> Cleaned:
    """Choose each class's post-processing, switched on class by class.

    Parameters
    ----------
    sample : Sample
    classes : sequence of K str
    slots : sequence of Variant
        Each slot's way to masks.
    distinct : sequence of V Variant
        Each of them once.
    pieces : sequence of N Pieces
    """
    place = [distinct.index(variant) for variant in slots]
    units = {each.unit for each in pieces}
    rows = np.concatenate([np.column_stack([np.full(len(each.rows), n), each.rows]) for n, each in enumerate(pieces)])
    order = np.argsort(rows[:, 1 + CLASS], kind="stable")
    ends = np.searchsorted(rows[order, 1 + CLASS], np.arange(len(classes) + 1))
    cleanings, scores, trials = [], [], []
    for k, name in enumerate(classes):
        own = rows[order[ends[k] : ends[k + 1]]]
        largest = np.stack([each.largest[:, k] for each in pieces])
        there = np.array([each.there[k] for each in pieces])
        evidence = _Class(sample=sample, name=name, place=place, rows=own, largest=largest, there=there, unit=sorted(units))
        cleaning, nested, tried = evidence.choose()
        cleanings.append(cleaning)
        scores.append(nested)
        trials += tried
    return Cleaned(cleanings=tuple(cleanings), scores=np.column_stack(scores), trials=tuple(trials))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Class:
    """All components of one class.

    Parameters
    ----------
    rows : array, (number, 7)
        The case's number before the columns of `Pieces.rows`.
    largest : array, (N, V, 2, 2)
    there : array, (N,)
    unit : list of str
        Of the cases; several: sizes are not comparable.
    """

    sample: Sample
    name: str
    place: list[int]
    rows: NDArray[np.int64]
    largest: NDArray[np.int64]
    there: NDArray[np.int64]
    unit: list[str]

    def choose(self) -> tuple[Cleaning, Scores, list[Trial]]:
        """What is done to the class, its nested Dice (N,), and what was tried."""
        nothing: Option = lambda _: Cleaning()  # noqa: E731
        options: dict[str, Option] = {"largest component": lambda _: Cleaning(largest=True)}
        if len(self.unit) == 1:
            sizes = [self.fit_size(slot, made_on) for slot, made_on, _ in self.sample.slots()]
            options["smallest size"] = lambda slot: Cleaning(min_size=sizes[slot])
        base = self.nested(nothing)
        nested = {name: self.nested(option) for name, option in options.items()}
        trials = {name: self.trial(name, "nothing", option(-1), base, nested[name]) for name, option in options.items()}
        on = [name for name, trial in trials.items() if trial.is_on]
        best = max(on, key=lambda name: float(nested[name].mean()), default="nothing")
        for name in on:
            if name != best:
                # One at most: the largest component leaves nothing to drop.
                trials[name] = replace(trials[name], is_on=False, why_not=f"{best} gains more")
        kept, before = options.get(best, nothing), nested.get(best, base)
        after = self.nested(lambda slot: replace(kept(slot), fill_holes=True))
        filling = self.trial("hole filling", best, Cleaning(fill_holes=True), before, after)
        final = replace(kept(-1), fill_holes=filling.is_on)
        return final, after if filling.is_on else before, [*trials.values(), filling]

    def trial(self, candidate: str, against: str, cleaning: Cleaning, before: Scores, after: Scores) -> Trial:
        """A candidate, judged."""
        choice = f"at least {cleaning.min_size:.4g} {self.unit[0]}" if cleaning.min_size else ""
        duel = Duel(
            step="post-processing", candidate=candidate, against=against, class_name=self.name, choice=choice, before=before, after=after,
            there=self.there > 0,
        )  # fmt: skip
        return duel.decide(self.sample)

    def nested(self, option: Option) -> Scores:
        """Nested Dice, (N,), of what each slot does."""
        return score(self.sample, 1, lambda slot, rows: self.dice(self.place[slot], option(slot))[rows, None])[:, 0]

    def fit_size(self, slot: int, made_on: Rows) -> float:
        """The smallest size of highest mean Dice on some cases; the lowest of equals, 0 if dropping nothing is as good."""
        own = self.rows[(self.rows[:, 1 + VARIANT] == self.place[slot]) & (self.rows[:, 1 + FILLED] == 0) & made_on[self.rows[:, 0]]]
        bins = np.unique(own[:, 1 + BIN])
        if len(bins) > NUM_SIZES:
            bins = bins[np.linspace(0, len(bins) - 1, NUM_SIZES).round().astype(int)]
        sizes = [0.0, *EDGES[bins[1:]]]
        table = np.stack([self.dice(self.place[slot], Cleaning(min_size=size))[made_on] for size in sizes])
        dice, there = table.mean(axis=1), self.there[made_on] > 0
        if there.any():
            where_there = table[:, there].mean(axis=1)
            dice = np.where(where_there >= where_there[0] - 1e-9, dice, -1.0)
        return float(sizes[int(dice.argmax())])

    def dice(self, v: int, cleaning: Cleaning) -> Scores:
        """Dice of every case, (N,), as a cleaning leaves a variant's masks."""
        filled = int(cleaning.fill_holes)
        if cleaning.largest:
            said, hit = self.largest[:, v, filled].T
            return np.asarray(to_dice(hit, said, self.there))
        least = int(np.searchsorted(EDGES, cleaning.min_size)) if cleaning.min_size else -1
        own = self.rows[(self.rows[:, 1 + VARIANT] == v) & (self.rows[:, 1 + FILLED] == filled) & (self.rows[:, 1 + BIN] >= least)]
        hit, said = (np.bincount(own[:, 0], weights=own[:, 1 + column], minlength=len(self.there)) for column in (HIT, SAID))
        return np.asarray(to_dice(hit, said, self.there))
