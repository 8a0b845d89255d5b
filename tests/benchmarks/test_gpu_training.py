"""The data of the loop that is timed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from autoseg.augment import SourceBox
from benchmarks.gpu_training import StoredCases, cut, read_ahead, reader, store_cases
from benchmarks.stages import stage

GIVEN = stage((8, 8), 2, classes=3)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ((1, 0), (3, 2), [[3, 4], [6, 7]]),
        ((-1, 1), (2, 4), [[4, 5, 4], [1, 2, 1], [4, 5, 4]]),
    ],
)
def test_a_box_is_cut_with_the_mirror_beyond_the_border(start: tuple[int, int], stop: tuple[int, int], expected: list[list[int]]) -> None:
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    box = SourceBox(start=start, stop=stop, centre=(0.0, 0.0))
    np.testing.assert_array_equal(cut(image, box, leading=0), expected)
    np.testing.assert_array_equal(cut(image[None], box, leading=1), [expected])


@pytest.mark.parametrize("compressed", [False, True])
def test_samples_are_functions_of_their_number(compressed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compressed:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    cases: StoredCases = store_cases(tmp_path, (24, 24))
    assert cases.says == ("compressed on disk" if compressed else "in memory")
    read = reader(GIVEN, cases)
    first, again, later = read(3), read(3), read(4)
    assert len(first) == 2
    np.testing.assert_array_equal(first[1].image, again[1].image)
    assert first[0].draw.noise_seed == again[0].draw.noise_seed != later[0].draw.noise_seed
    assert first[0].codes.max() < len(first[0].table)


def test_the_trainers_loader_reads_in_order() -> None:
    batches = read_ahead(lambda iteration: [None] * iteration, 2)  # type: ignore[list-item]
    assert [len(next(batches)) for _ in range(5)] == [0, 1, 2, 3, 4]
    batches.close()
