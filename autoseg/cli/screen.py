"""Training on the screen: a bar for each fold on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from autoseg.cli.progress import LINE_EVERY_S, count, duration, size

if TYPE_CHECKING:
    from autoseg.evaluate import Summary

#: Steps after which the remaining time is worth saying.
WARM_STEPS = 50
TICKS = 1000
BAR = "{desc} {percentage:3.0f}%|{bar}| {postfix}"


class Screen:
    """Where `trainers.train_folds` shows its progress.

    Parameters
    ----------
    queued : bool
        Other processes write to the same screen: lines instead of a bar, and the time that is left is this fold's.
    """

    def __init__(self, *, queued: bool = False) -> None:
        self._queued = queued
        self._bar: tqdm[Any] | None = None
        self._steps = 0
        self._said = time.monotonic()

    def begin(self, fold: str, text: str) -> None:
        """A fold begins, goes on, or is found finished."""
        click.echo(f"{name_of(fold)}: {text}")
        self._said = time.monotonic()

    def step(self, fold: str, progress: float, loss: float, remaining_s: float) -> None:
        """After every step."""
        self._steps += 1
        whose = "" if self._queued else " for all folds"
        left = f"{duration(remaining_s)} left{whose}" if self._steps > WARM_STEPS else ""
        shown = "" if math.isnan(loss) else f"loss {loss:.3f}"
        if sys.stderr.isatty() and not self._queued:
            if self._bar is None:
                self._bar = tqdm(total=TICKS, desc=name_of(fold), bar_format=BAR, dynamic_ncols=True)
            self._bar.update(int(TICKS * progress) - self._bar.n)
            self._bar.set_postfix_str(", ".join(text for text in (shown, left) if text), refresh=False)
        elif time.monotonic() - self._said > LINE_EVERY_S:
            self._said = time.monotonic()
            click.echo("  " + ", ".join(text for text in (f"{name_of(fold)}: {progress:.0%}", shown, left) if text))

    def say(self, fold: str, text: str) -> None:
        """Something that a person should know."""
        self._close()
        click.echo(f"{name_of(fold)}: {text}")

    def validated(self, fold: str, done: int, total: int) -> None:
        """After every validation case."""
        self._close()
        if time.monotonic() - self._said > LINE_EVERY_S:
            self._said = time.monotonic()
            click.echo(f"  {name_of(fold)}: validated {done} of {total}")

    def end(self, fold: str, summary: Summary, probability_bytes: int) -> None:
        """A fold is finished."""
        self._close()
        dice, num = summary.mean["dice"], len(summary.cases)
        click.echo(f"{name_of(fold)}: done" + ("" if dice is None else f", validation Dice {dice:.4f} over {count(num, 'case')}"))
        if num:
            each = size(probability_bytes / num)
            click.echo(f"  {name_of(fold)}: probabilities of its validation images take {size(probability_bytes)}, {each} each")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def name_of(fold: str) -> str:
    """fold0, or fold all."""
    return f"fold{fold}" if fold.isdigit() else f"fold {fold}"
