"""The learning rate as a function of progress: the share of the training that is done, by iterations or by time."""

from __future__ import annotations

import math

from autoseg.recipe import Recipe

POLY_EXPONENT = 0.9


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The rate at `progress` in [0, 1].

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
    if recipe.schedule == "poly":
        return recipe.lr * float((1 - rest) ** POLY_EXPONENT)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * rest))
