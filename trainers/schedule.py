"""The learning rate as a function of progress (the share of the training that is done, by iterations or time) and of the losses so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from autoseg.recipe import Recipe, ScheduleName

#: Progress at the end of an epoch, and the epoch's mean loss.
Point = tuple[float, float]

#: nnU-Net's.
POLY_EXPONENT = 0.9
#: A tenth of the rate after half of the training and another tenth after three quarters (He et al. 2016, arXiv 1512.03385, CIFAR-10).
STEPS, STEP_FACTOR = (0.5, 0.75), 0.1
#: A fifth of the rate when the loss has not fallen by this much (both of the first nnU-Net, Isensee et al. 2018, arXiv 1809.10486) ...
PLATEAU_FACTOR, PLATEAU_FALL = 0.2, 5e-3
#: ... within this share of the training. It waited for 30 of at most 1,000 epochs, which of forty would be one; not measured.
PLATEAU_PATIENCE = 0.1


def learning_rate(recipe: Recipe, progress: float, losses: Sequence[Point] = ()) -> float:
    """The rate at `progress` in [0, 1].

    Parameters
    ----------
    recipe : Recipe
        Its schedule runs from the end of the warm-up to the end of the training.
    progress : float
    losses : sequence of (progress, loss)
        One for each finished epoch, in order; only the schedule "plateau" looks at them.

    Examples
    --------
    >>> recipe = Recipe(name="r", loss="dice_ce", optimizer="sgd", lr=0.01, schedule="poly")
    >>> learning_rate(recipe, 0.0), learning_rate(recipe, 1.0)
    (0.01, 0.0)
    """
    progress = min(max(progress, 0.0), 1.0)
    if recipe.warmup and progress < recipe.warmup:
        # Never quite zero: the first step is one too.
        return recipe.lr * max(progress / recipe.warmup, 0.01)
    rest = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.lr * SCHEDULES[recipe.schedule](rest, losses)


def _poly(rest: float, losses: Sequence[Point]) -> float:
    return float((1 - rest) ** POLY_EXPONENT)


def _cosine(rest: float, losses: Sequence[Point]) -> float:
    return 0.5 * (1 + math.cos(math.pi * rest))


def _step(rest: float, losses: Sequence[Point]) -> float:
    return STEP_FACTOR ** sum(rest >= at for at in STEPS)


def _constant(rest: float, losses: Sequence[Point]) -> float:
    return 1.0


def _plateau(rest: float, losses: Sequence[Point]) -> float:
    return PLATEAU_FACTOR ** plateaus(losses)


#: Share of the largest rate by what is done of the time after warm-up, and by the epochs' losses.
SCHEDULES: dict[ScheduleName, Callable[[float, Sequence[Point]], float]] = {
    "poly": _poly,
    "cosine": _cosine,
    "step": _step,
    "constant": _constant,
    "plateau": _plateau,
}


def plateaus(losses: Sequence[Point]) -> int:
    """How often the loss has stayed where it was for `PLATEAU_PATIENCE` of the training; the count begins anew at each.

    Example
    -------
    >>> plateaus([(0.1, 1.0), (0.2, 1.0), (0.3, 0.9), (0.35, 0.9), (0.45, 0.9)])
    2
    """
    count, since, lowest = 0, 0.0, math.inf
    for progress, loss in losses:
        if loss < lowest - PLATEAU_FALL:
            since, lowest = progress, loss
        # The tolerance is that of tenths, which floats are not.
        elif progress - since >= PLATEAU_PATIENCE - 1e-9:
            count, since = count + 1, progress
    return count
