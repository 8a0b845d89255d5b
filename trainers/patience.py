"""How long a training has brought nothing: epochs without a better smoothed validation Dice."""

from __future__ import annotations

from collections.abc import Sequence

#: Share of the earlier value in the smoothed one: nnU-Net's, for the Dice by which it picks its best checkpoint.
SMOOTHING = 0.9


def epochs_without_gain(dices: Sequence[float]) -> int:
    """Epochs since the smoothed Dice was last higher than ever before.

    Parameters
    ----------
    dices : sequence of float
        The Dice of every epoch so far, in order.

    Notes
    -----
    The smoothed value follows the measured one slowly and so rises for some epochs after it has stopped to: an epoch or two of noise end
    nothing. Epochs before anything was found (a Dice of 0) do not count: many trainings begin so.

    Example
    -------
    >>> epochs_without_gain([0.0, 0.0, 0.5, 0.4, 0.3]), epochs_without_gain([0.5, 0.4, 0.3, 0.6])
    (2, 3)
    """
    smoothed = best = 0.0
    waited = 0
    for dice in dices:
        smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * dice if best else dice
        if smoothed > best:
            best, waited = smoothed, 0
        elif best:
            waited += 1
    return waited
