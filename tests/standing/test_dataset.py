"""What a data set's files say of it."""

import os
from pathlib import Path

import pytest

from autoseg.standing import look
from autoseg.workspace import CHECKPOINT, SUMMARY, Workspace
from tests.io.make import write_json


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Two folds; two runs that are finished, one that is not."""
    place = Workspace(root=tmp_path)
    write_json(place.splits_file("A"), {"folds": [{"val": ["a"]}, {"val": ["b"]}]})
    for name in ("default/2d-default/fold0", "default/2d-default/fold1", "wide/2d-sgd/fold0", "wide/2d-sgd/fold1", "wide/2d-adamw/fold0"):
        for file in (CHECKPOINT, SUMMARY):
            write_json(place.results("A") / name / file, {})
    return place


@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        ({}, ("wide/2d-sgd",)),
        ({"wide/2d-sgd": "1 of 2 folds not finished (1)"}, ("wide/2d-sgd",)),
        ({"wide/2d-sgd": "not among --members"}, ()),
        ({"wide/2d-sgd": "folds 0, 1 were trained on other data"}, ()),  # select would leave it out again
    ],
)
def test_a_finished_run_that_the_selection_does_not_know(place: Workspace, left_out: dict[str, str], expected: tuple[str, ...]) -> None:
    assert look(place, "A", place.raw / "A", raw=False).unjudged == ()
    write_json(place.selection_file("A"), {"members": [{"run": "default/2d-default"}], "left_out": left_out})
    found = look(place, "A", place.raw / "A", raw=False)
    assert (found.is_selected, found.unjudged) == (True, expected)


def test_a_run_that_was_trained_since_is_to_be_judged_again(place: Workspace) -> None:
    left_out = {"wide/2d-sgd": "folds 0, 1 were trained on other data"}
    file = place.selection_file("A")
    for name, expected in (("default/2d-default", "default/2d-default"), ("wide/2d-sgd", "wide/2d-sgd")):
        write_json(file, {"members": [{"run": "default/2d-default"}], "left_out": left_out})
        later = file.stat().st_mtime + 10
        os.utime(place.results("A") / name / "fold1" / CHECKPOINT, (later, later))
        assert look(place, "A", place.raw / "A", raw=False).unjudged == (expected,)
        os.utime(place.results("A") / name / "fold1" / CHECKPOINT, (0, 0))
