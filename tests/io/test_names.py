import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoseg.io.names import escape_name, unescape_name


@given(st.text(max_size=60))
@example("")
@example("%")
@example("CON.txt")
@example("\ud800")
def test_unescape_is_the_inverse(name: str) -> None:
    try:
        escaped = escape_name(name)
    except ValueError:
        assert len(name.encode("utf-8", "surrogatepass")) > 60
        return
    assert unescape_name(escaped) == name
    assert escaped
    assert not set(escaped) & set('/\\:*?"<>|\0\n')
    assert escaped[0] not in ". "
    assert escaped[-1] not in ". "


@given(st.text(max_size=20), st.text(max_size=20))
def test_names_that_differ_have_files_that_differ(a: str, b: str) -> None:
    assert (escape_name(a) == escape_name(b)) == (a == b)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("finger-1", "finger-1"),
        ("left lung", "left lung"),
        ("왼쪽 폐", "왼쪽 폐"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ("100%", "100%25"),
        ("..", "%2E%2E"),
        ("nul", "%6Eul"),
        ("COM1.old", "%43OM1.old"),
        ("console", "console"),
        ("", "%"),
    ],
)
def test_escaped_form(name: str, escaped: str) -> None:
    assert escape_name(name) == escaped


def test_names_written_by_hand_stand_for_themselves() -> None:
    assert unescape_name("100%") == "100%"
    assert unescape_name("50%FF off") == "50%FF off"  # no UTF-8


def test_an_overlong_name_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 300 bytes as a file name; shorten it to 200"):
        escape_name("x" * 300)


def test_the_longest_names_are_file_names(tmp_path: Path) -> None:
    path = tmp_path / f".tmp-{os.getpid()}-{escape_name('가' * 66)}.nii.gz"
    path.touch()
    assert path.exists()
