"""How sure a prediction is of itself, and how much it looks like a mistake: numbers of which the expected Dice is calibrated.

The probabilities are means over nets and flips: where these disagree they lie between 0 and 1, and three sums over the pixels tell. They
count as they are stored, 255 p rounded with the noise of a sigmoid cut off (`io.probabilities`), so that those of training images on
disk and those of new images in memory are measured alike. Masks are those at one half or at thresholds, or of the most probable class.

Shapes: K classes, N cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.io.probabilities import NOISE
from autoseg.labels import Mask, count_values

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """Sums over the pixels of a case, or of some of its rows, float64, (K,) each.

    Parameters
    ----------
    area : array
        Pixels that are decided to be of the class.
    mass : array
        Of the class's probability over all pixels.
    inside : array
        The same over the decided pixels alone.
    """

    area: Values
    mass: Values
    inside: Values

    def __add__(self, other: Sums) -> Sums:
        """Of the parts of a case together."""
        return Sums(area=self.area + other.area, mass=self.mass + other.mass, inside=self.inside + other.inside)

    @classmethod
    def stack(cls, classes: Iterable[Sums]) -> Sums:
        """Of single classes, shape (), those of a case, (K,)."""
        area, mass, inside = (np.array(column) for column in zip(*((one.area, one.mass, one.inside) for one in classes), strict=True))
        return cls(area=area, mass=mass, inside=inside)


@dataclass(frozen=True, kw_only=True, eq=False)
class Certainty:
    """What is known of predictions without their truth, float64, (K,) of a case or (N, K) of several.

    Parameters
    ----------
    area : array
        Pixels predicted.
    self_dice : array
        2 inside / (mass + area): the Dice that the probabilities, taken at their word, expect of the mask, the expected overlap over the
        expected sizes. NaN where there is neither.
    largest : array
        Share of the predicted pixels that lie in the largest connected component (diagonals touch); 1 if nothing is predicted.
    shared : array
        Share of the predicted pixels that another class claims as well; 0 if nothing is predicted.
    """

    area: Values
    self_dice: Values
    largest: Values
    shared: Values

    def __post_init__(self) -> None:
        if not self.area.shape == self.self_dice.shape == self.largest.shape == self.shared.shape:
            raise ValueError(f"shapes differ: {self.area.shape}, {self.self_dice.shape}, {self.largest.shape}, {self.shared.shape}")

    def __getitem__(self, chosen: NDArray[np.bool_] | int) -> Certainty:
        """Some of several cases, or one of them."""
        parts = (self.area[chosen], self.self_dice[chosen], self.largest[chosen], self.shared[chosen])
        return Certainty(area=parts[0], self_dice=parts[1], largest=parts[2], shared=parts[3])

    @classmethod
    def stack(cls, cases: Iterable[Certainty]) -> Certainty:
        """Of several cases, (N, K), at least one."""
        rows = [(case.area, case.self_dice, case.largest, case.shared) for case in cases]
        area, self_dice, largest, shared = (np.stack(column) for column in zip(*rows, strict=True))
        return cls(area=area, self_dice=self_dice, largest=largest, shared=shared)

    @classmethod
    def of(cls, sums: Sums, masks: Iterable[Mask]) -> Certainty:
        """From a case's sums and its masks, read one at a time. Post-processing may have changed the masks: their own pixels count."""
        total = sums.mass + sums.area
        self_dice = np.divide(2 * sums.inside, total, out=np.full(len(total), np.nan), where=total > 0)
        areas: list[int] = []

        def counted() -> Iterator[Mask]:
            for mask in masks:
                areas.append(int(np.count_nonzero(mask)))
                yield mask

        largest, shared = _looks(counted())
        return cls(area=np.array(areas, np.float64), self_dice=np.asarray(self_dice), largest=largest, shared=shared)


def certainty_of_bytes(stored: NDArray[np.uint8], *, exclusive: bool) -> Certainty:
    """Of stored probabilities, (K, *spatial) bytes without the background, from `io.probabilities.read_probabilities`."""
    masks = decided_masks(stored, exclusive=exclusive)
    return Certainty.of(Sums.stack([sums_of_bytes(plane, mask) for plane, mask in zip(stored, masks, strict=True)]), masks)


def sums_of_bytes(plane: NDArray[np.uint8], mask: Mask) -> Sums:
    """Of one class's probabilities in bytes, (*spatial), and the pixels that are decided to be of it; arrays of shape ()."""
    heard = np.where(plane > NOISE, plane, np.uint8(0))
    mass, inside = (np.asarray(values.sum(dtype=np.int64) / 255) for values in (heard, heard[mask]))
    return Sums(area=np.asarray(np.count_nonzero(mask), np.float64), mass=mass, inside=inside)


def decided_masks(stored: NDArray[np.uint8], *, exclusive: bool) -> NDArray[np.bool_]:
    """The masks that stored probabilities (K, *spatial) decide: above one half, or, of exclusive classes, more than all others."""
    if not exclusive:
        return np.asarray(stored >= 128)
    # The background is what the classes leave of 255.
    background = np.clip(255 - stored.sum(axis=0, dtype=np.int32), 0, 255).astype(np.uint8)
    winner = np.concatenate([background[None], stored]).argmax(axis=0)
    return np.stack([winner == k + 1 for k in range(len(stored))])


def _looks(masks: Iterable[Mask]) -> tuple[Values, Values]:
    """Of each mask the share of its largest component, and the share that other masks claim as well."""
    largest: list[float] = []
    boxed: list[tuple[tuple[slice, ...], tuple[int, ...], NDArray[np.uint8]]] = []
    claims: NDArray[np.uint16] | None = None
    for mask in masks:
        if claims is None:
            claims = np.zeros(mask.shape, np.uint16)
        # What there is to look at is most often a small part of the image; of a large volume all masks together lie here as bits.
        box = _box(mask)
        part = mask[box]
        claims[box] += part
        boxed.append((box, part.shape, np.packbits(part)))
        largest.append(_largest_share(part))
    assert claims is not None, "there is at least one class"
    return np.array(largest), np.array([_shared(claims[box], shape, bits) for box, shape, bits in boxed])


def _largest_share(mask: Mask) -> float:
    components, num = ndimage.label(mask, np.ones((3,) * mask.ndim))
    sizes = count_values(components, num + 1)[1:]
    return float(sizes.max() / sizes.sum()) if num else 1.0


def _shared(claims: NDArray[np.uint16], shape: tuple[int, ...], bits: NDArray[np.uint8]) -> float:
    part = np.unpackbits(bits, count=math.prod(shape)).view(np.bool_).reshape(shape)
    return float((claims[part] > 1).mean()) if part.any() else 0.0


def _box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around a mask; an empty one if it is empty."""
    box = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0))
    return tuple(box)
