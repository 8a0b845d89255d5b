"""Depth, strides, kernels and widths against nnU-Net's published rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.planners.topology import MIN_EDGE, pooling, unet


@pytest.mark.parametrize(
    ("patch", "stages"),
    [
        ((2048, 2048), 10),  # nnU-Net's plan at 32 GB
        ((1280, 1024), 9),  # and at 8 GB
        ((512, 512), 8),
        ((96, 96), 5),  # edges 96, 48, 24, 12, 6
        ((100, 100), 5),
        ((8, 8), 2),
        ((7, 7), 1),
        ((64, 64, 64), 5),
    ],
)
def test_depth(patch: tuple[int, ...], stages: int) -> None:
    strides, kernels = pooling(patch, (1.0,) * len(patch))
    assert len(strides) == len(kernels) == stages
    assert strides[0] == (1,) * len(patch)
    assert all(kernel == (3,) * len(patch) for kernel in kernels)


@pytest.mark.parametrize(
    ("residual", "up", "convs", "expected"),
    [(False, None, 2, 2), (False, 1, 2, 1), (False, 2, 2, 2), (True, None, 1, 1), (True, 1, 1, 1), (True, 2, 1, 2)],
)
def test_convolutions_of_encoder_and_decoder(residual: bool, up: int | None, convs: int, expected: int) -> None:
    _, network = unet((64, 64), (1.0, 1.0), in_channels=1, num_heads=2, residual=residual, decoder_convs=up)
    assert (network.convs, network.convs_up, bool(network.blocks)) == (convs, expected, residual)


def test_thick_slices_are_pooled_later() -> None:
    strides, kernels = pooling((20, 320, 320), (5.0, 0.7, 0.7))
    # In plane 0.7, 1.4, 2.8: within a factor of two of 5 mm at the third stage, from which z is convolved and pooled too.
    assert strides[:5] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert kernels[:4] == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))


def test_kernels_once_grown_stay() -> None:
    # z has 8 slices, pooled once: then in-plane spacing overtakes it.
    _, kernels = pooling((8, 256, 256), (2.0, 1.0, 1.0))
    grown = [kernel[0] for kernel in kernels]
    assert grown == sorted(grown)


def test_an_axis_that_is_too_short_is_left_alone() -> None:
    strides, _ = pooling((16, 128), (1.0, 1.0))
    assert strides == ((1, 1), (2, 2), (2, 2), (1, 2), (1, 2), (1, 2))


def test_anisotropic_pixels() -> None:
    assert pooling((64, 64), (2.0, 1.0))[0][1] == (1, 2)
    assert pooling((64, 64), (1.9, 1.0))[0][1] == (2, 2)


@pytest.mark.parametrize(("patch", "features"), [((2048, 2048), (32, 64, 128, 256, *[512] * 6)), ((64,) * 3, (32, 64, 128, 256, 320))])
def test_features_double_up_to_their_limit(patch: tuple[int, ...], features: tuple[int, ...]) -> None:
    rounded, network = unet(patch, (1.0,) * len(patch), in_channels=2, num_heads=30)
    assert rounded == patch
    assert network.features == features
    assert (network.in_channels, network.num_heads, network.convs, network.deep_supervision) == (2, 30, 2, True)


@given(st.lists(st.integers(1, 600), min_size=2, max_size=3), st.lists(st.floats(0.2, 8), min_size=3, max_size=3))
def test_any_patch_gets_a_net_that_can_pool_it(patch: list[int], spacing: list[float]) -> None:
    rounded, network = unet(patch, spacing[: len(patch)], in_channels=1, num_heads=1)
    assert len(network.features) >= 2
    for size, given_size, multiple in zip(rounded, patch, network.multiple, strict=True):
        assert size % multiple == 0
        assert 0 <= size - max(given_size, MIN_EDGE) < multiple  # the image stays in view, no more is added than must be
        assert multiple == 1 or size // multiple >= MIN_EDGE
    assert all(features % 8 == 0 for features in network.features)


@given(st.lists(st.integers(4, 600), min_size=3, max_size=3), st.lists(st.floats(0.2, 8), min_size=3, max_size=3))
def test_an_axis_is_convolved_across_from_within_a_factor_of_two_on(patch: list[int], spacing: list[float]) -> None:
    strides, kernels = pooling(patch, spacing)
    steps, near = list(spacing), [False] * 3
    for stride, kernel in zip(strides, kernels, strict=True):
        steps = [step * s for step, s in zip(steps, stride, strict=True)]
        near = [was or step < 2 * min(steps) for was, step in zip(near, steps, strict=True)]
        assert kernel == tuple(3 if within else 1 for within in near)


def test_nothing_to_pool_still_makes_two_stages() -> None:
    rounded, network = unet((5, 6), (1.0, 1.0), in_channels=1, num_heads=1)
    assert (rounded, network.strides, network.features) == ((5, 6), ((1, 1), (1, 1)), (32, 32))
