"""Cases on their way through reading, the nets and writing, all three at work at the same time, with little waiting between them."""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from autoseg.case import Case

Prepared = TypeVar("Prepared")
Result = TypeVar("Result")

#: Threads that write: png, blosc2 and gzip compress outside of Python's lock.
WRITERS = min(4, os.cpu_count() or 1)
#: Processes that write where that pays, besides: a thread of this process waits for each.
PROCESSES = min(8, os.cpu_count() or 1)
#: Nothing more is read ahead once what was read, and no more results are handed to writers once what they have in hand, takes this.
MOST_BYTES = 2**28


class Steps(NamedTuple, Generic[Prepared, Result]):
    """What is done with a case.

    Parameters
    ----------
    read : callable(case) -> prepared
    num_tiles : callable(prepared) -> int
    predict : callable(sequence of prepared) -> iterator of results
        One for each, in order, as soon as it is known.
    write : callable(case, result)
    num_bytes : callable(prepared) -> int
        What it takes in memory.
    result_bytes : callable(result) -> int
    """

    read: Callable[[Case], Prepared]
    num_tiles: Callable[[Prepared], int]
    predict: Callable[[Sequence[Prepared]], Iterator[Result]]
    write: Callable[[Case, Result], None]
    num_bytes: Callable[[Prepared], int]
    result_bytes: Callable[[Result], int]


def flow(
    cases: Sequence[Case], steps: Steps[Prepared, Result], *, batch: int, writers: int = WRITERS
) -> Generator[tuple[Case, Exception | None]]:
    """Each case once it is written, or with what went wrong; one that fails takes no other with it.

    Parameters
    ----------
    cases : sequence of Case
    steps : Steps
    batch : int
        Tiles in one forward pass: cases are predicted together until they have as many. Read ahead are as many as were predicted last, and
        none beyond the first once they take `MOST_BYTES`, so that images of many tiles lie in memory two at a time.
    writers : int
        Cases being written, or waiting for it, at most; one alone if they take more than `MOST_BYTES`.
    """
    with _Ahead(cases, steps) as ahead, ThreadPoolExecutor(writers) as writer:
        writing: deque[tuple[Case, Future[None], int]] = deque()
        for group in _read_groups(ahead, batch):
            for case, result in _predicted(steps, group):
                size = 0 if isinstance(result, Exception) else steps.result_bytes(result)
                while writing and (len(writing) >= writers or writing[0][1].done() or size + sum(each[2] for each in writing) > MOST_BYTES):
                    yield _settle(*writing.popleft()[:2])
                if isinstance(result, Exception):
                    yield case, result
                else:
                    writing.append((case, writer.submit(steps.write, case, result), size))
                del result
        while writing:
            yield _settle(*writing.popleft()[:2])


class _Ready(NamedTuple, Generic[Prepared]):
    """A case that was read, its tiles and what it takes in memory; or what went wrong."""

    case: Case
    prepared: Prepared | Exception
    num_tiles: int = 0
    num_bytes: int = 0


class _Ahead(Generic[Prepared, Result]):
    """Cases as they are read, in order, by a thread of its own that stops where enough lie ready."""

    def __init__(self, cases: Sequence[Case], steps: Steps[Prepared, Result]) -> None:
        self.steps = steps
        #: How many may lie ready or be read.
        self.most = 1
        self._todo = iter(cases)
        self._left = len(cases)
        self._ready: deque[_Ready[Prepared]] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="autoseg-reader")

    def __enter__(self) -> _Ahead[Prepared, Result]:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self.allow(0)
        self._thread.join()

    def __len__(self) -> int:
        """Cases that were not taken."""
        return self._left

    def allow(self, most: int) -> None:
        """So many may lie ready or be read from now on."""
        with self._changed:
            self.most = most
            self._changed.notify_all()

    def take(self) -> _Ready[Prepared]:
        """The next case, once it is there."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready)
            self._left -= 1
            self._changed.notify_all()
            return self._ready.popleft()

    def _read(self) -> None:
        for case in self._todo:
            with self._changed:
                self._changed.wait_for(self._may_read)
                if self._ended:
                    return
            found = self._read_one(case)
            with self._changed:
                self._ready.append(found)
                self._changed.notify_all()
            del found

    def _read_one(self, case: Case) -> _Ready[Prepared]:
        try:
            prepared = self.steps.read(case)
            return _Ready(case, prepared, self.steps.num_tiles(prepared), self.steps.num_bytes(prepared))
        except Exception as error:  # set aside, reported by the caller
            return _Ready(case, _emptied(error))

    def _may_read(self) -> bool:
        has_room = not self._ready or sum(ready.num_bytes for ready in self._ready) < MOST_BYTES
        return self._ended or (len(self._ready) < self.most and has_room)


def _read_groups(ahead: _Ahead[Prepared, Result], batch: int) -> Iterator[list[tuple[Case, Prepared | Exception]]]:
    while len(ahead):
        group: list[tuple[Case, Prepared | Exception]] = []
        tiles = 0
        while len(ahead) and tiles < batch:
            found = ahead.take()
            group.append((found.case, found.prepared))
            if isinstance(found.prepared, Exception):
                break  # no group waits for a case that will not come
            tiles += found.num_tiles
            del found
        ahead.allow(max(1, sum(not isinstance(prepared, Exception) for _, prepared in group)))
        yield group


def _predicted(steps: Steps[Prepared, Result], group: list[tuple[Case, Prepared | Exception]]) -> Iterator[tuple[Case, Result | Exception]]:
    """Results of a group; if one case spoils it, the others are predicted one by one."""
    broken = [(case, prepared) for case, prepared in group if isinstance(prepared, Exception)]
    ready = [(case, prepared) for case, prepared in group if not isinstance(prepared, Exception)]
    group.clear()
    yield from broken
    done, failure = 0, None
    try:
        for result in steps.predict([prepared for _, prepared in ready]) if ready else ():
            done += 1
            yield ready[done - 1][0], result
            del result
    except Exception as error:  # set aside, reported by the caller
        failure = _emptied(error)
    if failure is None:
        return
    if len(ready) == 1:
        case = ready.pop()[0]
        yield case, failure
    else:
        for each in ready[done:]:
            yield from _predicted(steps, [each])


def _settle(case: Case, writing: Future[None]) -> tuple[Case, Exception | None]:
    error = writing.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return case, error if error is None else _emptied(error)


def _emptied(error: Exception) -> Exception:
    """The error, with what its frames hold let go: the image, and all that was made of it."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    return error
