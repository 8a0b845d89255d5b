"""Cases through reading, prediction and writing: order, groups, failures, and how many lie in memory."""

import gc
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.case import Case
from autoseg.infer import flow as module
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

    def steps(self, **changes: Any) -> Steps[int, int]:
        given: dict[str, Any] = {
            "read": self.read, "num_tiles": lambda _: self.tiles, "predict": self.predict, "write": self.write,
            "num_bytes": lambda _: 0, "result_bytes": lambda _: 0,
        }  # fmt: skip
        return Steps(**{**given, **changes})

    def run(self, num: int, *, batch: int, writers: int = 2, **changes: Any) -> dict[str, str]:
        steps = self.steps(**changes)
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

    found = flow(cases(9), record.steps(write=slow), batch=1, writers=2)
    worker = threading.Thread(target=lambda: list(found))
    worker.start()
    started.wait(10)
    worker.join(0.3)
    assert len(record.groups) <= 4  # two being written, one that waits, one ahead of it
    ready.set()
    worker.join(10)
    assert len(record.written) == 9


def test_large_images_behind_small_ones_are_not_read_ahead_as_those_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight of one tile fill a batch, and as many are read ahead; those behind them have 100 bytes and 8 tiles each."""
    monkeypatch.setattr(module, "MOST_BYTES", 150)
    record, held, most = Record(1), set[int](), 0
    gate = threading.Event()
    sizes = {number: (1, 1) if number < 8 else (8, 100) for number in range(20)}

    def read(case: Case) -> int:
        nonlocal most
        number = record.read(case)
        with record.lock:
            held.add(number)
            most = max(most, sum(sizes[each][1] for each in held))
            if number == 9:
                gate.set()
        return number

    def predict(group: Sequence[int]) -> Iterator[int]:
        # Nothing of the small group is done before the reader has gone as far as it may.
        if group[0] == 0:
            assert gate.wait(10)
            threading.Event().wait(0.1)  # and no further
        for number in group:
            yield from record.predict([number])
            with record.lock:
                held.discard(number)

    changes: dict[str, Any] = {
        "read": read,
        "predict": predict,
        "num_tiles": lambda number: sizes[number][0],
        "num_bytes": lambda number: sizes[number][1],
    }
    assert record.run(20, batch=8, **changes) == dict.fromkeys(map(str, range(20)), "")
    assert len(record.groups) == 8 + 12  # one call of Record.predict for each
    # The eight small ones and two large ones (the second begun at 100 < 150 bytes); of large ones alone one in hand and two ahead.
    assert most <= 300


def test_large_results_are_written_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 150)
    record, now, most = Record(1), 0, 0

    def write(case: Case, result: int) -> None:
        nonlocal now, most
        with record.lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        record.write(case, result)
        with record.lock:
            now -= 1

    record.run(6, batch=1, writers=4, write=write, result_bytes=lambda _: 100)
    assert most == 1

    together = threading.Barrier(2, timeout=10)

    def write_beside_another(case: Case, result: int) -> None:
        together.wait()
        record.write(case, result)

    found = record.run(6, batch=1, writers=4, write=write_beside_another, result_bytes=lambda _: 10)
    assert found == dict.fromkeys("012345", "")


@pytest.mark.parametrize("where", ["read", "predict", "write"])
def test_a_case_that_failed_is_let_go(where: str) -> None:
    """Its image and its result are gone when the next case is asked for, whatever the error's traceback passed through."""
    left: list[weakref.ref[NDArray[np.uint8]]] = []

    def fail_with(image: NDArray[np.uint8], here: str) -> NDArray[np.uint8]:
        left.append(weakref.ref(image))
        try:
            if here == where:
                raise KeyError(here)
        except KeyError as error:
            raise ValueError(here) from error  # the first error's frames hold the image, too
        return image

    def predict(images: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        for image in images:
            yield fail_with(image.copy(), "predict")

    def write(case: Case, image: NDArray[np.uint8]) -> None:
        fail_with(image.copy(), "write")

    steps: Steps[NDArray[np.uint8], NDArray[np.uint8]] = Steps(
        read=lambda case: fail_with(np.zeros(4, np.uint8), "read"), num_tiles=lambda _: 1, predict=predict, write=write,
        num_bytes=lambda image: image.nbytes, result_bytes=lambda image: image.nbytes,
    )  # fmt: skip
    gc.disable()
    try:
        found = flow(cases(1), steps, batch=1)
        _, error = next(found)
        assert isinstance(error, ValueError)
        assert left
        assert [ref for ref in left if ref() is not None] == []
        assert error.__traceback__ is not None  # where it came from can still be shown
        found.close()
    finally:
        gc.enable()
