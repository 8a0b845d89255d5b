"""A pool of processes that survives the death of one: the case that killed it is known, and tried again with fewer beside it.

Python's own pools do not serve: `concurrent.futures` gives up as a whole and says neither which case nor which signal it was, and its
processes outlive a killed parent.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from autoseg.errors import RunError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Times that one case may take its worker down until it is given up.
TRIES = 2
#: Results that lie ready for the first missing one, for each worker.
AHEAD = 2


class RemoteError(Exception):
    """The traceback of an exception in a worker, which has none of its own here."""


def in_pool(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    name: Callable[[Item], str] | None = None,
    remedy: str = "--workers 1 needs least of it.",
) -> Generator[Result]:
    """Yield `function(item)` for each item, in order, computed by `workers` processes.

    `name` says what a person calls an item whose worker died, `name_of` if not given; `remedy` what helps where memory ran out.

    Raises
    ------
    RunError
        If `TRIES` workers died of an item; names it, the signal, and what to do. Other items' results come first, as far as they can.
    """
    pool = _Pool(function, items, workers, name or name_of, remedy)
    try:
        yield from pool.results()
    finally:
        pool.close()


class _Pool:
    """The workers, and what each has in hand."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any], workers: int, name: Callable[[Any], str], remedy: str) -> None:
        self.function, self.items, self.most, self.name, self.remedy = function, items, workers, name, remedy
        self.waiting = list(range(len(items)))[::-1]
        self.ready: dict[int, tuple[bool, Any]] = {}
        self.deaths: dict[int, int] = {}
        self.next = 0
        self.workers: dict[Connection, tuple[BaseProcess, int | None]] = {}

    def results(self) -> Iterator[Any]:
        """Everything, in order."""
        while self.next < len(self.items):
            self._hand_out()
            for end in wait(list(self.workers)):
                assert isinstance(end, Connection)
                self._collect(end)
            while self.next in self.ready:
                is_sound, result = self.ready.pop(self.next)
                if not is_sound:
                    raise result
                self.next += 1
                yield result

    def close(self) -> None:
        """End all workers; what they have in hand is half done, and what they write is whole or not there."""
        for end, (process, _) in self.workers.items():
            end.close()
            process.terminate()
        for process, _ in self.workers.values():
            process.join()
        self.workers.clear()

    def _hand_out(self) -> None:
        idle = [end for end, (_, item) in self.workers.items() if item is None]
        while self.waiting and self.waiting[-1] < self.next + AHEAD * self.most and len(self.workers) - len(idle) < self.most:
            end, number = idle.pop() if idle else self._begin(), self.waiting.pop()
            self.workers[end] = self.workers[end][0], number
            with suppress(OSError):  # it has died: noticed when it is listened to
                end.send(self.items[number])

    def _begin(self) -> Connection:
        here, process = start_worker(self.function)
        self.workers[here] = process, None
        return here

    def _collect(self, end: Connection) -> None:
        process, number = self.workers[end]
        try:
            is_sound, result, trace = end.recv()
        except (EOFError, OSError):
            del self.workers[end]
            end.close()
            process.join()
            self._mourn(process, number)
            return
        self.workers[end] = process, None
        assert number is not None
        if not is_sound:
            result.__cause__ = RemoteError(f"\n{trace}")
        self.ready[number] = is_sound, result

    def _mourn(self, process: BaseProcess, number: int | None) -> None:
        """A worker is gone: its case goes to another one, and there are fewer from here on."""
        how = cause_of_death(process.exitcode)
        if number is None:
            return  # between two cases: nothing is lost, another one takes its place
        self.deaths[number] = self.deaths.get(number, 0) + 1
        name, self.most = self.name(self.items[number]), max(1, self.most // 2)
        if self.deaths[number] < TRIES:
            log.warning("a process %s while it worked on %s; the case is tried again, with %d at a time", how, name, self.most)
            self.waiting.append(number)
            # The earliest is handed out first: a later one may lie beyond what is worked ahead, and would keep it waiting for ever.
            self.waiting.sort(reverse=True)
            return
        self.ready[number] = False, given_up(name, process.exitcode, self.remedy)


def name_of(item: object) -> str:
    """What a person calls an item: a case by its name."""
    if isinstance(item, tuple | list) and item:
        return name_of(item[0])
    name = getattr(item, "name", None) or getattr(item, "case", None) or item
    return str(name) if isinstance(name, str) or name is item else name_of(name)


def start_worker(function: Callable[[Any], Any]) -> tuple[Connection, BaseProcess]:
    """A process that answers each item sent with (True, function(item), "") or (False, the exception, its traceback)."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, function), daemon=True)
    process.start()
    there.close()  # so that its end is seen here when the process ends, however it does
    return here, process


def given_up(name: str, code: int | None, remedy: str) -> RunError:
    """What is said of a case that took `TRIES` workers down, the last of which ended with this exit code."""
    words = f"{name}: the process that worked on it {cause_of_death(code)}, {TRIES} times. {_advice(code, remedy)}"
    return RunError(f"{words} Finished cases are kept; the same command goes on.")


def cause_of_death(code: int | None) -> str:
    """An exit code in words: "was killed by SIGKILL"."""
    if code is None or code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"


def _advice(code: int | None, remedy: str) -> str:
    if code == -signal.SIGKILL:
        return f"SIGKILL comes from a person or, most often, from the system when memory runs out: {remedy}"
    return "A crash points to a file that a library cannot bear: look at the case's files, or take them out."


def _work(end: Connection, function: Callable[[Any], Any]) -> None:
    """A worker's life: an item comes, its result goes; it ends with its parent."""
    # Ctrl-C reaches every process of a terminal; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            item = end.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[bool, Any, str] = (True, function(item), "")
        except Exception as error:
            answer = (False, error, traceback.format_exc())
        try:
            end.send(answer)
        except OSError:
            return
        except Exception as error:  # what cannot be pickled
            end.send((False, RuntimeError(f"{type(error).__name__}: {error}"), traceback.format_exc()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
