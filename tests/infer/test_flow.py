"""Cases through reading, prediction and writing: order, groups, failures, and how many lie in memory."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from autoseg.case import Case
from autoseg.infer.flow import Steps, flow


def cases(num: int) -> list[Case]:
    return [Case(name=str(i), images=()) for i in range(num)]


class Record:
    """Steps that note what happens; a case's number is its name, its tiles `tiles`."""

    def __init__(self, tiles: int, fails: dict[str, str] | None = None) -> None:
        self.tiles, self.fails = tiles, fails or {}
        self.groups: list[list[int]] = []
        self.written: list[str] = []
        self.read_only = 0
        self.most_ahead = 0
        self.lock = threading.Lock()

    def fail(self, where: str, name: str) -> None:
        if self.fails.get(name) == where:
            raise ValueError(where)

    def read(self, case: Case) -> int:
        self.fail("read", case.name)
        with self.lock:
            self.read_only += 1
            self.most_ahead = max(self.most_ahead, self.read_only)
        return int(case.name)

    def predict(self, group: Sequence[int]) -> Iterator[int]:
        self.groups.append(list(group))
        for number in group:
            self.fail("predict", str(number))
            with self.lock:
                self.read_only -= 1
            yield 10 * number

    def write(self, case: Case, result: int) -> None:
        self.fail("write", case.name)
        assert result == 10 * int(case.name)
        with self.lock:
            self.written.append(case.name)

    def run(self, num: int, *, batch: int, writers: int = 2) -> dict[str, str]:
        steps = Steps(read=self.read, num_tiles=lambda _: self.tiles, predict=self.predict, write=self.write)
        return {case.name: str(error or "") for case, error in flow(cases(num), steps, batch=batch, writers=writers)}


@pytest.mark.parametrize(
    ("tiles", "batch", "expected"),
    [(1, 1, [[0], [1], [2], [3], [4]]), (1, 2, [[0, 1], [2, 3], [4]]), (2, 3, [[0, 1], [2, 3], [4]]), (9, 4, [[0], [1], [2], [3], [4]])],
)
def test_small_cases_fill_a_batch(tiles: int, batch: int, expected: list[list[int]]) -> None:
    record = Record(tiles)
    assert record.run(5, batch=batch) == dict.fromkeys("01234", "")
    assert record.groups == expected
    assert sorted(record.written) == list("01234")


@pytest.mark.parametrize("where", ["read", "predict", "write"])
@pytest.mark.parametrize("batch", [1, 3])
def test_one_that_fails_takes_no_other_with_it(where: str, batch: int) -> None:
    record = Record(1, {"2": where})
    assert record.run(7, batch=batch) == {name: where if name == "2" else "" for name in "0123456"}
    assert sorted(record.written) == list("013456")


def test_memory_does_not_grow_with_the_number_of_cases() -> None:
    large, small = Record(100), Record(1)
    large.run(40, batch=4)
    small.run(40, batch=4)
    assert large.most_ahead <= 2  # the one that is predicted, and the next
    assert small.most_ahead <= 8  # as many again as fill a batch


def test_results_wait_for_writers() -> None:
    ready, started = threading.Event(), threading.Event()
    record = Record(1)
    plain = record.write

    def slow(case: Case, result: int) -> None:
        started.set()
        ready.wait(10)
        plain(case, result)

    steps = Steps(read=record.read, num_tiles=lambda _: 1, predict=record.predict, write=slow)
    found = flow(cases(9), steps, batch=1, writers=2)
    worker = threading.Thread(target=lambda: list(found))
    worker.start()
    started.wait(10)
    worker.join(0.3)
    assert len(record.groups) <= 4  # two being written, one that waits, one ahead of it
    ready.set()
    worker.join(10)
    assert len(record.written) == 9
