"""Dice of masks, and what probabilities expect of a mask."""

import numpy as np
import pytest

from benchmarks.ensemble_gain import dice


def test_dice_of_masks_and_probabilities() -> None:
    mask = np.zeros((3, 2, 2), np.bool_)
    mask[0, 0] = True  # two pixels
    mask[1, 0, 0] = True
    other = np.zeros_like(mask)
    other[0, :, 0] = True  # one of them and another
    assert dice(mask, other).tolist() == [0.5, 0.0, 1.0]
    # 2 (0.75 + 0.5) / (0.75 + 0.5 + 0.25 + 2)
    probabilities = np.array([[[0.75, 0.5], [0.25, 0.0]]])
    assert dice(probabilities, mask[:1]) == pytest.approx(2.5 / 3.5)
