"""Progress written into the fold's folder beside the screen: what `autoseg status` tells of it from another window."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from autoseg.evaluate import Summary
from autoseg.io.interrupt import Interrupted
from autoseg.standing.live import LIVE, Live, write_live
from autoseg.trainers.job import Report

#: Seconds between two writings.
EVERY_S = 5.0


class LiveReport:
    """A `Report` that hands everything on to another one, and keeps FOLD/.live.json true.

    Parameters
    ----------
    report : Report
        Where people look.
    folder : Path
        The fold's, locked by this process.
    now : callable
        Seconds; replaced in tests.
    """

    def __init__(self, report: Report, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._report, self._folder, self._now = report, folder, now
        self._last = Live(doing="training", share=0.0)
        self._written: float | None = None

    def begin(self, fold: str, text: str) -> None:
        """A fold begins, goes on, or is found finished."""
        self._report.begin(fold, text)

    def step(self, fold: str, progress: float, loss: float, remaining_s: float) -> None:
        """After every step."""
        self._note(Live(doing="training", share=progress, left_s=remaining_s))
        self._report.step(fold, progress, loss, remaining_s)

    def say(self, fold: str, text: str) -> None:
        """Something that a person should know."""
        self._report.say(fold, text)

    def validated(self, fold: str, done: int, total: int) -> None:
        """After every validation case."""
        self._note(Live(doing="validating", share=done / max(1, total)), now=self._last.doing == "training")
        self._report.validated(fold, done, total)

    def end(self, fold: str, summary: Summary, probability_bytes: int) -> None:
        """The fold is finished."""
        with suppress(OSError):
            (self._folder / LIVE).unlink(missing_ok=True)
        self._written = None
        self._report.end(fold, summary, probability_bytes)

    def stopped(self) -> None:
        """The process leaves at once, and no block comes to its end: from whatever thread sees to that."""
        if self._written is not None:
            self._note(Live(doing="stopped", share=self._share()), now=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or self._written is None:
            return  # in order, or refused before anything was trained: what an earlier command said of the fold still holds
        if isinstance(error, Interrupted | KeyboardInterrupt):
            self.stopped()
        else:
            why = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._note(Live(doing="failed", share=self._share(), why=why), now=True)

    def _share(self) -> float:
        """Of the training, which is over once cases are validated."""
        return 1.0 if self._last.doing == "validating" else self._last.share

    def _note(self, live: Live, *, now: bool = False) -> None:
        self._last = live
        if not now and self._written is not None and self._now() - self._written < EVERY_S:
            return
        self._written = self._now()
        with suppress(OSError):  # a full disk or a folder that went: the training itself will say so
            write_live(self._folder, live)
