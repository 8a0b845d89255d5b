"""One function called in other processes, by several threads at once: each call takes a process that is free, or starts one.

`io.pool` hands out a list that is known beforehand; here items come one at a time, from whoever has one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from autoseg.io.pool import TRIES, RemoteError, cause_of_death, given_up, name_of, start_worker

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds in which a process without work has to end by itself.
END_S = 5.0


class Remote(Generic[Item, Result]):
    """A function in other processes, as many as threads call it at the same time.

    Parameters
    ----------
    function : callable
        Defined at the top of a module, so that a spawned process can import it.
    most : int
        Processes at most; calls beyond wait.
    remedy : str
        What helps where memory ran out.

    Attributes
    ----------
    deaths : int
        Processes that died at work; what they had begun to write may lie about.
    """

    def __init__(self, function: Callable[[Item], Result], *, most: int, remedy: str) -> None:
        self.function, self.remedy, self.deaths = function, remedy, 0
        self._places = threading.BoundedSemaphore(most)
        self._free: list[tuple[Connection, BaseProcess]] = []
        self._lock = threading.Lock()

    def __call__(self, item: Item) -> Result:
        """`function(item)`; what it raises is raised here.

        Raises
        ------
        RunError
            If `TRIES` processes died of the item; names it (`io.pool.name_of`), the signal, and what to do.
        """
        with self._places:
            is_sound, result, trace = self._answer(item)
        if not is_sound:
            result.__cause__ = RemoteError(f"\n{trace}")
            raise result
        found: Result = result
        return found

    def close(self) -> None:
        """End the processes; no call may be under way."""
        for end, _ in self._free:
            end.close()
        for _, process in self._free:
            process.join(END_S)
            process.terminate()
            process.join()
        self._free.clear()

    def _answer(self, item: Item) -> Any:
        for _ in range(TRIES):
            end, process = self._take()
            try:
                end.send(item)
                answer = end.recv()
            except (EOFError, OSError):
                code = self._bury(end, process)
                log.warning("a process %s while it worked on %s", cause_of_death(code), name_of(item))
                continue
            except BaseException:
                # What cannot be sent or rebuilt leaves the line in the middle of an answer: nobody else may use it.
                self._bury(end, process)
                raise
            with self._lock:
                self._free.append((end, process))
            return answer
        raise given_up(name_of(item), code, self.remedy)

    def _take(self) -> tuple[Connection, BaseProcess]:
        with self._lock:  # multiprocessing looks after its children whenever it starts one, and is not made for threads
            return self._free.pop() if self._free else start_worker(self.function)

    def _bury(self, end: Connection, process: BaseProcess) -> int | None:
        end.close()
        with self._lock:
            self.deaths += 1
            process.join()
        return process.exitcode
