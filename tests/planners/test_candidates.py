"""The family of patches and resolutions that a stage may come down to."""

import math

import pytest

from autoseg.planners.candidates import MIN_COARSENING, coarser, lower_resolutions, shrink, smaller_patches
from tests.planners.sets import whole


def test_long_axes_are_cut_first() -> None:
    assert shrink(whole((64, 512)), 128).patch == (64, 128)
    assert shrink(whole((200, 200)), 100).patch == (96, 96)  # 100 is pooled by 16


@pytest.mark.parametrize("shape", [(2048, 2048), (700, 500), (96, 96)])
def test_smaller_patches_miss_no_multiple(shape: tuple[int, int]) -> None:
    stage = whole(shape)
    patches = smaller_patches(stage)
    sizes = [math.prod(candidate.patch) for candidate in patches]
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[0] < math.prod(stage.patch)
    assert patches[-1].patch == (32, 32)
    for larger, smaller in zip([stage, *patches], patches, strict=False):
        # The next one lies one pooling multiple below, or at the first size that pools once less.
        gap = max(a - b for a, b in zip(larger.patch, smaller.patch, strict=True))
        assert gap <= max(larger.network.multiple)


def test_square_images_keep_square_patches() -> None:
    assert all(a == b for a, b in (candidate.patch for candidate in smaller_patches(whole((2048, 2048)))))


def test_coarser_resolutions_show_the_whole_image() -> None:
    stage = whole((512, 512))
    found = coarser(stage)
    for candidate in found:
        factor = candidate.spacing[0] / stage.spacing[0]
        assert candidate.resample
        assert candidate.image_shape == (round(512 / factor),) * 2
        assert all(p >= n for p, n in zip(candidate.patch, candidate.image_shape, strict=True))
    assert [candidate.patch for candidate in found][:2] == [(448, 448), (384, 384)]
    assert found[-1].image_shape == (32, 32)


def test_a_first_stage_has_at_most_half_the_pixels() -> None:
    stage = whole((512, 512))
    found = lower_resolutions(stage)
    assert all(candidate.spacing[0] >= MIN_COARSENING for candidate in found)
    assert found[0].image_shape[0] == 320  # 362 at most; the next patch below 384 that pools by 64
    assert math.prod(found[0].image_shape) <= 512 * 512 / 2


def test_oblong_images_keep_their_shape() -> None:
    stage = whole((200, 800))
    for candidate in coarser(stage)[:5]:
        height, width = candidate.image_shape
        assert width / height == pytest.approx(4, rel=0.05)
