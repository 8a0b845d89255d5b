"""A first signal asks, a second one insists, and afterwards the handlers are as they were."""

import signal
import threading
from pathlib import Path

import pytest

from autoseg.io import interrupt as interrupt_module
from autoseg.io.interrupt import Interrupted, listening


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
