"""Components that go missing from the previous stage's channels: which, how much of their surroundings, and where they go."""

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.augment.components import LARGEST, SKIRT, remove_components_
from autoseg.augment.draws import Removal

SIZE = 64


def blocks(axes: int, *places: tuple[int, int], value: int = 200) -> NDArray[np.uint8]:
    """One channel of cubes: (first pixel, edge) along every axis."""
    channel = np.zeros((SIZE,) * axes, np.uint8)
    for start, edge in places:
        channel[(slice(start, start + edge),) * axes] = value
    return channel


def removed(stored: NDArray[np.uint8], *removals: Removal, patch_size: int | None = None) -> NDArray[np.uint8]:
    out = stored.copy()
    remove_components_(out, removals, patch_size=patch_size or SIZE ** (stored.ndim - 1))
    return out


@pytest.mark.parametrize("axes", [2, 3])
def test_one_of_two_components_goes_and_the_pick_says_which(axes: int) -> None:
    first, second = (2, 5), (30, 7)
    stored = np.stack([blocks(axes, first, second), blocks(axes, (10, 4))])
    for pick, left in ((0.0, second), (0.49, second), (0.5, first), (0.99, first)):
        np.testing.assert_array_equal(removed(stored, Removal(channel=0, pick=pick)), [blocks(axes, left), stored[1]])


def test_diagonal_neighbours_are_one_component() -> None:
    stored = blocks(2, (10, 3), (13, 3), (40, 2))[None]
    np.testing.assert_array_equal(removed(stored, Removal(channel=0, pick=0.0))[0], blocks(2, (40, 2)))


def test_large_components_stay() -> None:
    # 15 % of a patch of 400 pixels are 60: of 49 and 64 only the smaller may go.
    stored = blocks(2, (2, 8), (30, 7))[None]
    for pick in (0.0, 0.9):
        np.testing.assert_array_equal(removed(stored, Removal(channel=0, pick=pick), patch_size=400)[0], blocks(2, (2, 8)))
    assert round(400 * LARGEST) == 60
    np.testing.assert_array_equal(removed(stored, Removal(channel=0, pick=0.5), patch_size=49 * 6), stored)


def test_unlikely_pixels_around_it_go_along() -> None:
    stored = np.full((1, SIZE, SIZE), 100, np.uint8)
    stored[0, 20:24, 30:33] = 128
    stored[0, 27:60, 30] = 255
    expected = stored.copy()
    near = (slice(20 - SKIRT, 24 + SKIRT), slice(30 - SKIRT, 33 + SKIRT))
    expected[0][near] = 0
    # What is likely and not of the component stays.
    expected[0, 27:60, 30] = 255
    np.testing.assert_array_equal(removed(stored, Removal(channel=0, pick=0.0)), expected)


def test_a_component_at_the_border() -> None:
    stored = blocks(2, (SIZE - 3, 3))[None]
    stored[0, :3, SIZE - 5 :] = 255
    assert removed(stored, Removal(channel=0, pick=0.0), Removal(channel=0, pick=0.0)).any() == np.False_


def test_what_is_refilled_becomes_the_other_class() -> None:
    stored = np.stack([blocks(2, (10, 6), value=220), blocks(2, (14, 8), value=230), blocks(2, (40, 6))])
    got = removed(stored, Removal(channel=0, pick=0.3, refill=1))
    assert not got[0].any()
    np.testing.assert_array_equal(got[1], np.maximum(stored[0], stored[1]))
    np.testing.assert_array_equal(got[2], stored[2])


@pytest.mark.parametrize("value", [0, 127])
def test_a_channel_that_says_nothing_likely_stays(value: int) -> None:
    stored = blocks(2, (10, 6), value=value)[None]
    np.testing.assert_array_equal(removed(stored, Removal(channel=0, pick=0.5)), stored)
