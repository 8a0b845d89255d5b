"""Ctrl-C and SIGTERM end a training at the next iteration boundary, with a checkpoint; a validation after the case in work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from autoseg.errors import AutosegError


class Interrupted(AutosegError):
    """The user or the system asked the training to stop; everything up to the last iteration is saved."""

    prefix = ""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        # The shell's convention: 130 after Ctrl-C, 143 after SIGTERM.
        self.exit_code = 128 + signal_number

    def adding(self, sentence: str) -> Interrupted:
        """The same with one more sentence."""
        return Interrupted(f"{self} {sentence}", self.signal_number)


class Interrupt:
    """Whether a stop was asked for."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._at_once = False

    @property
    def asked(self) -> bool:
        """True once a signal came."""
        return self.signal_number != 0

    def check(self, folder: Path, iteration: int) -> None:
        """Raise Interrupted if a stop was asked for."""
        if self.asked:
            raise Interrupted(
                f"Stopped at iteration {iteration}; {folder} holds it. The same command continues from there.", self.signal_number
            )

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise Interrupted right when a signal comes while the block runs: it does nothing that would have to be saved."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.signal_number = signal_number
        if self._at_once:
            raise Interrupted("Stopped between two steps; everything before is saved. The same command continues.", signal_number)


@contextmanager
def listening() -> Iterator[Interrupt]:
    """Catch SIGINT and SIGTERM while the block runs; a second signal breaks off at once."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers; elsewhere the caller stops the training.
        yield interrupt
        return
    earlier: dict[int, Any] = {number: signal.signal(number, interrupt._handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
