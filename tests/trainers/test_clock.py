"""Progress by iterations or by time, on a clock of our own."""

import pytest

from autoseg.trainers.clock import Clock


class Time:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_by_iterations_time_does_not_matter() -> None:
    time = Time()
    clock = Clock(planned=200, now=time, started=1000.0)
    time.seconds += 1e6
    assert [clock.progress(i) for i in (0, 50, 200, 300)] == [0, 0.25, 1, 1]
    assert clock.remaining_s(50, 2.0) == 300


def test_by_time_the_share_less_the_reserve_is_trained() -> None:
    time = Time()
    clock = Clock(planned=10**9, share_s=100, reserve_s=20, used_s=10, now=time, started=1000.0)
    assert clock.progress(0) == pytest.approx(10 / 80)
    time.seconds += 30
    assert clock.elapsed_s() == 40
    assert clock.progress(0) == pytest.approx(0.5)
    assert clock.remaining_s(0, 1.0) == 40
    time.seconds += 40
    assert clock.progress(0) == 1
    assert clock.remaining_s(0, 1.0) == 0


def test_whichever_is_further_counts() -> None:
    time = Time()
    clock = Clock(planned=100, share_s=100, now=time, started=1000.0)
    assert clock.progress(30) == pytest.approx(0.3)
    time.seconds += 60
    assert clock.progress(30) == pytest.approx(0.6)
    assert clock.remaining_s(30, 0.1) == pytest.approx(7)


def test_a_reserve_beyond_the_share_ends_at_once() -> None:
    assert Clock(planned=100, share_s=1, reserve_s=2, used_s=0.1, now=lambda: 0.0, started=0.0).progress(0) == 1


@pytest.mark.parametrize("step_s", [0.01, 0.13, 0.7])
def test_a_loop_ends_within_a_step_of_its_time(step_s: float) -> None:
    time = Time()
    clock = Clock(planned=10**9, share_s=100, reserve_s=10, now=time, started=1000.0)
    iteration, seen = 0, [0.0]
    while (done := clock.progress(iteration)) < 1:
        seen.append(done)
        time.seconds += step_s
        iteration += 1
    assert 90 <= clock.elapsed_s() <= 90 + step_s + 1e-9
    assert seen == sorted(seen)
    assert seen[-1] >= 1 - step_s / 90 - 1e-9  # the schedule is finished
