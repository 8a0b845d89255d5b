"""The loss over all scales."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.errors import UsageError
from autoseg.losses import LOSSES, DeepSupervision, Heads, Targets, expand_codes, scale_weights
from tests import small

PRIORS = (0.2, 0.1)


def test_weights_halve_and_sum_to_one() -> None:
    assert scale_weights(1) == (1.0,)
    assert scale_weights(3) == pytest.approx((4 / 7, 2 / 7, 1 / 7))


def outputs(*edges: int, heads: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn((2, heads, edge, edge), generator=generator) for edge in edges]


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("name", ["dice_bce", "dice_ce"])
def test_each_scale_sees_area_averages(name: str, ignore: bool) -> None:
    exclusive = name == "dice_ce"
    given = small.batch(ignore=ignore)
    if exclusive:
        given.table[:] = torch.eye(4, dtype=torch.bool)[:, 2:]
        given.table[:, -1] &= not ignore
    logits = outputs(16, 8, 4, heads=2 + exclusive)
    loss = DeepSupervision(name, PRIORS, exclusive=exclusive)
    fine = expand_codes(given.codes, given.table, given.ignore, exclusive=exclusive)
    expected = torch.zeros(())
    for weight, scale, stride in zip((4 / 7, 2 / 7, 1 / 7), logits, (1, 2, 4), strict=True):
        targets = fine
        if fine.weight is None:
            targets = Targets(channels=F.avg_pool2d(fine.channels, stride), weight=None)
        else:
            labelled = F.avg_pool2d(fine.weight, stride)
            targets = Targets(channels=F.avg_pool2d(fine.channels, stride) / labelled.clamp(min=1e-6), weight=labelled)
        expected = expected + weight * LOSSES[name](scale, targets, Heads(exclusive=exclusive, scales=loss.scales))
    total = loss(logits, given.codes, given.table, given.ignore)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, expected)


def test_its_constants_are_no_weights() -> None:
    loss = DeepSupervision("dice_bce", PRIORS, exclusive=False)
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}


def test_an_unknown_loss_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="loss dice is not known; there are dice_ce, "):
        DeepSupervision("dice", PRIORS, exclusive=False)


def test_pixel_weights_are_averaged_like_the_targets() -> None:
    fine = Targets(channels=torch.ones(1, 1, 4, 4), weight=None, emphasis=torch.arange(16.0).reshape(1, 1, 4, 4))
    coarse = fine.pooled((2, 2)).emphasis
    assert coarse is not None
    assert coarse.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    labelled = torch.ones(1, 1, 4, 4)
    labelled[..., 0] = 0
    coarse = Targets(channels=fine.channels, weight=labelled, emphasis=fine.emphasis).pooled((2, 2)).emphasis
    assert coarse is not None
    assert coarse.flatten().tolist() == [3.0, 4.5, 11.0, 12.5]
