"""What augmentation does to an image is distributed as what batchgenerators' transforms do to it, with nnU-Net's settings.

Intensity: 200 draws of each side on one image of 64 x 64. Compared are the images' means, standard deviations and skewnesses, each by its
average and its spread over the draws, and the histogram over all draws. The averages may differ by four standard errors, the spreads by a
quarter, the histograms by a total variation of 0.02 (two runs of batchgenerators with different seeds are within 0.014 of each other).
Spatial: the parameters, by Kolmogorov and Smirnov's test at 0.001.

batchgenerators is called as nnU-Net calls it, with nnU-Net 2.8.1's linear interpolation after the low resolution (before, it was cubic).
Both libraries draw the noise's standard deviation from what they call its variance, and so does autoseg. Scaling follows nnU-Net 2.8.1,
whose factors are uniform over the range; batchgenerators' lie below 1 in half of the draws.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from batchgenerators.augmentations import spatial_transformations
from batchgenerators.transforms.color_transforms import BrightnessMultiplicativeTransform, ContrastAugmentationTransform, GammaTransform
from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, GaussianNoiseTransform
from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp, skew

from autoseg.augment import Intensity, SampleDraw, draw_sample, sample_rng
from autoseg.augment.intensity import augment_intensity_
from autoseg.recipe import Augmentation

DRAWS, EDGE = 200, 64
STANDARD_ERRORS, SPREAD, TOTAL_VARIATION = 4.0, 0.25, 0.02
Images = NDArray[np.float64]

#: By autoseg's probability: the same of batchgenerators, always applied; half of the channels where nnU-Net does half.
INTENSITY: dict[str, Callable[[], Any]] = {
    "noise_p": lambda: GaussianNoiseTransform(noise_variance=(0, 0.1), p_per_sample=1),
    "blur_p": lambda: GaussianBlurTransform((0.5, 1.0), different_sigma_per_channel=True, p_per_sample=1, p_per_channel=0.5),
    "brightness_p": lambda: BrightnessMultiplicativeTransform(multiplier_range=(0.75, 1.25), p_per_sample=1),
    "contrast_p": lambda: ContrastAugmentationTransform(p_per_sample=1),
    "lowres_p": lambda: SimulateLowResolutionTransform(
        zoom_range=(0.5, 1), per_channel=True, p_per_channel=0.5, order_downsample=0, order_upsample=1, p_per_sample=1
    ),
    "gamma_inverted_p": lambda: GammaTransform((0.7, 1.5), True, True, retain_stats=True, p_per_sample=1),
    "gamma_p": lambda: GammaTransform((0.7, 1.5), False, True, retain_stats=True, p_per_sample=1),
}


def always(**probabilities: float) -> Augmentation:
    """Nothing but these; everything else as it is by default."""
    off = {name: 0.0 for name in vars(Augmentation()) if name.endswith("_p")}
    given: dict[str, Any] = {**off, **probabilities}
    return Augmentation(**given)


def picture() -> NDArray[np.float32]:
    """Smooth and rough, not symmetric, normalised."""
    rng = np.random.default_rng(0)
    x = np.exp(gaussian_filter(rng.normal(size=(EDGE, EDGE)), 4) * 8) + 0.3 * rng.normal(size=(EDGE, EDGE))
    return np.asarray((x - x.mean()) / x.std(), np.float32)


def draws(augmentation: Augmentation, num: int = DRAWS, axes: int = 2, *, rotation: float = 180.0) -> list[SampleDraw]:
    mirror = tuple(range(axes))
    return [
        draw_sample(sample_rng(0, "0", k, 0), augmentation, num_channels=1, num_axes=axes, mirror_axes=mirror, rotation=rotation)
        for k in range(num)
    ]


def ours(name: str) -> Images:
    images = []
    for draw in draws(always(**{name: 1.0})):
        x = torch.from_numpy(picture()[None].copy())
        augment_intensity_(x, draw, Intensity.identity(1))
        images.append(x[0].double().numpy())
    return np.stack(images)


def theirs(name: str) -> Images:
    transform = INTENSITY[name]()
    return np.stack([transform(data=picture()[None, None].astype(np.float64))["data"][0, 0] for _ in range(DRAWS)])


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """batchgenerators draws from the global generators of numpy and of the standard library."""
    state = random.getstate(), np.random.get_state()
    random.seed(1)
    np.random.seed(1)
    yield
    random.setstate(state[0])
    np.random.set_state(state[1])


@pytest.mark.parametrize("name", INTENSITY)
def test_moments_and_histograms_are_batchgenerators(name: str) -> None:
    mine, other = ours(name), theirs(name)
    for moment in (np.mean, np.std, skew):
        a, b = (np.array([moment(image.ravel()) for image in images]) for images in (mine, other))
        error = np.sqrt((a.var() + b.var()) / DRAWS)
        # 1e-3: rounding to fp32, and a blur cut at 4 deviations rather than at the nearest pixel to them.
        assert abs(a.mean() - b.mean()) < STANDARD_ERRORS * error + 1e-3, moment.__name__
        assert a.std() == pytest.approx(b.std(), rel=SPREAD, abs=2e-3), moment.__name__
    edges = np.linspace(-4, 6, 41)
    shares = [np.histogram(images, edges)[0] / images.size for images in (mine, other)]
    assert np.abs(shares[0] - shares[1]).sum() / 2 < TOTAL_VARIATION


def spatial_parameters(monkeypatch: pytest.MonkeyPatch, num: int, dim: int, *, turn_by: float = np.pi) -> dict[str, NDArray[np.float64]]:
    """Angles and factors that batchgenerators turns and scales with, nnU-Net's ranges, always applied."""
    seen: dict[str, list[Any]] = {"angles": [], "factors": []}

    def turn(coordinates: Any, *angles: float) -> Any:
        seen["angles"].append(angles)
        return coordinates

    def scale(coordinates: Any, factor: float) -> Any:
        seen["factors"].append(factor)
        return coordinates

    monkeypatch.setattr(spatial_transformations, f"rotate_coords_{dim}d", turn)
    monkeypatch.setattr(spatial_transformations, "scale_coords", scale)
    turns = {f"angle_{axis}": (-turn_by, turn_by) for axis in "xyz"}
    for _ in range(num):
        spatial_transformations.augment_spatial(
            np.zeros((1, 1, *[2] * dim)), None, (2,) * dim, patch_center_dist_from_border=0, do_elastic_deform=False, scale=(0.7, 1.4),
            order_data=1, random_crop=False, **turns,
        )  # fmt: skip
    return {name: np.array(values) for name, values in seen.items()}


