"""Errors cross process borders whole, and a long list of problems stays readable."""

import pickle

import pytest

from autoseg import errors
from autoseg.errors import AutosegError, DataError

TREE = ("UsageError", "DataError", "FileFormatError", "PlanError", "RunError", "DeviceError")


@pytest.mark.parametrize("name", TREE)
def test_every_error_can_be_mended_by_the_user(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, AutosegError)
    assert kind.exit_code == 2


def test_the_tree_at_the_top_of_the_file_is_complete() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, AutosegError)}
    assert defined == {"AutosegError", *TREE}
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in defined)


def test_one_problem_stands_alone() -> None:
    assert str(DataError(["a.png: is empty"])) == "a.png: is empty"
    assert str(DataError(["a.png: is empty"], "Delete it.")) == "a.png: is empty\nDelete it."


def test_problems_are_counted_and_the_first_forty_listed() -> None:
    lines = str(DataError([f"{k}.png: is empty" for k in range(100)], "Delete them.")).splitlines()
    assert lines[0] == "100 problems in the data:"
    assert lines[1:41] == [f"  {k}.png: is empty" for k in range(40)]
    assert lines[41:] == ["  ... and 60 more", "Delete them."]


def test_exactly_forty_problems_hide_nothing() -> None:
    assert "more" not in str(DataError([f"{k}.png: is empty" for k in range(40)]))


def test_a_data_error_survives_the_way_from_a_worker() -> None:
    sent = DataError(["a", "b"], "hint")
    got = pickle.loads(pickle.dumps(sent))  # noqa: S301 - our own bytes
    assert (type(got), got.problems, got.hint, str(got)) == (DataError, ("a", "b"), "hint", str(sent))
