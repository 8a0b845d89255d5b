"""Stored probabilities: what goes in comes out to a byte, and files that are none are refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.errors import FileFormatError
from autoseg.io.probabilities import quantize, read_probabilities, write_probabilities


def blobs(num: int, size: int) -> NDArray[np.float32]:
    """Soft discs of a net that is sure of itself: a ramp of eight pixels, spread over the image."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    planes = []
    for _ in range(num):
        cy, cx = rng.uniform(0.1, 0.9, 2) * size
        distance = np.hypot(y - cy, x - cx) - size / 16 + rng.normal(0, 0.2, (size, size))
        planes.append(1 / (1 + np.exp(np.clip(distance, -40, 40))))
    return np.asarray(planes, np.float32)


@pytest.mark.parametrize("shape", [(3, 20, 30), (2, 5, 20, 30), (1, 1, 1)])
def test_the_way_back_is_exact_to_a_byte(tmp_path: Path, shape: tuple[int, ...]) -> None:
    probabilities = np.random.default_rng(0).random(shape).astype(np.float32)
    probabilities[0, :2] = 0.003
    size = write_probabilities(tmp_path / "a.prob", probabilities)
    assert size == (tmp_path / "a.prob").stat().st_size
    stored = read_probabilities(tmp_path / "a.prob")
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, np.where(quantize(probabilities) > 1, quantize(probabilities), 0))
    assert np.abs(stored / 255 - probabilities).max() <= 1.5 / 255 + 1e-6


def test_bytes_are_taken_as_they_are_and_empty_classes_cost_nothing(tmp_path: Path) -> None:
    values = np.zeros((4, 16, 16), np.uint8)
    values[2, 3:5, 6:9] = 200
    assert write_probabilities(tmp_path / "a.prob", list(values)) < 400
    np.testing.assert_array_equal(read_probabilities(tmp_path / "a.prob"), values)


def test_half_is_exactly_byte_128() -> None:
    half = np.float32(0.5)
    edge = np.array([np.nextafter(half, np.float32(0)), half, np.nextafter(half, np.float32(1))])
    assert (quantize(edge) >= 128).tolist() == (edge >= 0.5).tolist() == [False, True, True]
    many = np.random.default_rng(0).random(10**5).astype(np.float32)
    np.testing.assert_array_equal(quantize(many) >= 128, many >= 0.5)


def test_29_classes_at_1024_stay_under_half_a_megabyte(tmp_path: Path) -> None:
    assert write_probabilities(tmp_path / "a.prob", blobs(29, 1024)) < 500_000


@pytest.mark.parametrize("damage", ["missing", "other", "cut", "header"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.prob"
    write_probabilities(path, blobs(2, 32))
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"other": b"PK" + data, "cut": data[:-3], "header": data[:40]}[damage])
    with pytest.raises(FileFormatError, match=r"a\.prob"):
        read_probabilities(path)
