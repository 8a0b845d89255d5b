"""One case's numbers on images that one can count by eye."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.fingerprint import Intensity
from autoseg.fingerprint.measure_case import bounding_box, describe, identity_of_files, measure_loaded, nonzero_box
from tests.fingerprint.make import loaded


def masks_16() -> list[NDArray[np.bool_]]:
    first, second, absent = (np.zeros((16, 16), np.bool_) for _ in range(3))
    first[2:6, 3:5] = True
    second[4:8, 4:10] = True
    second[12, 12] = True
    return [first, second, absent]


def test_classes_of_a_small_case() -> None:
    image = np.zeros((1, 16, 16), np.uint8)
    image[0, 1:9, 2:12] = 7
    facts, sketch = measure_loaded(loaded("a", image, masks_16()), Path("/"))
    first, second, absent = facts.classes
    assert absent is None
    assert first is not None
    assert second is not None
    assert (first.area, first.components, first.extent, first.centroid) == (8, 1, (4, 2), (3.5, 3.5))
    assert (second.area, second.components, second.extent) == (25, 2, (9, 9))
    assert facts.centroid(2) is None
    assert facts.nonzero_box == ((1, 9), (2, 12))
    assert facts.labelled == 256
    assert sketch.classes.shape == (3, 32, 32)
    assert sketch.foreground.shape == (1, 8 + 25 - 2)


def test_centroids_are_in_units_of_the_spacing() -> None:
    facts, _ = measure_loaded(loaded("a", np.ones((1, 16, 16)), masks_16(), spacing=(0.5, 2.0)), Path("/"))
    assert facts.centroid(0) == (1.75, 7.0)
    assert facts.unit == "mm"


def test_three_axes_and_ignored_voxels() -> None:
    mask = np.zeros((4, 8, 8), np.bool_)
    mask[1:3, 2:4, 5] = True
    ignored = np.zeros_like(mask)
    ignored[3] = True
    facts, sketch = measure_loaded(loaded("a", np.ones((2, 4, 8, 8), np.float32), [mask], ignored=ignored), Path("/"))
    assert facts.classes[0] is not None
    assert facts.classes[0].extent == (2, 2, 1)
    assert facts.labelled == 3 * 64
    assert len(facts.intensity) == 2
    assert sketch.image.shape == (16, 16, 16)


def test_three_equal_channels_of_one_file_are_grey() -> None:
    grey = np.random.default_rng(0).integers(0, 255, (1, 16, 16), np.uint8)
    facts, sketch = measure_loaded(loaded("a", np.repeat(grey, 3, axis=0), masks_16()), Path("/"))
    assert facts.is_grey
    assert facts.channels == len(facts.intensity) == len(sketch.foreground) == 3
    colour = np.concatenate([grey, grey, 255 - grey])
    assert not measure_loaded(loaded("a", colour, masks_16()), Path("/"))[0].is_grey


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_describe_agrees_with_numpy(dtype: type[np.generic]) -> None:
    values: NDArray[Any] = np.random.default_rng(0).integers(0, 250, 40_000).astype(dtype)
    found = describe(values)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(dtype=np.float64))
    assert found.std == pytest.approx(values.std(dtype=np.float64))
    low, median, high = np.percentile(values, (0.5, 50, 99.5))
    assert found.percentile_00_5 == pytest.approx(low, abs=1)
    assert found.median == pytest.approx(median, abs=1)
    assert found.percentile_99_5 == pytest.approx(high, abs=1)


def test_describe_one_value() -> None:
    expected = Intensity(minimum=3, maximum=3, mean=3, std=0, percentile_00_5=3, median=3, percentile_99_5=3)
    assert describe(np.full((4, 4), 3, np.uint8)) == expected


def test_a_case_without_foreground() -> None:
    facts, _ = measure_loaded(loaded("a", np.zeros((1, 16, 16), np.uint8), [np.zeros((16, 16), np.bool_)]), Path("/"))
    assert facts.foreground == ()
    assert facts.nonzero_box == ((0, 16), (0, 16))


def test_boxes() -> None:
    mask = np.zeros((5, 6), np.bool_)
    assert bounding_box(mask) is None
    mask[2, 3] = True
    assert bounding_box(mask) == ((2, 3), (3, 4))
    two = np.zeros((2, 5, 6))
    two[0, 1, 1] = two[1, 3, 4] = -1
    assert nonzero_box(two) == ((1, 4), (1, 5))


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"1")
    before = identity_of_files([file], tmp_path)
    assert identity_of_files([file], tmp_path) == before
    file.write_bytes(b"12")
    assert identity_of_files([file], tmp_path) != before
    file.unlink()
    assert len(identity_of_files([file], tmp_path)) == 16
