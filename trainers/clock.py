"""How far a training is: by iterations, or by the time that is left for its fold, whichever is further."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Clock:
    """Progress of one fold.

    Parameters
    ----------
    planned : int
        Iterations.
    share_s : float or None
        Wall time of this fold over all restarts, validation and checkpoints included; None without --hours.
    used_s : float
        Time used before this process started.
    reserve_s : float
        Kept back for what comes after the last step: the last checkpoint, the validation.
    now : callable
        Seconds; replaced in tests.
    started : float
        On that clock: when this process began to work for the fold.
    """

    planned: int
    share_s: float | None = None
    used_s: float = 0.0
    reserve_s: float = 0.0
    now: Callable[[], float] = time.monotonic
    started: float = field(default_factory=time.monotonic)

    def elapsed_s(self) -> float:
        """Time used so far, over all restarts."""
        return self.used_s + self.now() - self.started

    def progress(self, iteration: int) -> float:
        """Share of the training that is done, in [0, 1]; 1 ends it."""
        by_count = iteration / self.planned
        if self.share_s is None:
            return min(1.0, by_count)
        trainable = max(self.share_s - self.reserve_s, 1e-9)
        return min(1.0, max(by_count, self.elapsed_s() / trainable))

    def remaining_s(self, iteration: int, step_s: float) -> float:
        """Honest time to the end of this fold's training: what is left of its share, or the steps left at the measured pace."""
        by_count = (self.planned - iteration) * step_s
        if self.share_s is None:
            return by_count
        return max(0.0, min(by_count, self.share_s - self.reserve_s - self.elapsed_s()))
