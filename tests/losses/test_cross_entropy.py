"""Cross-entropy and focal loss, against torch's own and in closed form."""

import math

import pytest
import torch
from torch.nn import functional as F

from autoseg.losses import Heads, Targets, entropy_scales
from autoseg.losses.cross_entropy import cross_entropy
from tests.losses.make import heads, logits_of, targets_of


@pytest.mark.parametrize("patch", [(6, 7), (3, 4, 5)])
def test_it_is_torchs_own(patch: tuple[int, ...]) -> None:
    targets, logits = targets_of(patch, exclusive=True), logits_of(patch, exclusive=True)
    numbers = targets.channels.argmax(1)
    assert float(cross_entropy(logits, targets, heads(exclusive=True))[0]) == pytest.approx(
        float(F.cross_entropy(logits, numbers)), rel=1e-5
    )
    weighted = F.cross_entropy(logits, numbers, weight=torch.tensor([1.0, 3.0, 0.5]))
    assert float(cross_entropy(logits, targets, heads(exclusive=True, weights=[3, 0.5]))[0]) == pytest.approx(float(weighted), rel=1e-5)
    targets, logits = targets_of(patch, exclusive=False), logits_of(patch, exclusive=False)
    each = F.binary_cross_entropy_with_logits(logits, targets.channels, reduction="none").movedim(1, 0).flatten(1).mean(1)
    found = cross_entropy(logits, targets, heads(exclusive=False, scales=[2, 1], weights=[3, 1]))[0]
    assert float(found) == pytest.approx(float((2 * 3 * each[0] + each[1]) / 4), rel=1e-5)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("ignore", [False, True])
def test_focal_with_gamma_0_is_cross_entropy(exclusive: bool, ignore: bool) -> None:
    targets, logits = targets_of((8, 8), exclusive=exclusive, ignore=ignore), logits_of((8, 8), exclusive=exclusive)
    plain, probabilities = cross_entropy(logits, targets, heads(exclusive=exclusive))
    # An exponent that changes nothing, through the code that raises to it.
    almost = cross_entropy(logits, targets, heads(exclusive=exclusive), gamma=1e-7)[0]
    assert float(almost) == pytest.approx(float(plain), rel=1e-5)
    torch.testing.assert_close(probabilities, heads(exclusive=exclusive).probabilities(logits))


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.0])
def test_focal_in_closed_form(exclusive: bool, logit: float) -> None:
    p = 1 / (1 + math.exp(-logit))
    logits, channels = torch.full((1, 1, 2, 2), logit), torch.ones(1, 1, 2, 2)
    if exclusive:  # a softmax over 0 and x is the sigmoid of x
        logits, channels = (torch.cat([torch.zeros(1, 1, 2, 2), x], dim=1) for x in (logits, channels))
    of = Heads(exclusive=exclusive, scales=torch.ones(1))
    loss, _ = cross_entropy(logits, Targets(channels=channels, weight=None), of, gamma=2.0)
    assert float(loss) == pytest.approx((1 - p) ** 2 * -math.log(p), rel=1e-5)


def test_focal_asks_for_the_share_where_a_coarse_pixel_holds_several() -> None:
    share = torch.full((1, 1, 4, 4), 0.3)
    of = Heads(exclusive=False, scales=torch.ones(1))
    losses = [
        float(cross_entropy(torch.full((1, 1, 4, 4), math.log(p / (1 - p))), Targets(channels=share, weight=None), of, gamma=2.0)[0])
        for p in (0.2, 0.3, 0.4)
    ]
    assert losses[1] == pytest.approx(0, abs=1e-9)
    assert min(losses[0], losses[2]) > 1e-3


@pytest.mark.parametrize("area", [1, 3, 32])
def test_overlapping_cross_entropy_is_one_at_the_prior(area: int) -> None:
    # `area` of 64 pixels, and a net that says so everywhere.
    target = (torch.arange(64) < area).float().reshape(1, 1, 8, 8)
    prior = area / 64
    logits = torch.full((1, 1, 8, 8), math.log(prior / (1 - prior)))
    of = Heads(exclusive=False, scales=entropy_scales([prior], exclusive=False))
    assert float(cross_entropy(logits, Targets(channels=target, weight=None), of)[0]) == pytest.approx(1, rel=1e-4)


def test_exclusive_cross_entropy_is_one_at_the_priors() -> None:
    priors = [4 / 64, 20 / 64]
    number = torch.bucketize(torch.arange(64), torch.tensor([4, 24]), right=True)  # 4 pixels, then 20, the rest background
    target = F.one_hot((number + 1) % 3, 3).float().T.reshape(1, 3, 8, 8)
    assert target.sum((0, 2, 3)).tolist() == [40, 4, 20]
    logits = torch.tensor([40 / 64, *priors]).log().reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    of = Heads(exclusive=True, scales=entropy_scales(priors, exclusive=True))
    assert float(cross_entropy(logits, Targets(channels=target, weight=None), of)[0]) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("priors", [[0.0, 1.0], [1e-9, 0.5], [0.6, 0.6]])
@pytest.mark.parametrize("exclusive", [False, True])
def test_scales_are_finite_for_any_priors(priors: list[float], exclusive: bool) -> None:
    scales = entropy_scales(priors, exclusive=exclusive)
    assert scales.shape == (1 if exclusive else 2,)
    assert bool((scales > 0).all())
    assert bool(torch.isfinite(scales).all())
