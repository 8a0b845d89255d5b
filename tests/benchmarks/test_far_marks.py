"""The volumes of the cascade's benchmark: nothing near a ball says which class it is, and a low resolution loses its plates."""

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.labels import encode_map
from autoseg.preprocess.resample import resample_labels
from benchmarks.far_marks import BLOCK, BRIGHT, MIDDLES, RADIUS, SHAPE, draw_volume

PATCH = 24
SEEDS = range(6)


def drawn(seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    return draw_volume(np.random.default_rng(seed))


def is_low_end(image: NDArray[np.int16]) -> bool:
    """Where the block lies, by the mean of the slices at both ends."""
    return bool(image[: BLOCK[0]].mean() > image[-BLOCK[0] :].mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_block_says_which_ball_is_near(seed: int) -> None:
    image, labels = drawn(seed)
    low, high = labels[: SHAPE[0] // 2], labels[SHAPE[0] // 2 :]
    near, far = (low, high) if is_low_end(image) else (high, low)
    assert (set(np.unique(near)), set(np.unique(far))) == ({0, 1}, {0, 2})


def test_it_lies_at_either_end_and_balls_do_not_move_with_it() -> None:
    cases = [drawn(seed) for seed in range(40)]
    ends = np.array([is_low_end(image) for image, _ in cases])
    assert 10 < ends.sum() < 30
    middles = np.array([[np.argwhere(labels[part])[:, 0].mean() for part in (slice(44), slice(44, 88))] for _, labels in cases])
    middles[:, 1] += 44
    assert np.abs(middles - MIDDLES).max() < 2
    assert np.abs(middles[ends].mean(0) - middles[~ends].mean(0)).max() < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_no_patch_holds_a_ball_and_the_block(seed: int) -> None:
    image, labels = drawn(seed)
    slices = np.flatnonzero(labels.any((1, 2)))
    gap = slices.min() - BLOCK[0] if is_low_end(image) else SHAPE[0] - BLOCK[0] - 1 - slices.max()
    assert gap >= PATCH


def test_balls_look_alike() -> None:
    # Grey values of both classes' plates, over many cases: the same mean to a tenth of the noise's deviation.
    cases = [drawn(seed) for seed in range(10)]
    near, far = (np.concatenate([image[labels == k] for image, labels in cases]).astype(float) for k in (1, 2))
    assert abs(near.mean() - far.mean()) < 0.8
    assert near.std() == pytest.approx(far.std(), rel=0.05)
    assert near.mean() == pytest.approx(BRIGHT, abs=1)
    assert len(near) == pytest.approx(len(far), rel=0.05)


def test_a_low_resolution_loses_the_plates() -> None:
    # The truth itself, brought to 2.5 mm and back, and whole balls instead of their plates: neither comes near 0.9.
    low = tuple(round(n / 2.5) for n in SHAPE)
    for seed in SEEDS:
        _, labels = drawn(seed)
        codes = encode_map(labels, {0: (), 1: (0,), 2: (1,)}, 2)
        back = resample_labels(resample_labels(codes, low), SHAPE)
        for k in range(2):
            truth = labels == k + 1
            assert dice(back.mask(k), truth) < 0.85
            centre = np.argwhere(truth).mean(0)
            ball = ((np.indices(SHAPE) - centre[:, None, None, None]) ** 2).sum(0) < RADIUS**2
            assert dice(ball, truth) < 0.85


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
