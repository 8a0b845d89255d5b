"""Reading ahead: in order, with the reader's own errors, and without threads left behind."""

import random
import threading
import time
from itertools import islice

import pytest

from autoseg.errors import FileFormatError
from autoseg.trainers.loader import AHEAD_PER_WORKER, read_ahead


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order(workers: int) -> None:
    def read(index: int) -> int:
        time.sleep(random.Random(index).random() / 500)
        return index * index

    batches = read_ahead(read, 5, workers=workers)
    assert list(islice(batches, 20)) == [k * k for k in range(5, 25)]
    batches.close()


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_the_readers_own_error_arrives_in_its_turn(workers: int) -> None:
    def read(index: int) -> int:
        if index == 3:
            raise FileFormatError("case.b2nd is cut short")
        return index

    batches = read_ahead(read, 0, workers=workers)
    assert list(islice(batches, 3)) == [0, 1, 2]
    with pytest.raises(FileFormatError, match=r"case\.b2nd is cut short") as caught:
        next(batches)
    assert any(entry.name == "read" for entry in caught.traceback)


def test_it_reads_ahead_and_no_further() -> None:
    begun: list[int] = []
    batches = read_ahead(lambda index: begun.append(index) or index, 0, workers=2)  # type: ignore[func-returns-value]
    assert next(batches) == 0
    assert next(batches) == 1
    deadline = time.monotonic() + 5
    while len(begun) < 2 * AHEAD_PER_WORKER + 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert sorted(begun) == list(range(2 * AHEAD_PER_WORKER + 1))
    batches.close()


def test_closing_ends_the_threads() -> None:
    batches = read_ahead(lambda index: index, 0, workers=3)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("autoseg-loader")]
