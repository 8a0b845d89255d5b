"""How much time is left for a part."""

from __future__ import annotations

import time

#: Another row may take this many times the longest so far.
RESERVE = 1.3


class Clock:
    """Says whether there is time for another row.

    Parameters
    ----------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self._begun: float | None = None
        self._longest = 0.0

    def left(self) -> float:
        """Seconds, below zero when they are over."""
        return self.end - time.monotonic()

    def allows_another(self) -> bool:
        """True if a row as long as the longest so far still fits; asked before each of them."""
        now = time.monotonic()
        if self._begun is not None:
            self._longest = max(self._longest, now - self._begun)
        self._begun = now
        return now + RESERVE * self._longest < self.end
