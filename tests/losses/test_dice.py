"""Dice and cross-entropy against their formulas, written out in numpy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.losses import LOSSES, Targets, entropy_scales, expand_codes
from autoseg.losses.dice import soft_dice_loss
from tests import small

Array = NDArray[np.float64]


def logits_of(heads: int, patch: tuple[int, ...], seed: int = 1) -> Tensor:
    return torch.randn((2, heads, *patch), generator=torch.Generator().manual_seed(seed))


def pixels(x: Tensor) -> Array:
    """(N, C, ...) -> (pixels of the batch, C)."""
    return x.detach().double().movedim(1, -1).flatten(0, -2).numpy()


def dice(p: Array, t: Array, w: Array) -> float:
    shared, total = (p * t * w).sum(0), (p * w).sum(0) + (t * w).sum(0)
    return float(1 - np.mean(2 * shared / total))


def bce(x: Array, t: Array, w: Array, scales: Array) -> float:
    p = 1 / (1 + np.exp(-x))
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    return float(np.mean((entropy * w).sum(0) / w.sum() * scales)) + dice(p, t, w)


def ce(x: Array, t: Array, w: Array, scales: Array) -> float:
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    entropy = -(t * np.log(p)).sum(1, keepdims=True)
    return float((entropy * w).sum() / w.sum() * scales[0]) + dice(p[:, 1:], t[:, 1:], w)


FORMULAS: dict[str, Callable[[Array, Array, Array, Array], float]] = {"dice_bce": bce, "dice_ce": ce}


def test_the_table_of_losses() -> None:
    assert LOSSES.keys() == FORMULAS.keys()


def targets_of(name: str, patch: tuple[int, ...], *, ignore: bool) -> Targets:
    given = small.batch(2, patch, ignore=ignore, sets=3 if name == "dice_ce" else 6)
    # Exclusive classes: one class a code.
    table = torch.eye(3, dtype=torch.bool)[:, 1:].expand(2, 3, 2).clone() if name == "dice_ce" else given.table
    if ignore:
        table[:, -1] = False
    return expand_codes(given.codes, table, given.ignore, exclusive=name == "dice_ce")


def evaluate(name: str, logits: Tensor, targets: Targets, scales: Tensor | None = None) -> Tensor:
    scales = torch.ones(1 if name == "dice_ce" else 2) if scales is None else scales
    return LOSSES[name](logits, targets, scales)


@pytest.mark.parametrize("patch", [(6, 7), (3, 4, 5)])
@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_losses_are_their_formulas(name: str, ignore: bool, patch: tuple[int, ...]) -> None:
    targets, logits = targets_of(name, patch, ignore=ignore), logits_of(2 + (name == "dice_ce"), patch)
    scales = torch.tensor([3.0]) if name == "dice_ce" else torch.tensor([3.0, 0.5])
    weight = np.ones((2 * math.prod(patch), 1)) if targets.weight is None else pixels(targets.weight)
    expected = FORMULAS[name](pixels(logits), pixels(targets.channels), weight, pixels(scales[None])[0])
    assert float(evaluate(name, logits, targets, scales)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_unlabelled_pixels_have_no_influence(name: str) -> None:
    targets, logits = targets_of(name, (8, 8), ignore=True), logits_of(2 + (name == "dice_ce"), (8, 8)).requires_grad_()
    assert targets.weight is not None
    ignored = targets.weight == 0
    assert 0 < int(ignored.sum()) < ignored.numel()
    loss = evaluate(name, logits, targets)
    torch.autograd.backward(loss)
    assert logits.grad is not None
    touched = logits.grad.abs().sum(1, keepdim=True) > 0
    assert not (touched & ignored).any()
    assert touched[~ignored].all()
    moved = logits.detach() + 50 * ignored
    assert float(evaluate(name, moved, targets)) == pytest.approx(float(loss.detach()), rel=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_batch_without_a_labelled_pixel_is_finite(name: str) -> None:
    targets = targets_of(name, (4, 4), ignore=True)
    nothing = Targets(channels=targets.channels * 0, weight=torch.zeros(2, 1, 4, 4))
    logits = logits_of(2 + (name == "dice_ce"), (4, 4)).requires_grad_()
    torch.autograd.backward(evaluate(name, logits, nothing))
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", FORMULAS)
def test_a_certain_and_right_net_loses_nothing(name: str) -> None:
    targets = targets_of(name, (8, 8), ignore=False)
    assert float(evaluate(name, 100 * (2 * targets.channels - 1), targets)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
def test_half_precision_is_computed_in_fp32(name: str) -> None:
    # 256 x 256 pixels: sums beyond fp16's 65,504.
    targets, logits = targets_of(name, (256, 256), ignore=False), logits_of(2 + (name == "dice_ce"), (256, 256))
    loss = evaluate(name, logits.half(), targets)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(evaluate(name, logits.half().float(), targets)), rel=1e-6)


def test_dice_takes_the_batch_together() -> None:
    # One sample all right and one all wrong in 1 and 3 pixels: batch Dice 2 * 1 / (4 + 4), not the mean of 1 and 0.
    target = torch.zeros(2, 1, 1, 6)
    target[0, 0, 0, 0] = target[1, 0, 0, 0] = target[1, 0, 0, 1] = target[1, 0, 0, 2] = 1
    guess = target.clone()
    guess[1] = guess[1].flip(-1)
    assert float(soft_dice_loss(guess, target, None)) == pytest.approx(1 - 2 / 8, abs=1e-4)


def test_an_absent_class_found_nowhere_is_right() -> None:
    nothing = torch.zeros(1, 1, 4, 4)
    assert float(soft_dice_loss(nothing, nothing, None)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("area", [1, 3, 32])
def test_overlapping_cross_entropy_is_one_at_the_prior(area: int) -> None:
    # `area` of 64 pixels, and a net that says so everywhere.
    target = (torch.arange(64) < area).float().reshape(1, 1, 8, 8)
    prior = area / 64
    logits = torch.full((1, 1, 8, 8), math.log(prior / (1 - prior)))
    loss = evaluate("dice_bce", logits, Targets(channels=target, weight=None), entropy_scales([prior], exclusive=False))
    assert float(loss - soft_dice_loss(torch.sigmoid(logits), target, None)) == pytest.approx(1, rel=1e-4)


def test_exclusive_cross_entropy_is_one_at_the_priors() -> None:
    priors = [4 / 64, 20 / 64]
    number = torch.bucketize(torch.arange(64), torch.tensor([4, 24]), right=True)  # 4 pixels, then 20, the rest background
    target = torch.nn.functional.one_hot((number + 1) % 3, 3).float().T.reshape(1, 3, 8, 8)
    assert target.sum((0, 2, 3)).tolist() == [40, 4, 20]
    logits = torch.tensor([40 / 64, *priors]).log().reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    loss = evaluate("dice_ce", logits, Targets(channels=target, weight=None), entropy_scales(priors, exclusive=True))
    assert float(loss - soft_dice_loss(torch.softmax(logits, 1)[:, 1:], target[:, 1:], None)) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("priors", [[0.0, 1.0], [1e-9, 0.5], [0.6, 0.6]])
@pytest.mark.parametrize("exclusive", [False, True])
def test_scales_are_finite_for_any_priors(priors: list[float], exclusive: bool) -> None:
    scales: Any = entropy_scales(priors, exclusive=exclusive)
    assert scales.shape == (1 if exclusive else 2,)
    assert bool((scales > 0).all())
    assert bool(torch.isfinite(scales).all())
