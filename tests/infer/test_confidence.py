"""Expected Dice and its interval, where both are known."""

import numpy as np
import pytest

from autoseg.infer.certainty import Certainty
from autoseg.infer.confidence import Calibration, Known, calibrate, neighbourhoods
from autoseg.io.json_files import from_json, to_json

CLASSES = ("a", "b")


def shown(self_dice: np.ndarray[tuple[int, ...], np.dtype[np.float64]], **changes: object) -> Certainty:
    """Predictions in one piece that nobody else claims."""
    given = {"area": np.full(self_dice.shape, 50.0), "largest": np.ones(self_dice.shape), "shared": np.zeros(self_dice.shape)}
    return Certainty(self_dice=self_dice, **{**given, **changes})  # type: ignore[arg-type]


def made(num: int = 200, *, noise: float = 0.05, seed: int = 0) -> Known:
    """Dice = self-expected Dice + 0.1 (class a) or - 0.1 (class b), and uniform noise."""
    rng = np.random.default_rng(seed)
    self_dice = rng.uniform(0.3, 0.8, (num, 2))
    dice = self_dice + np.array([0.1, -0.1]) + rng.uniform(-noise, noise, (num, 2))
    return Known(certainty=shown(self_dice), dice=dice, folds=np.arange(num) % 5)


def calibrated(known: Known) -> Calibration:
    found = calibrate(known, CLASSES)
    assert found is not None
    return found


def test_each_class_is_expected_where_it_is() -> None:
    expected = calibrated(made()).expect(shown(np.array([[0.5, 0.5], [0.7, 0.7]])))
    # Offsets of +-0.1 of 200 cases, drawn towards 0 by ten more, and noise of 0.05 / sqrt(3).
    assert expected.dice == pytest.approx(np.array([[0.6, 0.4], [0.8, 0.6]]), abs=0.03)
    assert (expected.dice[1] > expected.dice[0]).all()


def test_nine_of_ten_new_cases_lie_inside() -> None:
    found, new = calibrated(made()), made(2000, seed=1)
    expected = found.expect(new.certainty)
    inside = (new.dice >= expected.low) & (new.dice <= expected.high)
    assert 0.86 <= inside.mean() <= 0.95
    # 90 % of uniform noise of +-0.05 is 0.09 wide; offsets that are drawn towards 0 add to it.
    assert (expected.high - expected.low).mean() == pytest.approx(0.1, abs=0.02)


def test_pieces_and_doubly_claimed_pixels_lower_the_dice() -> None:
    rng = np.random.default_rng(2)
    largest, shared = rng.uniform(0.5, 1, (300, 2)), rng.uniform(0, 0.5, (300, 2))
    known = Known(
        certainty=shown(np.full((300, 2), 0.8), largest=largest, shared=shared), dice=0.3 + 0.6 * largest - 0.4 * shared,
        folds=np.arange(300) % 5,
    )  # fmt: skip
    curve = calibrated(known).curve
    assert curve.weights[2:] == pytest.approx((0.6, -0.4), abs=0.02)
    best = curve(shown(np.full((1, 2), 0.8)))
    assert best == pytest.approx(np.array([[0.9, 0.9]]), abs=0.03)


def test_an_interval_holds_its_mean_and_lies_between_0_and_1() -> None:
    expected = calibrated(made(noise=0.2)).expect(shown(np.linspace(0, 1, 22).reshape(11, 2)))
    assert (expected.low <= expected.dice).all()
    assert (expected.dice <= expected.high).all()
    assert expected.low.min() >= 0
    assert expected.high.max() <= 1


def test_wide_where_cases_scatter_and_narrow_where_they_do_not() -> None:
    rng = np.random.default_rng(3)
    self_dice = rng.uniform(0, 1, (400, 2))
    dice = np.clip(self_dice + (1 - self_dice) * rng.uniform(-0.3, 0.3, (400, 2)), 0, 1)
    found = calibrated(Known(certainty=shown(self_dice), dice=dice, folds=np.arange(400) % 5))
    expected = found.expect(shown(np.array([[0.3, 0.3], [0.9, 0.9]])))
    unsure, sure = (expected.high - expected.low).mean(axis=1)
    assert unsure > 3 * sure


def test_a_class_that_scatters_more_has_a_wider_interval() -> None:
    rng = np.random.default_rng(4)
    self_dice = rng.uniform(0.3, 0.7, (200, 2))
    dice = self_dice + rng.uniform(-1, 1, (200, 2)) * np.array([0.2, 0.02])
    found = calibrated(Known(certainty=shown(self_dice), dice=dice, folds=np.arange(200) % 5))
    # Mean distances 0.1 and 0.01 of a mean of 0.055, each drawn to 1 by ten cases.
    assert found.scales == pytest.approx((1.78, 0.22), abs=0.1)


def test_an_empty_prediction_is_right_as_often_as_it_was() -> None:
    known = made(20)
    area, dice = np.full((20, 2), 50.0), known.dice.copy()
    area[:9, 1] = 0  # nine times nothing was predicted of b, and eight times nothing was there
    dice[:8, 1], dice[8, 1] = np.nan, 0
    known = Known(certainty=shown(known.certainty.self_dice, area=area), dice=dice, folds=known.folds)
    found = calibrated(known)
    # (8 + 8/20) / (9 + 1), and of a, never empty before and never absent, 0.
    assert found.absent == pytest.approx((0, 0.84))
    expected = found.expect(shown(np.full(2, np.nan), area=np.zeros(2)))
    assert expected.dice == pytest.approx([0, 0.84])
    assert (expected.low.tolist(), expected.high.tolist()) == ([0, 0], [0, 1])


def test_few_cases_give_no_calibration_or_a_wide_one() -> None:
    assert calibrate(made(4), CLASSES) is None
    one_fold = made(50)
    assert calibrate(Known(certainty=one_fold.certainty, dice=one_fold.dice, folds=np.zeros(50, np.int64)), CLASSES) is None
    # 18 differences have no 5th percentile that holds for new ones.
    expected = calibrated(made(9)).expect(shown(np.full((1, 2), 0.5)))
    assert (expected.low.min(), expected.high.max()) == (0, 1)


def test_a_calibration_is_a_file() -> None:
    found = calibrated(made(30))
    assert from_json(to_json(found), Calibration, source="test") == found


def test_neighbourhoods_are_the_nearest_in_rank() -> None:
    places = np.arange(300.0)
    found = list(neighbourhoods(places, places))
    assert len(found) == 33
    assert [len(near) for _, near in found] == [100] * 33
    assert found[0][0] == 0
    assert found[0][1].tolist() == list(range(100))
    assert found[16][1].mean() == pytest.approx(found[16][0], abs=1)
    assert found[-1][1].tolist() == list(range(200, 300))
