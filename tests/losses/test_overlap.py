"""Dice, Tversky and Jaccard in closed form."""

import pytest
import torch

from autoseg.losses.overlap import dice_per_class, jaccard_per_class, tversky_per_class


def some(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, 8, 8, generator=generator), (torch.rand(2, 3, 8, 8, generator=generator) < 0.3).float()


def test_dice_takes_the_batch_together() -> None:
    # One sample all right and one all wrong in 1 and 3 pixels: batch Dice 2 * 1 / (4 + 4), not the mean of 1 and 0.
    target = torch.zeros(2, 1, 1, 6)
    target[0, 0, 0, 0] = target[1, 0, 0, 0] = target[1, 0, 0, 1] = target[1, 0, 0, 2] = 1
    guess = target.clone()
    guess[1] = guess[1].flip(-1)
    assert float(dice_per_class(guess, target, None)) == pytest.approx(2 / 8, abs=1e-4)


def test_an_absent_class_found_nowhere_is_right() -> None:
    nothing = torch.zeros(1, 1, 4, 4)
    assert float(dice_per_class(nothing, nothing, None)) == pytest.approx(1)
    assert float(jaccard_per_class(nothing, nothing, None)) == pytest.approx(1)


def test_tversky_is_dice_with_equal_halves() -> None:
    p, t = some()
    torch.testing.assert_close(tversky_per_class(p, t, None, alpha=0.5, beta=0.5), dice_per_class(p, t, None), rtol=1e-5, atol=0)


def test_jaccard_is_dice_over_two_minus_dice() -> None:
    p, t = some()
    dice = dice_per_class((p > 0.6).float(), t, None)
    torch.testing.assert_close(jaccard_per_class((p > 0.6).float(), t, None), dice / (2 - dice), rtol=1e-5, atol=0)


def test_tversky_counts_what_is_surplus_and_what_is_missed() -> None:
    # 2 pixels hit, 1 surplus, 3 missed.
    guess, target = torch.tensor([1.0, 1, 1, 0, 0, 0, 0]), torch.tensor([1.0, 1, 0, 1, 1, 1, 0])
    found = tversky_per_class(guess.reshape(1, 1, -1), target.reshape(1, 1, -1), None, alpha=0.3, beta=0.7)
    assert float(found) == pytest.approx(2 / (2 + 0.3 * 1 + 0.7 * 3), rel=1e-4)
