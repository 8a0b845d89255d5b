"""The sliding window with nets whose output is known in closed form."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.augment import Intensity
from autoseg.infer.window import Window, predict_bands, predict_image
from autoseg.nets import build_unet
from autoseg.plan import Network


class Fixed(nn.Module):
    """A net made of a function of its input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> list[Tensor]:
        self.inputs.append(x.clone())
        return [self.function(x)]


def same() -> Fixed:
    return Fixed(lambda x: x)


def predict(
    net: nn.Module, image: NDArray[np.generic], patch: tuple[int, ...], *, exclusive: bool = False, **settings: object
) -> NDArray[np.float32]:
    window = Window(patch=patch, exclusive=exclusive, **settings)  # type: ignore[arg-type]
    return predict_image([net], image, window, Intensity.identity(len(image)))


def sigmoid(x: NDArray[np.generic]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((37, 50), (16, 16)),
        ((16, 16), (16, 16)),
        ((9, 40), (16, 16)),  # smaller than the patch along one axis
        ((15, 40), (16, 16)),  # by one pixel: mirrored behind alone
        ((5, 3), (16, 32)),
        ((20, 17, 12), (8, 16, 16)),
        ((4, 21, 16), (16, 16)),  # slices
        ((3, 7, 40), (16, 16)),
    ],
)
@pytest.mark.parametrize("batch", [1, 5])
def test_the_identity_comes_back(shape: tuple[int, ...], patch: tuple[int, ...], batch: int) -> None:
    image = noise(2, *shape)
    got = predict(same(), image, patch, batch=batch)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, sigmoid(image), atol=1e-6)


@pytest.mark.parametrize("step", [0.25, 0.5, 1.0])
def test_a_constant_stays_constant(step: float) -> None:
    net = Fixed(lambda x: torch.full((len(x), 3, *x.shape[2:]), 0.7))
    np.testing.assert_allclose(predict(net, noise(1, 45, 33), (16, 8), step=step), sigmoid(np.array(0.7)), atol=1e-6)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_flips_are_undone(axes: tuple[int, ...]) -> None:
    image = noise(3, 21, 30)
    net = same()
    np.testing.assert_allclose(predict(net, image, (16, 16), mirror_axes=axes), sigmoid(image), atol=1e-6)
    first, *flipped = net.inputs[: 2 ** len(axes)]
    torch.testing.assert_close(flipped[-1], first.flip([a + 2 for a in axes]))


def test_flips_in_three_axes_and_on_slices() -> None:
    image = noise(1, 9, 18, 16)
    np.testing.assert_allclose(predict(same(), image, (8, 16, 16), mirror_axes=(0, 1, 2)), sigmoid(image), atol=1e-6)
    np.testing.assert_allclose(predict(same(), image, (16, 16), mirror_axes=(0, 1)), sigmoid(image), atol=1e-6)


def left_and_right(x: Tensor) -> Tensor:
    """Calls what is bright "left" in the left half of the tile and "right" in the right half."""
    left, right = x.clone(), x.clone()
    middle = x.shape[-1] // 2
    left[..., middle:] = -9
    right[..., :middle] = -9
    return torch.cat([left, right], dim=1)


def test_an_odd_number_of_flips_swaps_classes() -> None:
    image = noise(1, 16, 16)
    plain = predict(Fixed(left_and_right), image, (16, 16))
    swapped = predict(Fixed(left_and_right), image, (16, 16), mirror_axes=(1,), mirror_swap=(1, 0))
    np.testing.assert_allclose(swapped, plain, atol=1e-6)
    unswapped = predict(Fixed(left_and_right), image, (16, 16), mirror_axes=(1,))
    assert np.abs(unswapped - plain).max() > 0.1


def test_a_flip_along_rows_swaps_too_and_two_flips_do_not() -> None:
    # The net says class k wherever channel k is bright; a flip exchanges the channels as a mirrored body would.
    image = noise(2, 16, 16)
    got = predict(same(), image, (16, 16), mirror_axes=(0, 1), mirror_swap=(1, 0))
    np.testing.assert_allclose(got, (sigmoid(image) + sigmoid(image[::-1])) / 2, atol=1e-6)