def test_angles_are_batchgenerators_and_factors_nnunets(monkeypatch: pytest.MonkeyPatch) -> None:
    other = spatial_parameters(monkeypatch, 1000, 2)
    matrices = np.array([draw.matrix for draw in draws(always(rotation_p=1, scaling_p=1), 1000)])
    assert ks_2samp(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]), other["angles"][:, 0]).pvalue > 0.001
    factors = np.sqrt(np.linalg.det(matrices))
    for side in (np.less, np.greater):
        # On either side of 1 both are uniform; how often each side is drawn is where the libraries differ.
        assert ks_2samp(factors[side(factors, 1)], other["factors"][side(other["factors"], 1)]).pvalue > 0.001
    assert np.mean(other["factors"] < 1) == pytest.approx(0.5, abs=0.05)
    assert np.mean(factors < 1) == pytest.approx(0.3 / 0.7, abs=0.05)


def test_volumes_turn_about_three_axes_by_batchgenerators_angles(monkeypatch: pytest.MonkeyPatch) -> None:
    other = spatial_parameters(monkeypatch, 500, 3, turn_by=np.pi / 6)["angles"]
    m = np.array([draw.matrix for draw in draws(always(rotation_p=1), 500, 3, rotation=30.0)])
    # Of the product of three turns the first row and the last column give the angles back, as long as none exceeds a right angle.
    mine = (np.arctan2(-m[:, 1, 2], m[:, 2, 2]), np.arcsin(-m[:, 0, 2]), np.arctan2(-m[:, 0, 1], m[:, 0, 0]))
    for angles in mine:
        assert np.abs(angles).max() <= np.pi / 6
        assert ks_2samp(angles, other.ravel()).pvalue > 0.001


@pytest.mark.parametrize("axes", [2, 3])
def test_flips_are_batchgenerators(axes: int) -> None:
    # Numbers in order tell which axes were reversed.
    image = np.arange(2**axes, dtype=np.float64).reshape(1, 1, *[2] * axes)
    transform = MirrorTransform(axes=tuple(range(axes)))
    first = [transform(data=image.copy())["data"].ravel()[0] for _ in range(1000)]
    mine = [sum(2 ** (axes - 1 - axis) for axis in draw.flips) for draw in draws(always(flip_p=0.5), 1000, axes)]
    for value in range(2**axes):
        assert np.mean(np.equal(mine, value)) == pytest.approx(np.mean(np.equal(first, value)), abs=0.06)
