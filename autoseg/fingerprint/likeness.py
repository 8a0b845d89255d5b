"""Comparing cases at low resolution: neighbours with others, and pictures with their mirror images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from autoseg.fingerprint.comparison import FlipLikeness, NeighbourLikeness
from autoseg.fingerprint.facts import CaseFacts
from autoseg.fingerprint.sketch import Sketch, standardise
from autoseg.io.filenames import natural_key

#: Pairs are compared among at most this many cases: a correlation matrix of 1,000 x 1,000 takes 30 ms.
MAX_CASES = 1000
#: Cases compared with each other under flips: 100 give 9,900 ordered pairs.
MAX_FLIP_CASES = 100


def measure_neighbours(names: Sequence[str], sketches: Sequence[Sketch]) -> NeighbourLikeness | None:
    """Correlation of the low-resolution images of neighbours by name, and of all other pairs; None for fewer than 4 cases."""
    order = sorted(range(len(names)), key=lambda i: natural_key(names[i]))
    if len(order) < 4:
        return None
    rows = standardise(np.stack([sketches[i].image for i in order]))
    neighbours = np.sum(rows[1:] * rows[:-1], axis=1)
    few = np.array(sample_cases(len(rows), MAX_CASES))
    first, second = np.triu_indices(len(few), 1)
    apart = few[second] - few[first] > 1
    others = (rows[few] @ rows[few].T)[first[apart], second[apart]]
    limit = float(np.percentile(others, 90))
    above = int((neighbours > limit).sum())
    return NeighbourLikeness(
        order=tuple(names[i] for i in order),
        neighbours=tuple(round(float(c), 4) for c in neighbours),
        others_median=float(np.median(others)),
        others_p90=limit,
        share_above=above / len(neighbours),
        p_value=float(binom.sf(above - 1, len(neighbours), 0.1)),
    )


def unrelated(cases: Sequence[CaseFacts], neighbours: NeighbourLikeness | None) -> NDArray[np.bool_]:
    """Which pairs of cases are independent of each other, (N, N): only these tell what is true of the next case, too.

    Not a case and itself, not two of a group, and in a series where neighbours are alike only those half the series apart.
    """
    groups: dict[str, int] = {}
    group = np.array([-1 - i if case.group is None else groups.setdefault(case.group, len(groups)) for i, case in enumerate(cases)])
    table = group[:, None] != group[None]
    if neighbours is not None and neighbours.alike:
        place = {name: i for i, name in enumerate(neighbours.order)}
        position = np.array([place[case.name] for case in cases])
        table &= np.abs(position[:, None] - position[None]) >= len(neighbours.order) / 2
    return np.asarray(table)


def sample_cases(length: int, most: int) -> list[int]:
    """At most `most` of range(length), drawn at random with a fixed seed, ascending.

    Not evenly spread: cases come in rhythms (right hand, left hand, right hand, ...), and every eighth of 800 is a right one.
    """
    return sorted(int(i) for i in np.random.default_rng(0).permutation(length)[:most])


def measure_flips(sketches: Sequence[Sketch], partners: NDArray[np.bool_]) -> tuple[FlipLikeness, ...]:
    """For each axis: how alike different cases are, and how alike one case's mirror image and another case.

    Parameters
    ----------
    sketches : sequence of Sketch
    partners : array of bool, shape (N, N)
        Which pairs are compared, see `unrelated`. Cases without a partner are left out; () if fewer than 3 cases have one.
    """
    few = sample_cases(len(sketches), MAX_FLIP_CASES)
    compared = partners[np.ix_(few, few)]
    if compared.any(axis=1).sum() < 3:
        return ()
    images = np.stack([sketches[i].image for i in few])
    labels = np.stack([sketches[i].classes for i in few])
    labels = labels - labels.mean(axis=tuple(range(2, labels.ndim)), keepdims=True)
    upright_image, upright_labels = _likeness(images, images, compared), _likeness(labels, labels, compared)
    found = []
    for axis in range(images.ndim - 1):
        image = _likeness(np.flip(images, 1 + axis), images, compared)
        label = _likeness(np.flip(labels, 2 + axis), labels, compared)
        found.append(
            FlipLikeness(
                axis=axis,
                labels=float(upright_labels.mean()),
                labels_flipped=float(label.mean()),
                label_error=_error(upright_labels - label),
                image=float(upright_image.mean()),
                image_flipped=float(image.mean()),
                image_error=_error(upright_image - image),
            )
        )
    return tuple(found)


def _likeness(pictures: NDArray[np.float32], others: NDArray[np.float32], compared: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each picture's median correlation with its partners' pictures, for pictures that have a partner."""
    table = np.where(compared, standardise(pictures) @ standardise(others).T, np.nan)
    return np.asarray(np.nanmedian(table[compared.any(axis=1)], axis=1))


def _error(differences: NDArray[np.float64]) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))
