"""What a training says of itself to other windows."""

from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import RunError
from autoseg.io.interrupt import Interrupted
from autoseg.standing.live import LIVE, Live, read_live
from autoseg.trainers.live_report import EVERY_S, LiveReport


class Heard:
    """A Report that notes the names of its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.calls.append(name)


def train(folder: Path, error: BaseException, reached: str) -> None:
    """A training that ends with an error after its first word or its first step."""
    with LiveReport(Heard(), folder) as live:
        live.begin("0", "begins")
        if reached == "step":
            live.step("0", 0.1, 1.0, 90.0)
        raise error


class Time:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_writes_now_and_then_and_hands_everything_on(tmp_path: Path) -> None:
    heard, time = Heard(), Time()
    with LiveReport(heard, tmp_path, time) as live:
        live.begin("0", "begins")
        assert read_live(tmp_path) is None
        live.step("0", 0.1, 1.0, 90.0)
        time.now += EVERY_S / 2
        live.step("0", 0.2, 1.0, 80.0)
        assert read_live(tmp_path) == Live(doing="training", share=0.1, left_s=90.0)
        time.now += EVERY_S
        live.step("0", 0.3, 1.0, 70.0)
        assert read_live(tmp_path) == Live(doing="training", share=0.3, left_s=70.0)
        live.validated("0", 1, 4)  # another kind of work is said at once
        assert read_live(tmp_path) == Live(doing="validating", share=0.25)
        live.say("0", "a word")
        live.end("0", None, 0)  # type: ignore[arg-type]
    assert not (tmp_path / LIVE).exists()
    assert heard.calls == ["begin", "step", "step", "step", "validated", "say", "end"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Interrupted("stopped", 2), Live(doing="stopped", share=0.1)),
        (KeyboardInterrupt(), Live(doing="stopped", share=0.1)),
        (RunError("the disk is full\nmore"), Live(doing="failed", share=0.1, why="the disk is full")),
        (MemoryError(), Live(doing="failed", share=0.1, why="MemoryError")),
    ],
)
def test_how_it_ended_stays(tmp_path: Path, error: BaseException, expected: Live) -> None:
    with pytest.raises(type(error)):
        train(tmp_path, error, "step")
    assert read_live(tmp_path) == expected


def test_stopped_while_validating_is_a_training_that_is_over(tmp_path: Path) -> None:
    with LiveReport(Heard(), tmp_path) as live:
        live.step("0", 0.9, 1.0, 90.0)
        live.validated("0", 1, 4)
        live.stopped()  # as the watcher's thread does before the process leaves
    assert read_live(tmp_path) == Live(doing="stopped", share=1.0)


def test_a_refused_command_leaves_the_word_of_the_one_before(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        train(tmp_path, RunError("no memory"), "step")
    with pytest.raises(RunError):
        train(tmp_path, RunError("other settings"), "begin")
    assert read_live(tmp_path) == Live(doing="failed", share=0.1, why="no memory")


def test_a_folder_that_went_does_not_end_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    heard = Heard()
    with LiveReport(heard, tmp_path / "file" / "fold0") as live:
        live.step("0", 0.5, 1.0, 9.0)
    assert heard.calls == ["step"]
