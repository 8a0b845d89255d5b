"""Several members' probabilities as one: soft vote, hard vote, and weights of its own for each class.

A member is a (plan, configuration, trainer) with all its folds; its probability is the mean of theirs. Everything here is in bytes, 255 p,
on the case's original grid: members of different spacings meet there, and what is judged on stored probabilities is what is predicted.

Shapes: M members, K classes (without the background of exclusive classes), then (z,) y, x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Kind = Literal["soft", "hard"]

#: round(255 p) is at least this exactly where p is at least 0.5.
HALF = 128
#: Rows that are decided at once where classes exclude each other.
SLAB = 64


@dataclass(frozen=True, kw_only=True)
class Combination:
    """How members become one prediction.

    Parameters
    ----------
    kind : {"soft", "hard"}
        soft: the weighted mean of the probabilities. hard: each member decides, the majority wins, and a tie goes to the mean.
    weights : tuple of tuple of float, (K, M)
        Each class's; at least 0, of sum 1. A hard vote counts members with a weight above 0 alike.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Kind
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not self.weights or not self.weights[0] or len({len(row) for row in self.weights}) > 1:
            raise ValueError(f"weights must be one row per class, each with a number per member, got {self.weights}")
        for row in self.weights:
            if any(not 0 <= weight <= 1 for weight in row) or not math.isclose(sum(row), 1, abs_tol=1e-6):
                raise ValueError(f"weights of a class must lie from 0 to 1 and have the sum 1, got {row}")

    @property
    def used(self) -> tuple[int, ...]:
        """The members that count in some class."""
        return tuple(m for m in range(len(self.weights[0])) if any(row[m] > 0 for row in self.weights))


def combine_class(planes: Sequence[Bytes], weights: Sequence[float], kind: Kind) -> Bytes:
    """One class of all members as one map of bytes.

    Parameters
    ----------
    planes : sequence of M arrays of uint8, of one shape
    weights : sequence of M floats
    kind : {"soft", "hard"}
        A hard vote gives 255 or 0, where half of the members vote for it the bytes of their mean.

    Examples
    --------
    >>> planes = [np.array([200, 100, 90], np.uint8), np.array([100, 100, 130], np.uint8), np.array([130, 120, 140], np.uint8)]
    >>> combine_class(planes, (0.5, 0.5, 0.0), "soft").tolist()
    [150, 100, 110]
    >>> combine_class(planes, (1 / 3, 1 / 3, 1 / 3), "hard").tolist()
    [255, 0, 255]
    """
    pairs = [(plane, weight) for plane, weight in zip(planes, weights, strict=True) if weight > 0]
    if kind == "soft":
        return pairs[0][0] if len(pairs) == 1 else np.asarray(np.rint(_mean(pairs)), np.uint8)
    votes = sum((plane >= HALF).astype(np.int16) for plane, _ in pairs) * 2 - len(pairs)
    decided = np.where(np.asarray(votes) > 0, np.uint8(255), np.uint8(0))
    if len(pairs) % 2 == 0:
        tie = np.asarray(votes) == 0
        mean = np.rint(_mean([(plane[tie], 1 / len(pairs)) for plane, _ in pairs]))
        decided[tie] = mean.astype(np.uint8)
    return decided


def combine_exclusive(members: Sequence[Bytes], combination: Combination) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The most probable of exclusive classes in each pixel.

    Parameters
    ----------
    members : sequence of M arrays of uint8, (K, (z,) y, x)
        Without the background, whose byte is what is left of 255.
    combination : Combination

    Returns
    -------
    array of unsigned integers, ((z,) y, x)
        0 for the background, k + 1 for class k; the earlier of equals.
    """
    shape = members[0].shape
    decided = np.empty(shape[1:], np.uint8 if shape[0] < 255 else np.uint16)
    for start in range(0, shape[1], SLAB):
        rows = slice(start, start + SLAB)
        decided[rows] = _decide([member[:, rows] for member in members], combination)
    return decided


def _decide(members: Sequence[Bytes], combination: Combination) -> NDArray[np.int64]:
    mixed = with_background(mix_exclusive(members, combination.weights))
    if combination.kind == "soft":
        return np.asarray(mixed.argmax(axis=0))
    votes = np.zeros(mixed.shape, np.float32)
    for member in (members[m] for m in combination.used):
        chosen = with_background(member).argmax(axis=0)[None]
        np.put_along_axis(votes, chosen, np.take_along_axis(votes, chosen, 0) + 1, 0)
    # Less than one vote: the mean decides between equals alone.
    return np.asarray((votes + mixed.astype(np.float32) / 512).argmax(axis=0))


def mix_exclusive(members: Sequence[Bytes], weights: Sequence[Sequence[float]]) -> list[Bytes]:
    """The weighted mean of each class, K arrays of uint8."""
    return [combine_class([member[k] for member in members], row, "soft") for k, row in enumerate(weights)]


def with_background(classes: Sequence[Bytes] | Bytes) -> NDArray[np.int16]:
    """K bytes a pixel with the background before them, what is left of 255.

    That is below 0 where weights differ between classes and their sum exceeds 255.
    """
    result = np.empty((len(classes) + 1, *classes[0].shape), np.int16)
    for k, plane in enumerate(classes, start=1):
        result[k] = plane
    result[0] = 255 - result[1:].sum(axis=0, dtype=np.int16)
    return result


def _mean(pairs: Sequence[tuple[Bytes, float]]) -> NDArray[np.float32]:
    total = np.zeros(pairs[0][0].shape, np.float32)
    for plane, weight in pairs:
        total += plane * np.float32(weight)
    return total
