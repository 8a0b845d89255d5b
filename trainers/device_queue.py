"""Folds over several devices: each device takes the next fold when it is free, and all folds end within the hours."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: signal.SIGKILL, which Windows does not name.
SIGKILL = 9
#: Seconds between two looks at the processes.
LOOK_EVERY_S = 0.2
#: What a process takes before its own clock begins (0.15 s), after its last line (1.1 s; both on a busy processor), and until it is seen.
START_S = 2.0


class Process(Protocol):
    """A training of one fold that was started."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        ...

    def send_signal(self, number: int, /) -> None:
        """Ask it to stop."""
        ...


def share_s(free_at: Sequence[float], place: int, used_s: Sequence[float], end: float) -> float:
    """Seconds that the next fold may take on a device that is free now.

    Parameters
    ----------
    free_at : sequence of float
        When each device is expected to be free; now, for this one.
    place : int
        This device's.
    used_s : sequence of float
        Seconds that the folds that wait have used already, this one first.
    end : float
        When all folds must be done.

    Notes
    -----
    The waiting folds are dealt one by one to the device that would then have the most time for each of its own; what falls to this device
    shares what it has left, so that its folds come to equal totals with what they have used. With F folds on D devices, F a multiple of D,
    each fold gets D / F of the hours; else devices with fewer folds give each more, and none is ever idle.

    Example
    -------
    >>> share_s([0, 0], 0, [0] * 4, 12.0), share_s([0, 0], 0, [0] * 5, 12.0), share_s([4, 0], 1, [0] * 4, 12.0)
    (6.0, 4.0, 6.0)
    """
    counts = [0] * len(free_at)
    for _ in used_s:
        best = max(range(len(free_at)), key=lambda device: (end - free_at[device]) / (counts[device] + 1))
        counts[best] += 1
    mine = used_s[: max(1, counts[place])]
    left = end - free_at[place]
    return min(left, max(0.0, (left + sum(mine)) / len(mine) - mine[0]))


@dataclass(kw_only=True)
class DeviceQueue:
    """Runs a process for each fold on the next free device.

    A device whose fold failed gets no other one: what is wrong may be the device, which would go through all folds. The others go on.

    Parameters
    ----------
    folds : mapping of fold -> seconds used so far
        In the order in which they are begun.
    finished : collection of str
        Folds that need no time.
    devices : sequence of str
    hours : float or None
        Wall time for all of it, over all restarts.
    start : callable (fold, device, hours of this fold over all restarts)
    say : callable (text)
    begun : float
        On the clock `now`: when the command began.
    """

    folds: Mapping[str, float]
    finished: frozenset[str] = frozenset()
    devices: Sequence[str]
    hours: float | None
    start: Callable[[str, str, float | None], Process]
    say: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.waiting = deque(self.folds)
        self.codes: dict[str, int] = {}
        self._running: dict[str, tuple[str, Process]] = {}
        self._free_at = dict.fromkeys(self.devices, 0.0)
        self._stopped = False

    def run(self) -> dict[str, int]:
        """Exit code of every fold that was begun."""
        free = list(self.devices)
        while self._running or (self.waiting and free and not self._stopped):
            while self.waiting and free and not self._stopped:
                self._begin(free.pop(0))
            self.wait(LOOK_EVERY_S)
            for device, (fold, process) in tuple(self._running.items()):
                if (code := process.poll()) is not None:
                    self._end(device, fold, code)
                    if code == 0:
                        free.append(device)
        return self.codes

    def stop(self, number: int, *, pass_on: bool) -> None:
        """Begin no other fold; `pass_on` the signal to those that run."""
        self._stopped = True
        for _, process in tuple(self._running.values()):
            if pass_on and process.poll() is None:
                process.send_signal(number)

    def _begin(self, device: str) -> None:
        fold = self.waiting[0]
        hours = self._hours(fold, device)
        self.waiting.popleft()
        self._running[device] = fold, self.start(fold, device, hours)

    def _end(self, device: str, fold: str, code: int) -> None:
        del self._running[device]
        self.codes[fold] = code
        if code == 0 or self._stopped:
            return
        del self._free_at[device]
        self.say(f"fold {fold} {_how(code)} on {device}, which gets no other fold. The same command tries again what is not finished.")

    def _hours(self, fold: str, device: str) -> float | None:
        """Of this fold over all restarts; notes when the device will be free."""
        if self.hours is None or fold in self.finished:
            return self.hours
        now = self.now()
        used = [self.folds[name] for name in self.waiting if name not in self.finished]
        # Wall time of earlier commands: no less than their longest fold took, or all of them on devices that were never idle.
        before = max(*self.folds.values(), sum(self.folds.values()) / len(self.devices))
        end = self.begun + 3600 * self.hours - before
        free_at = {name: max(now, at) for name, at in self._free_at.items()} | {device: now}
        share = share_s(list(free_at.values()), list(free_at).index(device), used, end)
        self._free_at[device] = now + share
        return (self.folds[fold] + max(share - START_S, 1.0)) / 3600


def _how(code: int) -> str:
    """What became of a fold's process, by its exit code."""
    if code >= 0:
        return "failed"
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    why = " (most often the system, when memory runs out: fewer devices at a time, or a smaller plan)" if -code == SIGKILL else ""
    return f"was killed by {name}{why}"
