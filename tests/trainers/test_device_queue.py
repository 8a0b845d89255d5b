"""The next fold goes to the next free device, and the hours are divided so that no device is idle and all folds end in time."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from autoseg.trainers.device_queue import START_S, DeviceQueue, share_s

HOURS = 2.0


class FakeProcess:
    """Ends at a time on the world's clock with a code."""

    def __init__(self, world: "World", end: float, code: int) -> None:
        self.world, self.end, self.code = world, end, code
        self.signals: list[int] = []

    def poll(self) -> int | None:
        return self.code if self.world.now >= self.end else None

    def send_signal(self, number: int, /) -> None:
        self.signals.append(number)
        self.end, self.code = self.world.now, 143


class World:
    """A clock that moves only when somebody waits, and folds that take all of their time, or as long as `lasts` says."""

    def __init__(self, lasts: Callable[[str, str, float], tuple[float, int]] | None = None, used: dict[str, float] | None = None) -> None:
        self.now = 1000.0
        self.begun: list[tuple[str, str, float]] = []  # fold, device, when
        self.hours: dict[str, float | None] = {}
        self.ended: dict[str, float] = {}
        self.processes: dict[str, FakeProcess] = {}
        self.said: list[str] = []
        self.used = used or {}
        self.lasts = lasts or (lambda fold, device, share: (share, 0))

    def start(self, fold: str, device: str, hours: float | None) -> FakeProcess:
        # A process takes a moment to start, and its own clock counts what the fold has used before.
        share = 3600 * (hours or 0) - self.used.get(fold, 0.0) + START_S
        seconds, code = self.lasts(fold, device, share)
        self.begun.append((fold, device, self.now - 1000))
        self.hours[fold] = hours
        self.ended[fold] = self.now - 1000 + seconds
        self.processes[fold] = FakeProcess(self, self.now + seconds, code)
        return self.processes[fold]

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def queue(self, folds: int, devices: int, hours: float | None = HOURS, **given: Any) -> DeviceQueue:
        return DeviceQueue(
            folds={str(k): self.used.get(str(k), 0.0) for k in range(folds)},
            devices=[f"cuda:{k}" for k in range(devices)],
            hours=hours,
            start=self.start,
            say=self.said.append,
            now=lambda: self.now,
            wait=self.wait,
            begun=self.now,
            **given,
        )


@pytest.mark.parametrize("devices", [1, 2, 3, 4])
@pytest.mark.parametrize("folds", [1, 2, 3, 4, 5, 6, 7])
def test_all_folds_end_in_time_and_no_device_is_idle(folds: int, devices: int) -> None:
    world = World()
    assert world.queue(folds, devices).run() == {str(k): 0 for k in range(folds)}
    shares = [3600 * (hours or 0) for hours in world.hours.values()]
    whole = 3600 * HOURS
    assert max(world.ended.values()) == pytest.approx(whole, abs=3)
    # No fold gets less than the fullest device gives each of its own.
    assert min(shares) >= whole / -(-folds // devices) - 3
    if folds % devices == 0:
        assert shares == pytest.approx([whole * devices / folds] * folds, abs=3)
    if folds >= devices:
        assert sum(shares) == pytest.approx(whole * devices, abs=3 * folds)


def test_without_hours_folds_follow_each_other_on_each_device() -> None:
    world = World(lambda fold, device, share: (5.0 if device == "cuda:0" else 12.0, 0))
    world.queue(4, 2, hours=None).run()
    assert [(fold, device) for fold, device, _ in world.begun] == [("0", "cuda:0"), ("1", "cuda:1"), ("2", "cuda:0"), ("3", "cuda:0")]
    assert set(world.hours.values()) == {None}


def test_time_that_a_fold_leaves_goes_to_those_that_wait() -> None:
    world = World(lambda fold, device, share: (600.0 if fold == "0" else share, 0))
    world.queue(4, 2).run()
    assert world.begun[2][:2] == ("2", "cuda:0")
    # From minute 10 on: folds 2 and 3, one for each device; 3 begins when fold 1 has had its hour.
    assert 3600 * (world.hours["2"] or 0) == pytest.approx(6600, abs=3)
    assert world.ended["3"] == pytest.approx(7200, abs=3)


def test_a_fold_that_was_begun_gets_what_brings_it_to_the_same_total() -> None:
    # One device: 2 hours for three folds, of which the first has used half an hour, in an earlier command.
    world = World(used={"0": 1800.0})
    world.queue(3, 1).run()
    assert [3600 * (world.hours[fold] or 0) for fold in "012"] == pytest.approx([2400] * 3, abs=3)
    assert max(world.ended.values()) == pytest.approx(5400, abs=3)


def test_finished_folds_need_no_time_and_count_what_they_took() -> None:
    world = World(lambda fold, device, share: (1.0 if fold == "0" else share, 0), used={"0": 3600.0})
    world.queue(2, 1, finished=frozenset("0")).run()
    assert world.ended["1"] == pytest.approx(3600, abs=3)


def test_a_device_that_fails_gets_no_other_fold() -> None:
    world = World(lambda fold, device, share: (60.0, 1) if device == "cuda:1" else (share, 0))
    queue = world.queue(5, 2)
    codes = queue.run()
    assert codes == {"0": 0, "1": 1, "2": 0, "3": 0, "4": 0}
    assert [device for _, device, _ in world.begun].count("cuda:1") == 1
    assert world.said == ["fold 1 failed on cuda:1, which gets no other fold. The same command tries again what is not finished."]
    assert max(world.ended.values()) == pytest.approx(7200, abs=3)


def test_when_all_devices_fail_the_rest_waits() -> None:
    world = World(lambda fold, device, share: (60.0, 2))
    queue = world.queue(5, 2)
    assert queue.run() == {"0": 2, "1": 2}
    assert list(queue.waiting) == ["2", "3", "4"]


@pytest.mark.parametrize("pass_on", [True, False])
def test_after_a_signal_nothing_is_begun(pass_on: bool) -> None:
    world = World()
    queue = world.queue(4, 2)

    def wait(seconds: float) -> None:
        world.now += seconds
        if world.now > 1010 and not queue._stopped:
            queue.stop(signal.SIGTERM, pass_on=pass_on)

    queue.wait = wait
    codes = queue.run()
    assert codes == ({"0": 143, "1": 143} if pass_on else {"0": 0, "1": 0})
    assert list(queue.waiting) == ["2", "3"]
    assert [process.signals for process in world.processes.values()] == [[signal.SIGTERM] if pass_on else []] * 2
    assert world.said == []


@pytest.mark.parametrize(
    ("free_at", "place", "used", "expected"),
    [
        ([0, 0], 0, [0, 0, 0, 0], 6.0),
        ([0, 0, 0], 0, [0, 0, 0, 0, 0, 0], 6.0),
        ([0, 8], 0, [0, 0, 0], 4.0),  # 12, 6 and 4 here against 4 there
        ([0, 12], 0, [0, 0], 6.0),  # the other one is taken to the end
        ([0], 0, [6, 0], 3.0),  # both come to 9
        ([0], 0, [50, 0], 0.0),
    ],
)
def test_a_share(free_at: list[float], place: int, used: list[float], expected: float) -> None:
    assert share_s(free_at, place, used, 12.0) == pytest.approx(expected)
