"""A first signal asks, a second one insists, and afterwards the handlers are as they were."""

import os
import signal
import threading
from pathlib import Path

import pytest

from autoseg.io import interrupt as interrupt_module
from autoseg.io.interrupt import Interrupt, Interrupted, listening


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_asks_to_stop(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with listening() as interrupt:
        interrupt.check(Path("fold0"), 3)
        assert not interrupt.asked
        signal.raise_signal(number)
        assert interrupt.asked
        with pytest.raises(Interrupted, match=r"Stopped at iteration 3; fold0 holds it. The same command continues from there.") as caught:
            interrupt.check(Path("fold0"), 3)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


def test_a_second_signal_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening():
        signal.raise_signal(signal.SIGTERM)
        # The same request, passed on by a parent process.
        signal.raise_signal(signal.SIGTERM)
        monkeypatch.setattr(interrupt_module, "SAME_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_other_threads_listen_to_nobody() -> None:
    seen: list[bool] = []

    def work() -> None:
        with listening() as interrupt:
            seen.append(interrupt.asked)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGINT) is before


def test_between_steps_a_signal_ends_at_once() -> None:
    with listening() as interrupt:
        with pytest.raises(Interrupted, match="The same command continues") as caught, interrupt.at_once():
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.exit_code == 143


def test_the_hint_ends_every_message() -> None:
    with listening("And more.") as interrupt:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match=r"continues from there\. And more\.$"):
            interrupt.check(Path("fold0"), 3)


def test_a_message_to_stop_is_no_error() -> None:
    assert Interrupted("Stopped.", signal.SIGINT).prefix == ""


def bytes_in_a_pipe(*numbers: int) -> int:
    read, write = os.pipe()
    os.write(write, bytes(numbers))
    os.close(write)
    return read


def test_other_signals_ask_for_no_stop() -> None:
    # A job's manager announces the end of its time with SIGUSR1, a terminal its new size with SIGWINCH; both have handlers of Python's.
    seen: list[int] = []
    numbers = (signal.SIGUSR1, signal.SIGWINCH, signal.SIGCHLD)
    before = {number: signal.signal(number, lambda number, frame: seen.append(number)) for number in numbers}
    try:
        with listening() as interrupt:
            for number in numbers:
                signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # The second thread has read them all: it ended at the 0 that follows.
    assert seen == list(numbers)
    assert not interrupt.asked


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_behind_other_signals_is_seen(number: signal.Signals) -> None:
    interrupt = Interrupt()
    interrupt.end()
    interrupt.watch(bytes_in_a_pipe(signal.SIGUSR1, signal.SIGCHLD, number))
    assert interrupt.signal_number == number


def test_nobody_listens_any_more() -> None:
    interrupt = Interrupt()
    interrupt.watch(bytes_in_a_pipe(signal.SIGUSR1, 0, signal.SIGTERM))
    assert not interrupt.asked
