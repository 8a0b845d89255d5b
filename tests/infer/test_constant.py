"""Tiles of one value are computed once per value, everything else always."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.augment import Intensity
from autoseg.infer.constant import KnownTiles, constant_values
from autoseg.infer.window import Source, Window, predict_bands, predict_image, predict_sources
from autoseg.nets import build_unet
from tests import small


class Counted(nn.Module):
    """A net that counts the tiles it sees."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.tiles = 0

    def forward(self, x: Tensor) -> list[Tensor]:
        self.tiles += len(x)
        y: list[Tensor] = self.net(x)
        return y


def unet(channels: int = 1) -> Counted:
    torch.manual_seed(0)
    return Counted(build_unet(small.network(in_channels=channels, num_heads=3)).eval())


def bordered(value: float = 0) -> NDArray[np.float32]:
    """64 x 64, noise in the middle 16 x 16; of 49 tiles of 16 x 16 at step 0.5 nine touch it."""
    image = np.full((1, 64, 64), value, np.float32)
    image[0, 24:40, 24:40] = np.random.default_rng(0).normal(size=(16, 16))
    return image


@pytest.mark.parametrize("batch", [1, 4, 64])
@pytest.mark.parametrize("mirror_axes", [(), (0, 1)])
def test_borders_are_computed_once(batch: int, mirror_axes: tuple[int, ...]) -> None:
    net = unet()
    window = Window(patch=(16, 16), exclusive=True, mirror_axes=mirror_axes, batch=batch)
    got = predict_image([net], bordered(), window, Intensity.identity(1))
    assert net.tiles == (9 + 1) * 2 ** len(mirror_axes)
    # Without reuse: noise far below what fp32 resolves beside 1 makes each tile one of its own.
    noise = np.random.default_rng(1).normal(size=(1, 64, 64)).astype(np.float32) * 1e-30
    other = unet()
    expected = predict_image([other], bordered() + noise, window, Intensity.identity(1))
    assert other.tiles == 49 * 2 ** len(mirror_axes)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_each_value_is_computed_once() -> None:
    image = np.zeros((1, 64, 64), np.uint8)
    image[:, 32:] = 7  # of the seven rows of tiles, three lie above, three below, one across, whose tiles are no constants
    net = unet()
    predict_image([net], image, Window(patch=(16, 16), exclusive=False, batch=3), Intensity.identity(1))
    assert net.tiles == 2 + 7


def test_another_image_of_the_same_nets_reuses_them_if_the_net_sees_the_same() -> None:
    net, known = unet(), KnownTiles()
    window = Window(patch=(16, 16), exclusive=False)
    for value, mean, tiles in ((5, 5.0, 1), (9, 9.0, 1), (9, 8.0, 2)):  # normalised: 0, 0, 1
        intensity = Intensity(mean=(mean,), std=(1.0,), lower=(-np.inf,), upper=(np.inf,))
        list(predict_sources([net], [Source(image=np.full((1, 40, 40), value, np.uint8), intensity=intensity)], window, known))
        assert net.tiles == tiles


def test_the_previous_stages_channels_must_be_constant_too() -> None:
    previous = np.zeros((2, 32, 16), np.uint8)
    previous[1, 20, 3] = 1
    net = unet(3)
    window = Window(patch=(16, 16), exclusive=True, mirror_axes=(1,), mirror_swap=(0, 2, 1))
    for _ in predict_bands([net], np.zeros((1, 32, 16), np.uint8), window, Intensity.identity(1), previous=previous):
        pass
    assert net.tiles == 3 * 2  # of three tiles two see the pixel


def test_values_of_channels() -> None:
    tile = np.stack([np.full((4, 4), 3), np.full((4, 4), 8)])
    found = constant_values(tile)
    assert found is not None
    assert found.tolist() == [3, 8]
    tile[1, 2, 1] = 9
    assert constant_values(tile) is None


def test_what_is_known_is_bounded_and_the_oldest_goes_first() -> None:
    known = KnownTiles(max_bytes=8)
    for key in (b"a", b"b"):
        known.put(key, torch.zeros(1))
    assert known.get(b"a") is not None
    known.put(b"c", torch.zeros(1))
    assert known.get(b"b") is None
    assert known.get(b"a") is not None
    known.put(b"large", torch.zeros(3))
    assert known.get(b"large") is None


def test_a_result_that_does_not_fit_is_still_used_within_its_batch() -> None:
    net = unet()
    window = Window(patch=(16, 16), exclusive=False, batch=49)
    known = KnownTiles(max_bytes=0)
    image = Source(image=bordered(), intensity=Intensity.identity(1))
    bands = [band.probabilities.clone() for _, band in predict_sources([net], [image], window, known)]
    assert net.tiles == 10
    np.testing.assert_array_equal(torch.cat(bands, dim=1), predict_image([unet()], bordered(), window, Intensity.identity(1)))
