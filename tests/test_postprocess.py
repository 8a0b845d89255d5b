"""Cleaned masks, by hand, in two and three axes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.postprocess import Cleaning, clean_map, clean_mask


def mask(*rows: str) -> NDArray[np.bool_]:
    return np.array([[letter == "#" for letter in row] for row in rows])


PIECES = mask(
    "##......",
    "##....#.",
    "......#.",
    "........",
    "...#....",
)


@pytest.mark.parametrize(
    ("cleaning", "expected"),
    [
        (Cleaning(), 7),
        (Cleaning(largest=True), 4),
        (Cleaning(min_size=1), 7),
        (Cleaning(min_size=2), 6),
        (Cleaning(min_size=2.5), 4),
        (Cleaning(min_size=4), 4),
        (Cleaning(min_size=5), 0),
        (Cleaning(min_size=5, largest=True), 0),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_components(cleaning: Cleaning, expected: int, deep: bool) -> None:
    given = PIECES[None] if deep else PIECES
    cleaned = clean_mask(given, cleaning)
    assert cleaned.sum() == expected
    assert not (cleaned & ~given).any()
    assert PIECES.sum() == 7, "what is given stays"


def test_diagonals_touch() -> None:
    np.testing.assert_array_equal(clean_mask(np.eye(4, dtype=bool), Cleaning(min_size=4)), np.eye(4, dtype=bool))


def test_sizes_are_in_the_unit_of_the_pixel() -> None:
    """At 0.5 mm2 a pixel the pieces have 2, 1 and 0.5 mm2."""
    assert clean_mask(PIECES, Cleaning(min_size=1), pixel_size=0.5).sum() == 6


RING = mask(
    ".......",
    ".#####.",
    ".#...#.",
    ".#.#.#.",
    ".#####.",
    ".......",
    "###....",
)


def test_holes_are_filled_before_components_are_dropped() -> None:
    filled = clean_mask(RING, Cleaning(fill_holes=True))
    assert filled[2:4, 2:5].all()
    assert filled.sum() == 20 + 3
    # The ring and the dot that touches it have 15 pixels, with its hole 20; the bar has 3.
    assert clean_mask(RING, Cleaning(fill_holes=True, min_size=16)).sum() == 20
    assert clean_mask(RING, Cleaning(min_size=16)).sum() == 0


def test_a_bay_at_the_border_is_no_hole() -> None:
    bay = mask("#.#", "#.#", "###")
    np.testing.assert_array_equal(clean_mask(bay, Cleaning(fill_holes=True)), bay)


def test_a_hole_of_a_volume_is_closed_on_all_sides() -> None:
    shell = np.ones((3, 3, 3), bool)
    shell[1, 1, 1] = False
    assert clean_mask(shell, Cleaning(fill_holes=True)).all()
    shell[0, 1, 1] = False
    assert not clean_mask(shell, Cleaning(fill_holes=True))[1, 1, 1]


def test_an_empty_mask_stays_empty() -> None:
    assert not clean_mask(np.zeros((3, 4), bool), Cleaning(largest=True, fill_holes=True)).any()


def test_exclusive_classes_fill_background_alone() -> None:
    """Class 1 is a ring around class 2 and background; class 2 has a stray pixel outside."""
    indices = RING.astype(np.uint8)
    indices[3, 3] = 2
    indices[6] = (0, 0, 0, 0, 0, 0, 2)
    cleaned = clean_map(indices, [Cleaning(fill_holes=True), Cleaning(largest=True)])
    assert cleaned[3, 3] == 2
    assert (cleaned[1:5, 1:6] == 1).sum() == 19
    assert cleaned[6, 6] == 0


@pytest.mark.parametrize("size", [-1.0, float("inf"), float("nan")])
def test_sizes_are_checked(size: float) -> None:
    with pytest.raises(ValueError, match="min_size"):
        Cleaning(min_size=size)
