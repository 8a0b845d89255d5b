"""Batches of tiles that run out of memory: computed in halves from then on, with the same result."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoseg.augment import Intensity
from autoseg.infer.parts import Parts
from autoseg.infer.window import Source, Window, predict_sources
from autoseg.nets import build_unet
from tests import small

CPU = torch.device("cpu")
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


class Limited(nn.Module):
    """A net for which there is memory for so many tiles at a time; `sizes` are those of all its calls."""

    def __init__(self, limit: int, error: RuntimeError = CUDA) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = build_unet(small.network(in_channels=2, num_heads=3)).eval()
        self.limit, self.error = limit, error
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> list[Tensor]:
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise self.error
        y: list[Tensor] = self.net(x)
        return y


def predict(net: nn.Module, parts: Parts | None = None, **settings: Any) -> Tensor:
    """Two images of nine and of three tiles, with a stage before them."""
    rng = np.random.default_rng(0)
    window = Window(patch=(16, 16), exclusive=True, **settings)
    sources = [
        Source(
            image=rng.normal(size=(1, *shape)).astype(np.float32), intensity=Intensity.identity(1),
            previous=rng.integers(0, 255, (1, *shape), np.uint8),
        )
        for shape in ((32, 32), (32, 16))
    ]  # fmt: skip
    return torch.cat([band.probabilities.flatten(1).clone() for _, band in predict_sources([net], sources, window, None, parts)], dim=1)


@pytest.mark.parametrize("error", [CUDA, RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")])
def test_tiles_are_computed_in_halves_from_then_on(error: RuntimeError, caplog: pytest.LogCaptureFixture) -> None:
    net = Limited(2, error)
    with caplog.at_level(logging.WARNING, "autoseg"):
        got = predict(net, batch=8)
    # Eight tiles, then four, then two at a time; the last batch is of four.
    assert net.sizes == [8, 4, 2, 2, 2, 2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "memory ran out with 8 tiles at a time: fewer are computed at a time from here on, with the same result"
    ]
    free = Limited(99)
    torch.testing.assert_close(got, predict(free, batch=8), atol=1e-6, rtol=0)
    assert free.sizes == [8, 4]


def test_later_images_of_the_same_model_begin_with_it() -> None:
    net, parts = Limited(3), Parts()
    predict(net, parts, batch=5)
    assert net.sizes == [5, 3, 2, 3, 2, 2]
    net.sizes.clear()
    predict(net, parts, batch=5)
    assert net.sizes == [3, 2, 3, 2, 2]


def test_flips_are_made_again_with_their_tiles() -> None:
    net = Limited(2)
    got = predict(net, batch=4, mirror_axes=(0, 1))
    assert net.sizes == [4, *[2] * 24]
    torch.testing.assert_close(got, predict(Limited(99), batch=4, mirror_axes=(0, 1)), atol=1e-6, rtol=0)


def test_constant_tiles_keep_their_places() -> None:
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 24:40, 24:40] = np.random.default_rng(0).normal(size=(16, 16))
    source = Source(image=image, intensity=Intensity.identity(1), previous=np.zeros((1, 64, 64), np.uint8))
    window = Window(patch=(16, 16), exclusive=True, batch=64)
    whole, halves = (
        torch.cat([band.probabilities.clone() for _, band in predict_sources([Limited(limit)], [source], window)], dim=1)
        for limit in (99, 3)
    )
    torch.testing.assert_close(halves, whole, atol=1e-6, rtol=0)


def test_a_single_tile_too_large_and_other_errors_come_through() -> None:
    net = Limited(0)
    with pytest.raises(torch.OutOfMemoryError):
        predict(net, batch=2)
    assert net.sizes == [2, 1]
    net = Limited(1, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        predict(net, batch=2)
    assert net.sizes == [2]


def test_a_part_is_computed_when_its_first_tile_is_asked_for() -> None:
    parts, asked = Parts(), list[slice]()
    parts.most = 2

    def compute(part: slice) -> Tensor:
        asked.append(part)
        return torch.arange(part.start, part.stop)

    results = parts.compute(compute, 5, CPU)
    assert [int(next(results)) for _ in range(2)] == [0, 1]
    assert asked == [slice(0, 2)]
    assert [int(result) for result in results] == [2, 3, 4]
    assert asked[1:] == [slice(2, 4), slice(4, 5)]


def test_a_gpus_peak_is_watched_from_each_part_on_and_its_memory_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: calls.append(f"reset {device}"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))

    def compute(part: slice) -> Tensor:
        calls.append(f"{part.start}:{part.stop}")
        if part.stop - part.start > 1:
            raise CUDA
        return torch.zeros(1)

    list(Parts().compute(compute, 2, torch.device("cuda", 1)))
    assert calls == ["reset cuda:1", "0:2", "empty", "reset cuda:1", "0:1", "reset cuda:1", "1:2"]
