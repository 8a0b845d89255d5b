"""Wrong options: one message, exit code 2, nothing already made is touched."""

from pathlib import Path

import pytest

from tests.badinput.bad import check_refused
from tests.badinput.options import OPTIONS
from tests.cli.conftest import Autoseg


@pytest.mark.parametrize(("arguments", "said"), OPTIONS)
def test_wrong_options(autoseg: Autoseg, trained: Path, arguments: str, said: str) -> None:
    check_refused(autoseg, trained, tuple(arguments.split()), said)


def test_options_of_the_recipe_are_differences(autoseg: Autoseg, trained: Path) -> None:
    arguments = ("train", "2d", "fold0", "--loss", "focal", "--optimizer", "lion", "--schedule", "step", "--warmup", 0.1)
    said = (
        "--loss: the plan's -> focal",
        "--optimizer: the plan's -> lion",
        "--schedule: the plan's -> step",
        "--warmup: the plan's -> 0.1",
    )
    check_refused(autoseg, trained, arguments, "fold0 holds a run with other settings", *said)


def test_other_options_are_listed_as_they_are_typed(autoseg: Autoseg, trained: Path) -> None:
    arguments = ("train", "2d", "fold0", "--epochs", 3, "--lr", 0.25, "--iterations-per-epoch", 1)
    check_refused(
        autoseg, trained, arguments, "fold0 holds a run with other settings", "--epochs: 1 -> 3", "--lr: the plan's -> 0.25", "--restart"
    )


def test_an_empty_name_is_not_the_current_folder(autoseg: Autoseg, trained: Path) -> None:
    check_refused(autoseg, trained, ("train", "2d", "0", "-d", ""), "-d is empty", "HandBone")
