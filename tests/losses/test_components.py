"""Connected components against scipy's, on shapes with long ways between their ends."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.losses.components import label_components

Map = NDArray[np.int64]


def serpentine(n: int) -> Map:
    """Every other row, joined at alternating ends."""
    out = np.zeros((n, n), np.int64)
    out[::2] = 1
    out[1::4, -1] = out[3::4, 0] = 1
    return out


def spiral(n: int) -> Map:
    """One line from the corner to the middle, with a gap of a pixel between its turns."""
    out, ring = np.zeros((n, n), np.int64), 0
    while 2 * ring < n:
        low, high = ring, n - 1 - ring
        out[low, low : high + 1] = out[high, low : high + 1] = 1
        out[low : high + 1, low] = out[low : high + 1, high] = 1
        if ring:
            out[low, low - 1] = out[low, low - 2] = 1  # from the ring around it
        out[low + 1, low] = 0 if low + 1 < high else out[low + 1, low]
        ring += 2
    return out


def check(numbers: Map) -> None:
    """The same partition as scipy's, class by class."""
    found = label_components(torch.from_numpy(numbers))
    for sample, labels in zip(numbers, found.numpy(), strict=True):
        assert ((labels > 0) == (sample > 0)).all()
        assert labels.max() <= sample.size
        seen: set[int] = set()
        for number in np.unique(sample[sample > 0]):
            expected, count = ndimage.label(sample == number)
            pairs = {(int(a), int(b)) for a, b in zip(expected[expected > 0], labels[expected > 0], strict=True)}
            assert len(pairs) == count == len({b for _, b in pairs})
            assert not seen & {b for _, b in pairs}
            seen |= {b for _, b in pairs}


@pytest.mark.parametrize("turned", [False, True])
def test_long_ways(turned: bool) -> None:
    for shape in (serpentine(96), spiral(96)):
        assert ndimage.label(shape)[1] == 1
        check((shape.T.copy() if turned else shape)[None])


@pytest.mark.parametrize("density", [0.4, 0.6])
def test_clusters_of_any_shape(density: float) -> None:
    # 0.593 is where clusters on the square grid begin to span it; 0.312 on the cube.
    rng = np.random.default_rng(0)
    check((rng.random((3, 64, 48)) < density).astype(np.int64))
    check((rng.random((2, 12, 16, 10)) < density - 0.25).astype(np.int64))


def test_classes_that_touch_stay_apart() -> None:
    check(np.random.default_rng(1).integers(0, 4, (2, 20, 30)))


def test_small_maps() -> None:
    check(np.ones((1, 1, 1), np.int64))
    check(np.zeros((2, 3, 1), np.int64))
    check(np.ones((2, 1, 7), np.int64))
