"""Grids, and the one rule for borders: numpy's reflect padding, as often as needed."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.geometry import Geometry, mirror_indices, overlays

GRID = Geometry(shape=(4, 5, 6), spacing=(2.0, 0.5, 0.5), origin=(1.0, 2.0, 3.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 40))
def test_mirroring_is_numpys_reflect(length: int, before: int, after: int) -> None:
    expected = np.pad(np.arange(length), (before, after), mode="reflect")
    assert mirror_indices(-before, length + after, length).tolist() == expected.tolist()


@given(st.integers(1, 9), st.integers(-50, 50), st.integers(0, 20))
def test_any_range_is_a_cut_of_the_endless_mirror(length: int, start: int, size: int) -> None:
    endless = np.pad(np.arange(length), 100, mode="reflect")
    assert mirror_indices(start, start + size, length).tolist() == endless[100 + start : 100 + start + size].tolist()


def test_an_axis_needs_a_pixel() -> None:
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        mirror_indices(0, 1, 0)


def test_pixels_have_unit_spacing_and_no_rotation() -> None:
    grid = Geometry.pixels((4, 5))
    assert (grid.num_axes, grid.spacing, grid.origin, grid.direction, grid.unit) == (
        2,
        (1.0, 1.0),
        (0.0, 0.0),
        (1.0, 0.0, 0.0, 1.0),
        "pixel",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (4,)}, "2 or 3 axes"),
        ({"shape": (4, 5, 6, 7)}, "2 or 3 axes"),
        ({"shape": (4, 5)}, "must fit 2 axes"),
        ({"origin": (0.0, 0.0)}, "must fit 3 axes"),
        ({"direction": (1.0,) * 4}, "must fit 3 axes"),
        ({"shape": (4, 0, 6)}, "shape must be positive"),
        ({"spacing": (1.0, 0.0, 1.0)}, "spacing must be positive"),
        ({"spacing": (1.0, -1.0, 1.0)}, "spacing must be positive"),
        ({"spacing": (1.0, math.nan, 1.0)}, "spacing must be positive"),
        ({"spacing": (1.0, math.inf, 1.0)}, "spacing must be positive"),
    ],
)
def test_an_impossible_grid_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(GRID, **change)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"shape": (4, 5, 7)}, False),
        ({"spacing": (2.0, 0.5, 0.5000001)}, True),
        ({"spacing": (2.0, 0.5, 0.6)}, False),
        ({"origin": (1.0, 2.0, 3.0004)}, True),  # under a thousandth of the finest voxel, 0.5
        ({"origin": (1.0, 2.0, 3.0006)}, False),
        ({"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, False),
        ({"unit": "pixel", "spacing": (1.0, 1.0, 1.0), "origin": (0.0, 0.0, 0.0)}, True),  # a file without a header contradicts none
        ({"unit": "pixel", "shape": (4, 5, 7)}, False),
    ],
)
def test_overlays(change: dict[str, Any], same: bool) -> None:
    assert overlays(GRID, replace(GRID, **change)) is same
    assert overlays(replace(GRID, **change), GRID) is same
