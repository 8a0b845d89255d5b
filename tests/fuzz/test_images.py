"""Readers of images give an array or an error that a user can mend, whatever the file holds; and never memory without end."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import IMAGES, read_any, reads_or_refuses

#: Where headers lie.
HEAD = 400


@pytest.mark.parametrize("name", IMAGES)
@settings(max_examples=15)
@given(data=st.data())
def test_bytes_cut_and_changed(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        IMAGES[name](path)
        raw = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(0, 3))):
            raw[data.draw(st.integers(0, min(len(raw), HEAD) - 1))] = data.draw(st.integers(0, 255))
        reads_or_refuses(read_any, path, bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw))


@pytest.mark.parametrize("name", IMAGES)
def test_the_sound_file_is_read(name: str, tmp_path: Path) -> None:
    IMAGES[name](tmp_path / name)
    read_any(tmp_path / name)
