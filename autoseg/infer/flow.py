"""Cases on their way through reading, the nets and writing, all three at work at the same time, with little waiting between them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from autoseg.case import Case

Prepared = TypeVar("Prepared")
Result = TypeVar("Result")

#: Threads that write: png, blosc2 and gzip compress outside of Python's lock.
WRITERS = min(4, os.cpu_count() or 1)


class Steps(NamedTuple, Generic[Prepared, Result]):
    """What is done with a case.

    Parameters
    ----------
    read : callable(case) -> prepared
    num_tiles : callable(prepared) -> int
    predict : callable(sequence of prepared) -> iterator of results
        One for each, in order, as soon as it is known.
    write : callable(case, result)
    """

    read: Callable[[Case], Prepared]
    num_tiles: Callable[[Prepared], int]
    predict: Callable[[Sequence[Prepared]], Iterator[Result]]
    write: Callable[[Case, Result], None]


def flow(
    cases: Sequence[Case], steps: Steps[Prepared, Result], *, batch: int, writers: int = WRITERS
) -> Iterator[tuple[Case, Exception | None]]:
    """Each case once it is written, or with what went wrong; one that fails takes no other with it.

    Parameters
    ----------
    cases : sequence of Case
    steps : Steps
    batch : int
        Tiles in one forward pass: cases are predicted together until they have as many. Read ahead are as many as were predicted last,
        so that images of many tiles lie in memory two at a time.
    writers : int
        Cases being written, or waiting for it, at most.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(writers) as writer:
        writing: deque[tuple[Case, Future[None]]] = deque()
        for group in _read_groups(reader, cases, steps, batch):
            for case, result in _predicted(steps, group):
                while len(writing) >= writers or (writing and writing[0][1].done()):
                    yield _settle(*writing.popleft())
                if isinstance(result, Exception):
                    yield case, result
                else:
                    writing.append((case, writer.submit(steps.write, case, result)))
                del result
        while writing:
            yield _settle(*writing.popleft())


def _read_groups(
    reader: ThreadPoolExecutor, cases: Sequence[Case], steps: Steps[Prepared, Result], batch: int
) -> Iterator[list[tuple[Case, Prepared | Exception]]]:
    todo = iter(cases)
    ahead: deque[tuple[Case, Future[Prepared]]] = deque()

    def look_ahead(num: int) -> None:
        while len(ahead) < num and (case := next(todo, None)) is not None:
            ahead.append((case, reader.submit(steps.read, case)))

    look_ahead(1)
    while ahead:
        group: list[tuple[Case, Prepared | Exception]] = []
        tiles = 0
        while ahead and tiles < batch:
            case, future = ahead.popleft()
            look_ahead(1)
            try:
                prepared = future.result()
                tiles += steps.num_tiles(prepared)
                group.append((case, prepared))
                del prepared
            except Exception as error:  # set aside, reported by the caller
                # Its frames hold the image; and no group waits for a case that will not come.
                group.append((case, error.with_traceback(None)))
                break
            finally:
                del future
        look_ahead(sum(not isinstance(prepared, Exception) for _, prepared in group))
        yield group


def _predicted(steps: Steps[Prepared, Result], group: list[tuple[Case, Prepared | Exception]]) -> Iterator[tuple[Case, Result | Exception]]:
    """Results of a group; if one case spoils it, the others are predicted one by one."""
    for case, prepared in group:
        if isinstance(prepared, Exception):
            yield case, prepared
    ready = [(case, prepared) for case, prepared in group if not isinstance(prepared, Exception)]
    group.clear()
    done = 0
    try:
        for result in steps.predict([prepared for _, prepared in ready]) if ready else ():
            done += 1
            yield ready[done - 1][0], result
            del result
    except Exception as error:  # set aside, reported by the caller
        if len(ready) == 1:
            yield ready[0][0], error
        else:
            for each in ready[done:]:
                yield from _predicted(steps, [each])


def _settle(case: Case, writing: Future[None]) -> tuple[Case, Exception | None]:
    try:
        writing.result()
    except Exception as error:  # set aside, reported by the caller
        return case, error
    return case, None
