"""Bands carried to the original grid slab by slab are the whole image carried there at once, to the last bit, in little memory."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg.geometry import Geometry
from autoseg.infer import slabs as module
from autoseg.infer.blend import Band
from autoseg.infer.decide import Kept, decide
from autoseg.infer.slabs import slabs
from autoseg.labels import LabelSpace
from autoseg.preprocess.prepared import PreparedMeta
from tests.infer.plans import EXCLUSIVE, OVERLAPPING
from tests.preprocess.back import restore

#: Original shape, box, resampled shape of the box, order of the axes.
GRIDS = {
    "as it is": ((11, 9), ((0, 11), (0, 9)), (11, 9), (0, 1)),
    "cropped": ((11, 9), ((2, 10), (3, 8)), (8, 5), (0, 1)),
    "turned volume": ((4, 6, 5), ((0, 4), (1, 6), (0, 5)), (4, 5, 5), (2, 0, 1)),
    "from finer": ((11, 9), ((2, 10), (1, 8)), (23, 17), (0, 1)),
    "from coarser": ((40, 31), ((1, 38), (0, 31)), (9, 7), (0, 1)),
    "finer and coarser": ((30, 31), ((0, 30), (0, 31)), (12, 50), (0, 1)),
    "columns alone": ((20, 31), ((0, 20), (4, 30)), (20, 9), (0, 1)),
    "one row": ((17, 5), ((0, 17), (0, 5)), (1, 5), (0, 1)),
    "slices": ((8, 12, 10), ((0, 8), (2, 12), (0, 9)), (5, 10, 4), (1, 0, 2)),
}


def meta_of(grid: str) -> PreparedMeta:
    shape, box, resampled, axes = GRIDS[grid]
    one = (0.0,)
    return PreparedMeta(
        name="a", geometry=Geometry.pixels(shape), box=box, resampled_shape=resampled, axes=axes, lower=one, upper=one, mean=one, std=one
    )


def draw(meta: PreparedMeta, heads: int) -> NDArray[np.float32]:
    values = np.random.default_rng(0).random((heads, *meta.shape), np.float32)
    return np.asarray(values / values.sum(axis=0), np.float32)


def bands(whole: NDArray[np.float32], heights: tuple[int, ...]) -> Iterator[Band]:
    """Bands of these heights, over and over; the memory of each is used again, as that of `infer.blend` is."""
    top, number = 0, 0
    memory = torch.empty(*whole.shape[2:], max(heights), len(whole)).movedim(-1, 0).movedim(-1, 1)
    while top < whole.shape[1]:
        height = min(heights[number % len(heights)], whole.shape[1] - top)
        memory[:, :height] = torch.from_numpy(whole[:, top : top + height].copy())
        yield Band(slice(top, top + height), memory[:, :height])
        memory.fill_(float("nan"))
        top, number = top + height, number + 1


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("heights", [(1,), (3, 1, 5), (100,)])
@pytest.mark.parametrize("largest", [1, 60, 2**25])
def test_the_parts_are_the_whole(monkeypatch: pytest.MonkeyPatch, grid: str, heights: tuple[int, ...], largest: int) -> None:
    monkeypatch.setattr(module, "SLAB", largest)
    meta = meta_of(grid)
    values = draw(meta, 2)
    got = np.zeros((2, *meta.geometry.shape), np.float32)
    for place, part in slabs(bands(values, heights), meta):
        assert not got[:, *place].any()
        got[:, *place] = part.numpy()
    np.testing.assert_array_equal(got, restore(values, meta))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE])
@pytest.mark.parametrize("kept", [False, True, "half", "both"])
def test_decided_as_the_whole(grid: str, labels: LabelSpace, kept: Kept) -> None:
    meta = meta_of(grid)
    values = draw(meta, labels.num_heads)
    found = decide(bands(values, (3, 2)), labels, meta, probabilities=kept, thresholds=() if labels.exclusive else (0.3, 0.6))
    there = restore(values, meta, outside=[float(labels.exclusive), 0, 0][: labels.num_heads])
    if labels.exclusive:
        expected = np.array((0, *labels.values))[there.argmax(axis=0)]
    else:
        expected = there > np.array([0.3, 0.6], np.float32).reshape(2, *[1] * (there.ndim - 1))
    np.testing.assert_array_equal(found.array, expected)
    classes = there[int(labels.exclusive) :]
    assert (found.probabilities is not None, found.halves is not None) == (kept in (True, "both"), kept in ("half", "both"))
    if found.probabilities is not None:
        np.testing.assert_array_equal(found.probabilities, np.rint(classes * np.float32(255)))
    if found.halves is not None:
        np.testing.assert_array_equal(found.halves, classes.astype(np.float16))


def test_memory_does_not_grow_with_the_height(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, width = 8, 64
    monkeypatch.setattr(module, "SLAB", heads * 2 * width * 16)

    def peak_bytes(height: int) -> int:
        one = (0.0,)
        meta = PreparedMeta(
            name="a", geometry=Geometry.pixels((2 * height, 2 * width)), box=((0, 2 * height), (0, 2 * width)),
            resampled_shape=(height, width), axes=(0, 1), lower=one, upper=one, mean=one, std=one,
        )  # fmt: skip
        band = torch.rand(heads, 16, width)
        tracemalloc.start()
        rows = sum(part.shape[1] for _, part in slabs((Band(slice(top, top + 16), band) for top in range(0, height, 16)), meta))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == 2 * height
        return peak

    peak_bytes(64)  # what is kept from call to call
    low, high = peak_bytes(128), peak_bytes(1024)
    whole = heads * 2048 * 2 * width * 4
    assert high < whole / 8
    # The weights of the rows grow, a few numbers each.
    assert high - low < 1024 * 2 * 100
