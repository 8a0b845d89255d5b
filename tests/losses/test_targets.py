"""Codes become the channels that a person would write down."""

import pytest
import torch
from torch import Tensor

from autoseg.losses import Targets, expand_codes
from tests import small


def by_hand(codes: Tensor, table: Tensor, ignore: Tensor | None, *, exclusive: bool) -> tuple[list[list[float]], list[float]]:
    """Channels and weight of each pixel, one pixel at a time."""
    channels, weights = [], []
    for n, sample in enumerate(codes):
        for code in sample.flatten().tolist():
            members = [float(value) for value in table[n, code]]
            ignored = ignore is not None and bool(ignore[n, code])
            background = [float(not any(members) and not ignored)] if exclusive else []
            if exclusive and sum(members) > 1:
                members = [value / sum(members) for value in members]
            channels.append(background + members)
            weights.append(float(not ignored))
    return channels, weights


@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 4)])
@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
def test_each_pixel_says_what_its_code_means(shape: tuple[int, ...], ignore: bool, exclusive: bool) -> None:
    given = small.batch(3, shape, ignore=ignore, sets=7, classes=4)
    targets = expand_codes(given.codes, given.table, given.ignore, exclusive=exclusive)
    channels, weights = by_hand(given.codes, given.table, given.ignore, exclusive=exclusive)
    assert targets.channels.dtype == torch.float32
    assert targets.channels.shape == (3, 4 + exclusive, *shape)
    assert torch.allclose(targets.channels.movedim(1, -1).reshape(-1, 4 + exclusive), torch.tensor(channels))
    if ignore:
        assert targets.weight is not None
        assert targets.weight.shape == (3, 1, *shape)
        assert targets.weight.flatten().tolist() == weights
    else:
        assert targets.weight is None


def test_codes_beyond_bf16_stay_exact() -> None:
    # bf16 would make 256 of 257.
    table = torch.zeros((1, 300, 1), dtype=torch.bool)
    table[0, 257] = True
    codes = torch.arange(300, dtype=torch.int32).reshape(1, 1, 300)
    with torch.autocast("cpu", torch.bfloat16):
        channels = expand_codes(codes, table, None, exclusive=False).channels
    assert channels.flatten().nonzero().tolist() == [[257]]


@pytest.mark.parametrize("stride", [(2, 2), (1, 4), (4, 2)])
def test_coarse_targets_are_area_averages(stride: tuple[int, int]) -> None:
    fine = torch.rand(2, 3, 8, 8)
    pooled = Targets(channels=fine, weight=None).pooled(stride)
    a, b = stride
    for y in range(8 // a):
        for x in range(8 // b):
            expected = fine[:, :, y * a : (y + 1) * a, x * b : (x + 1) * b].mean((2, 3))
            torch.testing.assert_close(pooled.channels[:, :, y, x], expected)
    assert pooled.weight is None


def test_three_axes_average_too() -> None:
    fine = torch.rand(1, 2, 4, 4, 4)
    pooled = Targets(channels=fine, weight=None).pooled((1, 2, 2)).channels
    torch.testing.assert_close(pooled[0, :, 3, 1, 0], fine[0, :, 3, 2:4, 0:2].mean((1, 2)))


def test_unlabelled_pixels_count_in_no_average() -> None:
    channels = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    weight = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    pooled = Targets(channels=channels, weight=weight).pooled((1, 2))
    assert pooled.channels.flatten().tolist() == [1.0, 0.0]  # the one labelled pixel of the first pair; none in the second
    assert pooled.weight is not None
    assert pooled.weight.flatten().tolist() == [0.5, 0.0]


def test_averages_of_averages_are_averages() -> None:
    # Scale after scale, as deep supervision takes them: shares stay in [0, 1] beside unlabelled pixels.
    given = small.batch(2, (8, 8), ignore=True)
    fine = expand_codes(given.codes, given.table, given.ignore, exclusive=False)
    twice, once = fine.pooled((2, 2)).pooled((2, 1)), fine.pooled((4, 2))
    assert twice.weight is not None
    assert once.weight is not None
    torch.testing.assert_close(twice.weight, once.weight)
    torch.testing.assert_close(twice.channels, once.channels)
    assert float(twice.channels.max()) <= 1
