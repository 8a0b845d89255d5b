"""Tiles blended into bands: sums by hand, and how much of an image is open at a time."""

import numpy as np
import pytest
import torch

from autoseg.infer.blend import Accumulator, _zeros, rows_device
from autoseg.infer.tiling import plan_axes, tiles


def test_two_tiles_by_hand() -> None:
    # Four pixels, tiles of three: weights of the middle ones are a Gaussian's, which are 1 in the middle and w at the ends.
    accumulator = Accumulator(plan_axes((1, 4), (1, 3)))
    assert list(accumulator.add((0, 0), torch.tensor([[[1.0, 2.0, 3.0]]]))) == []
    (band,) = ((band.rows, band.probabilities.clone()) for band in accumulator.add((0, 1), torch.tensor([[[20.0, 30.0, 40.0]]])))
    assert band[0] == slice(0, 1)
    w = np.exp(-0.5 / (3 / 8) ** 2)  # one pixel from the middle, sigma an eighth of three
    expected = [1, (2 + 20 * w) / (1 + w), (3 * w + 30) / (1 + w), 40]
    np.testing.assert_allclose(band[1][0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("step", [0.2, 0.5, 0.9, 1.0])
def test_rows_close_in_order_and_equal_the_whole_sum(step: float) -> None:
    shape, patch, heads = (53, 21), (16, 8), 3
    axes = plan_axes(shape, patch, step)
    rng = np.random.default_rng(0)
    expected = np.zeros((heads, *shape))
    accumulator = Accumulator(axes)
    got = np.full((heads, *shape), np.nan)
    rows = 0
    for y, x in tiles(shape, patch, step):
        tile = rng.normal(size=(heads, *patch)).astype(np.float32)
        expected[:, y : y + 16, x : x + 8] += tile * axes[0].weights[y][:, None] * axes[1].weights[x]
        for band in accumulator.add((y, x), torch.from_numpy(tile)):
            assert band.rows.start == rows
            rows = band.rows.stop
            got[:, band.rows] = band.probabilities
    assert rows == 53
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_open_rows_are_as_many_as_a_tile_is_high_whatever_the_height() -> None:
    sizes = set()
    for height in (64, 640):
        accumulator = Accumulator(plan_axes((height, 40), (16, 16)))
        for start in tiles((height, 40), (16, 16)):
            before = accumulator.open
            for _ in accumulator.add(start, torch.zeros(5, 16, 16)):
                pass
            assert before is None or accumulator.open is before  # its memory is used again
            assert accumulator.open is not None
            sizes.add(tuple(accumulator.open.shape))
    assert sizes == {(5, 16, 40)}


def test_one_tile_needs_no_accumulator() -> None:
    accumulator = Accumulator(plan_axes((5, 6), (8, 8)))
    tile = torch.arange(64.0).reshape(1, 8, 8)
    (band,) = accumulator.add((-1, -1), tile)
    assert accumulator.open is None
    assert band.rows == slice(0, 5)
    torch.testing.assert_close(band.probabilities, tile[:, 1:6, 1:7])


def test_rows_lie_with_the_host_where_a_gpu_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, host = torch.device("cuda", 1), torch.device("cpu")
    free = {gpu: (1000, 4000)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", free.__getitem__)
    assert rows_device(gpu, 900) == gpu
    assert rows_device(gpu, 901) == host
    assert rows_device(host, 10**15) == host


GIB = 2**30


@pytest.mark.parametrize(
    ("free", "reserved", "peak", "needed", "expected"),
    [
        # Of 2.7 GiB that torch keeps, the tiles just computed took all: beside 8.5 GiB of rows the next ones would have 1.2.
        (7.0, 3.0, 3.0, 8.5, "cpu"),
        (7.0, 3.0, 3.0, 6.2, "cuda"),
        # What training left behind is free once the net alone is there.
        (1.0, 25.0, 3.0, 20.0, "cuda"),
        (1.0, 25.0, 3.0, 21.0, "cpu"),
    ],
)
def test_rows_leave_room_for_the_next_tiles(
    free: float, reserved: float, peak: float, needed: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda", 0)
    figures = {"memory_reserved": reserved, "memory_allocated": 0.3, "max_memory_allocated": peak}
    for name, gib in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, gib=gib: int(gib * GIB))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * GIB), 40 * GIB))
    assert rows_device(gpu, int(needed * GIB)).type == expected


def test_rows_that_find_no_room_after_all_lie_with_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device | None] = []

    def zeros(*shape: object, device: torch.device | None = None) -> torch.Tensor:
        asked.append(device)
        if device is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.ones(2, 3).mul_(0)

    monkeypatch.setattr(torch, "zeros", zeros)
    monkeypatch.setattr("autoseg.infer.blend.rows_device", lambda device, needed: device)
    gpu = torch.device("cuda", 0)
    assert _zeros((2, 3), gpu).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert asked == [gpu, None]


@pytest.mark.gpu
def test_tiles_of_a_gpu_are_blended_by_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.infer.blend.FREE_SHARE", 0.0)
    accumulator = Accumulator(plan_axes((8, 12), (8, 8)))
    bands = []
    for start in tiles((8, 12), (8, 8)):
        bands += list(accumulator.add(start, torch.ones(2, 8, 8, device="cuda")))
    assert bands[0].probabilities.device.type == "cpu"
    np.testing.assert_allclose(torch.cat([band.probabilities for band in bands], dim=1), 1, rtol=1e-6)
