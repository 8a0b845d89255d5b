"""`autoseg` as it is, killed at a chosen instant: python -m tests.faults.child ORDER ARGUMENTS...

ORDER is JSON: `at`, what is to be interrupted; `count`, the how manieth such instant it is; `mode`, how far a file has come; `log`, the
file that says what the process was doing; `sleep_in`, a function that is to take too long; `often` false, checkpoints as usual instead of
one at every iteration. The functions are wrapped from outside: the product knows nothing of this.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

#: What a file's writing is called, by the end of its name; the first that fits.
WRITES = (
    ("checkpoint rename", (".safetensors",)),
    ("probability write", (".prob",)),
    ("store write", (".b2nd", "small.npz", "case.json")),
    ("plan", ("fingerprint.json", "splits.json", "default.json", "last_planned.txt")),
    ("export", (".png", ".csv", ".npz", "predict.json")),
)


class Killer:
    """Counts the instants and ends the process at the ordered one, leaving a word of what it was doing."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.count = 0

    def note(self, what: str) -> None:
        """Say what is going on, for a kill that comes from outside."""
        Path(self.order["log"]).write_text(what, encoding="utf-8")

    def instant(self, at: str, what: str, before: Callable[[], object] = lambda: None) -> None:
        """One instant; `before` is done just before the kill."""
        self.note(f"{at}: {what}")
        if at != self.order.get("at"):
            return
        self.count += 1
        if self.count == self.order["count"]:
            before()
            os.kill(os.getpid(), signal.SIGKILL)


def kind_of(path: Path) -> str:
    """What the writing of a file is called."""
    return next((kind for kind, ends in WRITES if path.name.endswith(ends)), "record")


def wrap_writes(killer: Killer) -> None:
    """Interrupt a file half written, whole and not yet renamed, or just renamed."""
    atomic: Any = import_module("autoseg.io.atomic")
    flush, flush_folder, mode = atomic._flush, atomic._flush_folder, killer.order.get("mode", "half")
    last: list[Path] = []

    def flushed(path: Path) -> None:
        last[:] = [path]
        kind = kind_of(path)
        if mode == "half":
            killer.instant(kind, f"{path.name}, half written", lambda: os.truncate(path, path.stat().st_size // 2))
        flush(path)
        if mode == "whole":
            killer.instant(kind, f"{path.name}, before its renaming")

    def renamed(folder: Path) -> None:
        if mode == "renamed" and last:
            killer.instant(kind_of(last[0]), f"{last[0].name}, just renamed")
        flush_folder(folder)

    atomic._flush, atomic._flush_folder = flushed, renamed


def wrap_training(killer: Killer) -> None:
    """Interrupt a step: before it, with its gradients computed, in the middle of the update, after it. A checkpoint at every iteration."""
    fit: Any = import_module("autoseg.trainers.fit")
    step, mode = fit.training_step, killer.order.get("mode", "half")
    if killer.order.get("often", True):
        fit.CHECKPOINT_EVERY_S = fit.CHECKPOINT_EPOCH_S = -1.0

    def stepped(learner: Any, batches: Any, reduce: Callable[[Any], None]) -> Any:
        def reduced(net: Any) -> None:
            reduce(net)
            if mode == "half":
                killer.instant("step", "between the gradients and the update")

        update = type(learner.optimizer).step

        def updated(optimizer: Any, *arguments: Any) -> Any:
            result = update(optimizer, *arguments)
            if mode == "whole":
                killer.instant("step", "between the update and the count")
            return result

        learner.optimizer.step = updated.__get__(learner.optimizer)
        killer.note("step: forward and backward")
        result = step(learner, batches, reduced)
        if mode == "renamed":
            killer.instant("step", "after it")
        return result

    fit.training_step = stepped


def wrap_to_sleep(killer: Killer) -> None:
    """Let the `count`-th call of a function, "module:name", sleep: a step, or a case, that takes too long."""
    module_name, name = killer.order["sleep_in"].split(":")
    module: Any = import_module(module_name)
    function, calls = getattr(module, name), 0

    def asleep(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == killer.order["count"]:
            # A name of its own: other threads go on writing, and noting it.
            Path(killer.order["log"]).with_name("asleep.txt").touch()
            time.sleep(600)
        return function(*arguments, **options)

    setattr(module, name, asleep)


def main() -> None:
    """Run autoseg's command line with the order's kill in it."""
    killer = Killer(json.loads(sys.argv.pop(1)))
    killer.note("start")
    wrap_writes(killer)
    if sys.argv[1] == "train":
        wrap_training(killer)
    if "sleep_in" in killer.order:
        wrap_to_sleep(killer)
    from autoseg.cli import main as autoseg

    autoseg()


if __name__ == "__main__":
    main()
