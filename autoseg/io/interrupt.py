"""Ctrl-C and SIGTERM: work ends at the next good place, or is left where it stands if that takes longer than a few seconds.

Python runs signal handlers in the main thread, between two of its own instructions: a backward pass of a minute holds them up for a minute.
A second thread, woken through `signal.set_wakeup_fd` at once, therefore waits `GRACE_S` for the work to end by itself and then ends the
process: after it has saved, through `Interrupt.leaving`, what the work was before the part that is abandoned.

That must be a state that nobody changes meanwhile. The main thread holds a lock, the fence, wherever it changes what would be saved, and
gives it up inside `Interrupt.idle`, around what only computes: forward and backward, reading, predicting. The second thread saves with the
fence in its hands; the main thread then never comes back from its computation.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from autoseg.errors import AutosegError

#: Seconds that work in hand has to end by itself; until the process ends all the same, with the last checkpoint instead of a new one.
GRACE_S, LAST_S = 5.0, 9.0
#: A signal that comes so soon after the first is the same request: a terminal and a parent process both pass it on.
SAME_S = 1.0
GOES_ON = "The same command continues from there."
NOTHING_LOST = "Stopped. What was finished is kept; the same command goes on."


class Interrupted(AutosegError):
    """The user or the system asked to stop; everything up to the last iteration is saved."""

    prefix = ""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        # The shell's convention: 130 after Ctrl-C, 143 after SIGTERM.
        self.exit_code = 128 + signal_number


class Interrupt:
    """Whether a stop was asked for, and what is to be saved if the work does not end in time; made by `listening`.

    Parameters
    ----------
    hint : str
        A sentence that every message ends with.
    """

    def __init__(self, hint: str = "") -> None:
        self.signal_number = 0
        self.hint = hint
        self._asked_at = 0.0
        self._raise: Callable[[], BaseException] | None = None
        self._save: Callable[[], str] | None = None
        self._fence = threading.RLock()
        # Held by the main thread but for `idle`.
        self._fence.acquire()
        self._is_idle = self._saving = False
        self._ended = threading.Event()

    @property
    def asked(self) -> bool:
        """True once a signal came."""
        return self.signal_number != 0

    def check(self, folder: Path, iteration: int) -> None:
        """Raise Interrupted if a stop was asked for."""
        if self.asked:
            raise Interrupted(self._words(f"Stopped at iteration {iteration}; {folder} holds it. {GOES_ON}"), self.signal_number)

    @contextmanager
    def at_once(self, words: str = "Stopped between two steps; everything before is saved. The same command continues.") -> Iterator[None]:
        """Raise Interrupted right when a signal comes while the block runs: it does nothing that would have to be saved."""
        with self._breaking_off(lambda: Interrupted(self._words(words), self.signal_number), words):
            yield

    @contextmanager
    def as_by_keyboard(self) -> Iterator[None]:
        """Raise KeyboardInterrupt, which nothing takes for a failure of a case, when a signal comes while the block runs."""
        with self._breaking_off(KeyboardInterrupt, NOTHING_LOST):
            yield

    @contextmanager
    def _breaking_off(self, error: Callable[[], BaseException], words: str) -> Iterator[None]:
        with self.leaving(lambda: words), self.idle():
            self._raise = error
            try:
                yield
            finally:
                self._raise = None

    @contextmanager
    def leaving(self, save: Callable[[], str]) -> Iterator[None]:
        """While the block runs, `save` is what is called before work that takes too long is abandoned, from another thread.

        Parameters
        ----------
        save : callable -> str
            Writes the state as it was before the `idle` part in work, and gives what to say about it.
        """
        earlier, self._save = self._save, save
        try:
            yield
        finally:
            self._save = earlier

    @contextmanager
    def idle(self) -> Iterator[None]:
        """The block changes nothing that `save` writes. It may be abandoned, and then never returns."""
        if self._is_idle:
            yield
            return
        self._is_idle = True
        self._fence.release()
        try:
            yield
        finally:
            self._fence.acquire()
            self._is_idle = False

    @contextmanager
    def saving(self) -> Iterator[None]:
        """The block saves: it is waited for, however long it takes."""
        self._saving = True
        try:
            yield
        finally:
            self._saving = False

    def handle(self, signal_number: int, frame: FrameType | None = None) -> None:
        """Python's handler of both signals."""
        now = time.monotonic()
        if self._asked_at and now - self._asked_at > SAME_S:
            raise KeyboardInterrupt
        first = not self._asked_at
        self.signal_number = self.signal_number or signal_number
        self._asked_at = self._asked_at or now
        if first and self._raise is not None:
            raise self._raise()

    def watch(self, pipe: int) -> None:
        """Wait for a signal's number from a pipe (0: nobody listens any more), and see that the process ends; of the second thread."""
        # Every signal that has a handler of Python's writes its number here: those of a job's manager or of a library ask for no stop.
        while (number := os.read(pipe, 1)[0]) not in (0, signal.SIGINT, signal.SIGTERM):
            pass
        if not number:
            return
        # Its own handler may have to wait for the main thread.
        self.signal_number = self.signal_number or number
        begun = time.monotonic()
        if self._ended.wait(GRACE_S):
            return
        while not self._fence.acquire(timeout=0.1):
            if self._ended.is_set():
                return
            if time.monotonic() - begun > LAST_S and not self._saving:
                self._leave(NOTHING_LOST if self._save is None else f"Stopped at the last checkpoint. {GOES_ON}")
        if self._ended.is_set():
            return
        try:
            words = NOTHING_LOST if self._save is None else self._save()
        except BaseException as error:  # whatever it is, the process ends now, and what was saved before is there
            words = f"Stopped; {error}. What was saved before is kept; the same command goes on from there."
        self._leave(words)

    def end(self) -> None:
        """The work has ended by itself."""
        self._ended.set()

    def _leave(self, words: str) -> None:
        sys.stdout.flush()
        print(f"\n{self._words(words)}", file=sys.stderr, flush=True)
        os._exit(128 + self.signal_number)

    def _words(self, words: str) -> str:
        return f"{words} {self.hint}".rstrip()


@contextmanager
def listening(hint: str = "") -> Iterator[Interrupt]:
    """Catch SIGINT and SIGTERM while the block runs; a second one, a second later, breaks off at once. `hint` as in `Interrupt`."""
    interrupt = Interrupt(hint)
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers; elsewhere the caller stops the work.
        yield interrupt
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    watcher = threading.Thread(target=interrupt.watch, args=(read,), name="autoseg-signals", daemon=True)
    with handling(interrupt.handle, wake=write):
        watcher.start()
        try:
            yield interrupt
        finally:
            interrupt.end()
            os.write(write, b"\0")
            watcher.join()
    os.close(read)
    os.close(write)


@contextmanager
def handling(handler: Callable[[int, FrameType | None], Any], *, wake: int = -1) -> Iterator[None]:
    """Set the handler of SIGINT and SIGTERM, and the pipe that gets their numbers, while the block runs; of the main thread."""
    woken = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    earlier: dict[int, Any] = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, before in earlier.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(woken)
