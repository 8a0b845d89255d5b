"""Checkpoints written beside the training: what is copied at an iteration boundary reaches the disk in another thread."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from autoseg.checkpoint import Checkpoint, save_checkpoint

#: Copies that may wait in memory: the last and the best one.
WAITING = 2


class Saver:
    """Writes checkpoints in order, one at a time. Hashing, writing and flushing release the interpreter's lock."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="autoseg-saver")
        self._writing: deque[Future[None]] = deque()

    def write(self, path: Path, checkpoint: Checkpoint) -> None:
        """Write a checkpoint whose tensors nobody changes; waits while `WAITING` others are not on the disk yet."""
        while len(self._writing) >= WAITING:
            self._writing.popleft().result()
        self._writing.append(self._pool.submit(save_checkpoint, path, checkpoint))

    def check(self) -> None:
        """Raise what went wrong with a checkpoint that was begun, a full disk for instance."""
        while self._writing and self._writing[0].done():
            self._writing.popleft().result()

    def wait(self) -> None:
        """Come back when all that was begun is on the disk; raises as `check`."""
        while self._writing:
            self._writing.popleft().result()

    def close(self) -> None:
        """Wait, and end the thread; what fails now is not raised: this is called where another error may be under way."""
        self._pool.shutdown(wait=True)
