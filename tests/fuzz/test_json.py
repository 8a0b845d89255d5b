"""Readers of JSON give a value or an error that a user can mend, whatever the file holds."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import JSON, reads_or_refuses

ODD = st.sampled_from([0, 1, -1, 2**62, 1e308, "a", "1"])
LEAF = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6), ODD)
ANYTHING = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every node."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in below for found in places(inner, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with one node replaced."""
    if not path:
        return new
    changed = copy.deepcopy(value)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = new
    return changed


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=40)
@given(data=st.data())
def test_one_or_two_nodes_replaced(name: str, data: st.DataObject) -> None:
    file, read, sound = JSON[name]
    content = json.loads(sound) if isinstance(sound, str) else sound
    for _ in range(data.draw(st.integers(1, 2))):
        content = replaced(content, data.draw(st.sampled_from(places(content))), data.draw(ANYTHING))
    with tempfile.TemporaryDirectory() as folder:
        reads_or_refuses(read, Path(folder) / file, json.dumps(content).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=20)
@given(data=st.data())
def test_bytes_cut_and_changed(name: str, data: st.DataObject) -> None:
    file, read, sound = JSON[name]
    raw = bytearray((sound if isinstance(sound, str) else json.dumps(sound)).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        reads_or_refuses(read, Path(folder) / file, bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@pytest.mark.parametrize("name", JSON)
def test_the_sound_content_is_read(name: str, tmp_path: Path) -> None:
    file, read, sound = JSON[name]
    (tmp_path / file).write_text(sound if isinstance(sound, str) else json.dumps(sound), encoding="utf-8")
    if name == "labelme":  # its mask is a stub of a png
        return
    read(tmp_path / file)


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", "", "\ufeff{}", "NaN", '{"a": 1, "a": 2}', "\x00"])
def test_odd_texts(name: str, text: str, tmp_path: Path) -> None:
    file, read, _ = JSON[name]
    reads_or_refuses(read, tmp_path / file, text.encode())
