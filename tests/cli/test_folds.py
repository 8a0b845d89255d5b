"""Folds as a person types them."""

import pytest

from autoseg.cli.options import parse_folds
from autoseg.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "folds"),
    [
        (("fold0..4",), "01234"),
        (("fold0..fold2",), "012"),
        (("0..1",), "01"),
        (("fold0,2",), "02"),
        (("0, 3",), "03"),
        (("0",), "0"),
        (("fold3", "1"), "31"),
        (("fold1..2", "fold2..3"), "123"),
        (("fold2..2",), "2"),
    ],
)
def test_folds(typed: tuple[str, ...], folds: str) -> None:
    assert parse_folds(typed, 5) == tuple(folds)


def test_all() -> None:
    assert parse_folds(("all",), 5) == ("all",)
    assert parse_folds(("0,all",), 5) == ("0", "all")


@pytest.mark.parametrize("typed", ["", "fold", "five", "fold0.4", "fold-1", "fold4..0", "fold0,,1", "0;1"])
def test_what_names_no_fold(typed: str) -> None:
    with pytest.raises(UsageError, match=r"names no folds; say fold0..4, fold0,2, 0 or all"):
        parse_folds((typed,), 5)


def test_folds_beyond_the_split() -> None:
    with pytest.raises(UsageError, match=r"there is no fold3: the data set is split into 3 folds, fold0\.\.2\."):
        parse_folds(("fold0..4",), 3)
