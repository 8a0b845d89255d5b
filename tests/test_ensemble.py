"""Several members as one, by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.ensemble import Combination, combine_class, combine_exclusive, with_background


def column(*values: int) -> NDArray[np.uint8]:
    return np.array(values, np.uint8)


def test_a_single_member_is_left_as_it_is() -> None:
    plane = column(0, 127, 128, 255)
    np.testing.assert_array_equal(combine_class([column(9, 9, 9, 9), plane], (0, 1), "soft"), plane)


def test_the_weighted_mean() -> None:
    np.testing.assert_array_equal(combine_class([column(0, 200), column(255, 100)], (0.25, 0.75), "soft"), column(191, 125))


def test_the_majority_whatever_the_mean() -> None:
    """One certain member against two unsure ones: the mean follows the first, the vote the others."""
    planes = [column(255, 0), column(100, 140), column(100, 140)]
    thirds = (1 / 3,) * 3
    np.testing.assert_array_equal(combine_class(planes, thirds, "soft") >= 128, [True, False])
    np.testing.assert_array_equal(combine_class(planes, thirds, "hard") >= 128, [False, True])


def test_the_mean_decides_a_tie() -> None:
    planes = [column(255, 128), column(100, 10)]
    np.testing.assert_array_equal(combine_class(planes, (0.5, 0.5), "hard"), column(178, 69))


def test_a_member_without_weight_has_no_vote() -> None:
    planes = [column(255), column(0), column(255)]
    np.testing.assert_array_equal(combine_class(planes, (0.5, 0.0, 0.5), "hard"), column(255))


@pytest.mark.parametrize("rows", [3, 130])
def test_the_most_probable_of_exclusive_classes(rows: int) -> None:
    """Background 255 - 100 - 100 = 55; equals go to the earlier one; 130 rows are more than one slab."""
    member = np.zeros((2, rows, 3), np.uint8)
    member[0, -1], member[1, -1] = (100, 0, 90), (100, 0, 165)
    decided = combine_exclusive([member], Combination(kind="soft", weights=((1.0,), (1.0,))))
    np.testing.assert_array_equal(decided[-1], [1, 0, 2])
    assert not decided[:-1].any()


def test_exclusive_classes_by_majority_and_a_tie_by_the_mean() -> None:
    said = [
        np.array([[250, 250], [5, 5]], np.uint8),
        np.array([[120, 120], [130, 135]], np.uint8),
        np.array([[120, 0], [130, 0]], np.uint8),
    ]
    hard = Combination(kind="hard", weights=((1 / 3,) * 3,) * 2)
    # First pixel: one vote for class 1, two for class 2. Second: one each for both and the background; class 1 has the highest mean.
    np.testing.assert_array_equal(combine_exclusive([each[:, None] for each in said], hard)[0], [2, 1])


def test_the_background_is_what_is_left() -> None:
    np.testing.assert_array_equal(with_background([column(10, 200), column(20, 100)])[0], [225, -45])


@pytest.mark.parametrize("weights", [(), ((),), ((0.5, 0.4),), ((1.5, -0.5),), ((1.0,), (0.5, 0.5))])
def test_weights_are_checked(weights: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Combination(kind="soft", weights=weights)


def test_the_members_that_count() -> None:
    assert Combination(kind="soft", weights=((1.0, 0.0, 0.0), (0.5, 0.0, 0.5))).used == (0, 2)
