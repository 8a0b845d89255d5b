"""Border weights against scipy's exact distances to every object."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from autoseg.losses import Targets
from autoseg.losses.border import BORDER_SIGMA, BORDER_WEIGHT, REACH, border_weights, two_nearest
from autoseg.losses.components import label_components
from tests.losses.make import heads

#: Beyond REACH an object is not looked for; exact weights there are at most this much higher.
TOLERANCE = BORDER_WEIGHT * math.exp(-(REACH**2) / (2 * BORDER_SIGMA**2)) + 1e-5


def blobs(*shape: int, seed: int = 0) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).random(shape)
    return np.asarray(ndimage.gaussian_filter(noise, 1.2) > 0.53)


def nearest_two(objects: list[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Exact distances to the nearest and the second nearest object, (2, ...)."""
    return np.sort([ndimage.distance_transform_edt(~mask) for mask in objects], axis=0)[:2]


def parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    labels, count = ndimage.label(mask)
    return [labels == k + 1 for k in range(count)]


def exact(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 + BORDER_WEIGHT * np.exp(-(distances.sum(0) ** 2) / (2 * BORDER_SIGMA**2)))


def targets(*masks: NDArray[np.bool_], exclusive: bool) -> Targets:
    classes = torch.from_numpy(np.stack(masks)).float()[None]
    background = 1 - classes.amax(1, keepdim=True)
    return Targets(channels=torch.cat([background, classes], dim=1) if exclusive else classes, weight=None)


def array(x: Tensor) -> NDArray[np.float64]:
    return x.double().numpy()


@pytest.mark.parametrize("shape", [(40, 50), (10, 20, 16), (1, 60)])
def test_distances_are_exact_within_reach(shape: tuple[int, ...]) -> None:
    mask = blobs(*shape)
    objects = parts(mask)
    assert len(objects) >= 2
    for found, true in zip(two_nearest(label_components(torch.from_numpy(mask)[None].int()), REACH), nearest_two(objects), strict=True):
        within = true <= REACH
        np.testing.assert_allclose(array(found)[0][within], true[within] ** 2, atol=1e-5)
        assert np.isinf(array(found)[0][~within]).all()


def test_exclusive_classes_are_weighed_together() -> None:
    first, second = blobs(48, 40), blobs(48, 40, seed=1)
    second &= ~first
    weights = border_weights(targets(first, second, exclusive=True), heads(exclusive=True))
    assert weights.shape == (1, 1, 48, 40)
    expected = exact(nearest_two([*parts(first), *parts(second)]))
    np.testing.assert_allclose(array(weights)[0, 0], expected, atol=TOLERANCE)
    assert expected.max() > 8


def test_overlapping_classes_are_weighed_each_by_itself() -> None:
    first, second = blobs(48, 40), blobs(48, 40, seed=1)
    assert (first & second).any()
    weights = border_weights(targets(first, second, exclusive=False), heads(exclusive=False))
    for found, mask in zip(array(weights)[0], (first, second), strict=True):
        np.testing.assert_allclose(found, exact(nearest_two(parts(mask))), atol=TOLERANCE)


def test_two_squares_in_closed_form() -> None:
    # A gap of four pixels between columns 9 and 14: each pixel's distances to both sides sum to 5.
    mask = np.zeros((12, 24), bool)
    mask[:, 4:10] = mask[:, 14:20] = True
    weights = array(border_weights(targets(mask, exclusive=False), heads(exclusive=False)))[0, 0]
    np.testing.assert_allclose(weights[:, 10:14], 1 + 10 * math.exp(-25 / 50), rtol=1e-6)
    np.testing.assert_allclose(weights[:, 9], 1 + 10 * math.exp(-25 / 50), rtol=1e-6)  # 0 inside, 5 to the other
    np.testing.assert_allclose(weights[:, 3], 1 + 10 * math.exp(-(12**2) / 50), rtol=1e-6)  # 1 and 11


def test_one_object_or_none_weighs_nothing_more() -> None:
    mask = np.zeros((2, 16, 16), bool)
    mask[0, 4:9, 4:9] = True
    weights = border_weights(targets(*mask, exclusive=False), heads(exclusive=False))
    assert array(weights).tolist() == np.ones((1, 2, 16, 16)).tolist()


def test_samples_do_not_see_each_other() -> None:
    masks = [blobs(24, 24, seed=k) for k in range(3)]
    given = [targets(mask, exclusive=True) for mask in masks]
    together = Targets(channels=torch.cat([t.channels for t in given]), weight=None)
    for alone, found in zip(given, border_weights(together, heads(exclusive=True)), strict=True):
        assert torch.equal(border_weights(alone, heads(exclusive=True))[0], found)


def test_numbers_beyond_32_bits() -> None:
    # A reach whose squares, with the labels below them, need 64.
    mask = blobs(40, 30)
    distances = nearest_two(parts(mask))
    for found, true in zip(two_nearest(label_components(torch.from_numpy(mask)[None].int()), 2000), distances, strict=True):
        np.testing.assert_allclose(array(found)[0], true**2, atol=1e-4)