def test_softmax_and_the_mean_over_folds_and_flips_is_of_probabilities() -> None:
    image = noise(3, 16, 16)
    nets = [same(), Fixed(lambda x: -2 * x)]
    window = Window(patch=(16, 16), exclusive=True, mirror_axes=(1,))
    got = predict_image(nets, image, window, Intensity.identity(3))
    exps = [np.exp(image.astype(np.float64)), np.exp(-2 * image.astype(np.float64))]
    np.testing.assert_allclose(got, np.mean([e / e.sum(axis=0) for e in exps], axis=0), atol=1e-6)


@pytest.mark.parametrize(("shape", "patch"), [((5, 9), (16, 16)), ((3, 40), (8, 16)), ((3, 4, 5), (8, 8, 8))])
def test_the_border_is_numpys_reflection(shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
    image = noise(1, *shape)
    net = same()
    predict(net, image, patch)
    spare = [max(0, p - n) for n, p in zip(shape, patch, strict=True)]
    padded = np.pad(image, [(0, 0), *((s // 2, s - s // 2) for s in spare)], mode="reflect")
    np.testing.assert_array_equal(net.inputs[0][0].numpy(), padded[:, *(slice(0, p) for p in patch)])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_intensities_are_clipped_and_scaled(dtype: type[np.generic]) -> None:
    image = np.arange(2 * 8 * 8).reshape(2, 8, 8).astype(dtype)
    intensity = Intensity(mean=(10, 70), std=(4, 8), lower=(5, -np.inf), upper=(40, np.inf))
    net = same()
    predict_image([net], image, Window(patch=(8, 8), exclusive=False), intensity)
    floats = image.astype(np.float32)
    np.testing.assert_allclose(net.inputs[0][0, 0], (floats[0].clip(5, 40) - 10) / 4, rtol=1e-6)
    np.testing.assert_allclose(net.inputs[0][0, 1], (floats[1] - 70) / 8, rtol=1e-6)


class Echo(nn.Module):
    """Says what the previous stage said: the logits of its probabilities."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.logit(x[:, self.channels :])]


def random_bytes(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(1, 255, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "patch", "axes"),
    [
        ((37, 50), (16, 16), (0, 1)),
        ((9, 40), (16, 16), (1,)),  # beyond the borders along one axis
        ((5, 3), (16, 32), (0,)),
        ((10, 17, 12), (8, 16, 16), (0, 1, 2)),
        ((3, 7, 40), (16, 16), (0, 1)),  # slices
    ],
)
@pytest.mark.parametrize("batch", [1, 5])
def test_the_previous_stages_channels_come_back(shape: tuple[int, ...], patch: tuple[int, ...], axes: tuple[int, ...], batch: int) -> None:
    previous = random_bytes(3, *shape)
    window = Window(patch=patch, exclusive=False, mirror_axes=axes, mirror_swap=(1, 0, 2), batch=batch)
    got = predict_image([Echo(2)], noise(2, *shape), window, Intensity.identity(2), previous=previous)
    np.testing.assert_allclose(got, previous / 255, atol=1e-6)


def test_the_previous_stages_classes_are_exchanged_in_the_mirror() -> None:
    # Behind a background: under a flip the previous stage's first class arrives in the place of the second.
    seen: list[Tensor] = []

    def net(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:]], dim=1)

    previous = random_bytes(2, 8, 8)
    window = Window(patch=(8, 8), exclusive=True, mirror_axes=(1,), mirror_swap=(0, 2, 1))
    predict_image([Fixed(net)], noise(1, 8, 8), window, Intensity.identity(1), previous=previous)
    plain, mirrored = (x[0].numpy() for x in seen)
    np.testing.assert_allclose(plain[1:], previous / 255, atol=1e-7)
    np.testing.assert_array_equal(mirrored, np.concatenate([plain[:1], plain[2:], plain[1:2]])[:, :, ::-1])


def test_the_previous_stages_channels_are_not_normalised() -> None:
    net = same()
    intensity = Intensity(mean=(10,), std=(4,), lower=(5,), upper=(40,))
    previous = random_bytes(2, 8, 8)
    predict_image([net], np.full((1, 8, 8), 30, np.uint8), Window(patch=(8, 8), exclusive=False), intensity, previous=previous)
    np.testing.assert_allclose(net.inputs[0][0, 0], 5)
    np.testing.assert_allclose(net.inputs[0][0, 1:], previous / 255, atol=1e-7)


@pytest.mark.parametrize("previous", [np.zeros((2, 8, 9), np.uint8), np.zeros((2, 8, 8), np.float32)])
def test_channels_that_do_not_fit_are_named(previous: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"previous must be uint8 and fit the image's \(8, 8\), got"):
        predict_image([same()], noise(1, 8, 8), Window(patch=(8, 8), exclusive=False), Intensity.identity(1), previous=previous)


def test_bands_are_rows_in_order_and_no_wider_than_open() -> None:
    image = noise(1, 50, 20)
    bands = list(predict_bands([same()], image, Window(patch=(16, 16), exclusive=False), Intensity.identity(1)))
    assert len(bands) > 2
    assert [band.rows.start for band in bands[1:]] == [band.rows.stop for band in bands[:-1]]
    assert (bands[0].rows.start, bands[-1].rows.stop) == (0, 50)
    assert all(band.probabilities.shape == (1, band.rows.stop - band.rows.start, 20) for band in bands)


def small_unet(axes: int) -> nn.Module:
    torch.manual_seed(0)
    stages = ((1,) * axes, (2,) * axes)
    return build_unet(Network(in_channels=1, num_heads=3, features=(8, 16), strides=stages, kernels=((3,) * axes,) * 2)).eval()


@pytest.mark.parametrize(("shape", "patch"), [((32, 32), (32, 32)), ((16, 16, 16), (16, 16, 16)), ((3, 32, 32), (32, 32))])
def test_a_unet_in_one_tile_is_the_unet(shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
    net, image = small_unet(len(patch)), noise(1, *shape)
    batch = torch.from_numpy(image).unsqueeze(0) if len(shape) == len(patch) else torch.from_numpy(image).movedim(1, 0)
    with torch.inference_mode():
        expected = net(batch)[0].softmax(dim=1)
    expected = expected[0] if len(shape) == len(patch) else expected.movedim(0, 1)
    np.testing.assert_allclose(predict(net, image, patch, exclusive=True, batch=2), expected.numpy(), atol=1e-5)


def test_bf16_agrees_with_fp32() -> None:
    net, image = small_unet(2), noise(1, 40, 40)
    exact, fast = (predict(net, image, (32, 32), precision=precision) for precision in ("fp32", "bf16"))
    assert np.abs(exact - fast).max() < 0.03


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_cuda_agrees_with_the_cpu(precision: str) -> None:
    if precision == "bf16" and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("bf16 needs capability 8.0")
    net, image = small_unet(2), noise(1, 40, 70)
    exact = predict(net, image, (32, 32), mirror_axes=(0, 1), batch=3)
    fast = predict(net.cuda(), image, (32, 32), mirror_axes=(0, 1), batch=3, precision=precision, device=torch.device("cuda"))
    assert np.abs(exact - fast).max() < 0.03


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="does not fit 2 channels"):
        predict_image([same()], noise(1, 8, 8), Window(patch=(8, 8), exclusive=False), Intensity.identity(2))
    with pytest.raises(ValueError, match="patch of"):
        predict(same(), noise(1, 8, 8), (8, 8, 8))
    with pytest.raises(ValueError, match="mirror_axes"):
        Window(patch=(8, 8), exclusive=False, mirror_axes=(2,))
