"""Every loss by its name: against its formula written out in numpy, and what all of them must do."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.losses import LOSSES, PIXEL_WEIGHTS, DeepSupervision, Targets
from autoseg.recipe import LOSS_FOR, LossName
from tests import small
from tests.losses.make import Array, heads, labelled, logits_of, pixels, targets_of

#: Each loss with the kinds of classes that it is for.
KINDS = [(name, exclusive) for name in LOSSES for exclusive in (False, True) if LOSS_FOR.get(name, exclusive) == exclusive]
kinds = pytest.mark.parametrize(("name", "exclusive"), KINDS)


def evaluate(name: str, logits: Tensor, targets: Targets, *, exclusive: bool) -> Tensor:
    of = heads(exclusive=exclusive)
    if name in PIXEL_WEIGHTS:
        targets = replace(targets, emphasis=PIXEL_WEIGHTS[name](targets, of))
    return LOSSES[name](logits, targets, of)


def probabilities(x: Array, *, exclusive: bool) -> Array:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True) if exclusive else 1 / (1 + np.exp(-x))


def entropy(p: Array, t: Array, w: Array, *, exclusive: bool, gamma: int = 0) -> float:
    """Focal loss by the share of the right answer, as in the paper: targets are 0 or 1."""
    right = (p * t).sum(1, keepdims=True) if exclusive else np.where(t > 0, p, 1 - p)
    known = w * t.sum(1, keepdims=True) if exclusive else w  # nothing is right where nothing is labelled
    values = np.where(known > 0, -((1 - right) ** gamma) * np.log(np.where(known > 0, right, 1)), 0)
    return float((values * w).sum(0).mean() / w.sum())


def overlap(p: Array, t: Array, w: Array, *, alpha: float, beta: float) -> float:
    hit, surplus, missed = ((a * b * w).sum(0) for a, b in ((p, t), (p, 1 - t), (1 - p, t)))
    return float(1 - np.mean(hit / (hit + alpha * surplus + beta * missed)))


def formula(name: str, x: Array, t: Array, w: Array, *, exclusive: bool) -> float:
    p = probabilities(x, exclusive=exclusive)
    classes = slice(1, None) if exclusive else slice(None)
    kinds: dict[str, Callable[[], float]] = {
        "ce": lambda: entropy(p, t, w, exclusive=exclusive),
        "focal": lambda: entropy(p, t, w, exclusive=exclusive, gamma=2),
        "dice": lambda: overlap(p[:, classes], t[:, classes], w, alpha=0.5, beta=0.5),
        "tversky": lambda: overlap(p[:, classes], t[:, classes], w, alpha=0.3, beta=0.7),
        "jaccard": lambda: overlap(p[:, classes], t[:, classes], w, alpha=1, beta=1),
    }
    return sum(kinds[part]() for part in name.replace("bce", "ce").split("_"))


def test_the_recipes_names_are_the_losses() -> None:
    assert set(get_args(LossName)) == LOSSES.keys() >= PIXEL_WEIGHTS.keys()
    assert LOSSES.keys() >= LOSS_FOR.keys()


@pytest.mark.parametrize("patch", [(6, 7), (3, 4, 5)])
@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(("name", "exclusive"), [kind for kind in KINDS if kind[0] not in ("ms_ssim", "border_ce")])
def test_losses_are_their_formulas(name: str, exclusive: bool, ignore: bool, patch: tuple[int, ...]) -> None:
    targets, logits = targets_of(patch, exclusive=exclusive, ignore=ignore), logits_of(patch, exclusive=exclusive)
    expected = formula(name, pixels(logits), pixels(targets.channels), labelled(targets), exclusive=exclusive)
    assert float(evaluate(name, logits, targets, exclusive=exclusive)) == pytest.approx(expected, rel=1e-4)


@kinds
def test_unlabelled_pixels_have_no_influence(name: str, exclusive: bool) -> None:
    targets, logits = targets_of((8, 8), exclusive=exclusive, ignore=True), logits_of((8, 8), exclusive=exclusive).requires_grad_()
    assert targets.weight is not None
    ignored = targets.weight == 0
    assert 0 < int(ignored.sum()) < ignored.numel()
    loss = evaluate(name, logits, targets, exclusive=exclusive)
    torch.autograd.backward(loss)
    assert logits.grad is not None
    touched = logits.grad.abs().sum(1, keepdim=True) > 0
    assert not (touched & ignored).any()
    assert touched[~ignored].all()
    moved = logits.detach() + 50 * ignored
    assert float(evaluate(name, moved, targets, exclusive=exclusive)) == pytest.approx(float(loss.detach()), rel=1e-6)


@kinds
def test_a_batch_without_a_labelled_pixel_teaches_nothing(name: str, exclusive: bool) -> None:
    targets = targets_of((8, 8), exclusive=exclusive, ignore=True)
    nothing = Targets(channels=targets.channels * 0, weight=torch.zeros(2, 1, 8, 8))
    logits = logits_of((8, 8), exclusive=exclusive).requires_grad_()
    loss = evaluate(name, logits, nothing, exclusive=exclusive)
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("size", [0.0, 1.0, 40.0])
@kinds
def test_gradients_of_empty_masks_are_finite(name: str, exclusive: bool, size: float) -> None:
    channels = torch.zeros(2, 2 + exclusive, 16, 16)
    if exclusive:
        channels[:, 0] = 1
    logits = (size * logits_of((16, 16), exclusive=exclusive)).requires_grad_()
    loss = evaluate(name, logits, Targets(channels=channels, weight=None), exclusive=exclusive)
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
    assert bool(torch.isfinite(loss))


@kinds
def test_a_certain_and_right_net_loses_nothing_and_a_wrong_one_much(name: str, exclusive: bool) -> None:
    targets = targets_of((16, 16), exclusive=exclusive)
    right, wrong = (float(evaluate(name, sign * (2 * targets.channels - 1), targets, exclusive=exclusive)) for sign in (100, -100))
    assert right == pytest.approx(0, abs=1e-4)
    assert wrong > 0.9


@kinds
def test_half_precision_is_computed_in_fp32(name: str, exclusive: bool) -> None:
    # 256 x 256 pixels: sums beyond fp16's 65,504.
    targets, logits = targets_of((256, 256), exclusive=exclusive), logits_of((256, 256), exclusive=exclusive)
    loss = evaluate(name, logits.half(), targets, exclusive=exclusive)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(evaluate(name, logits.half().float(), targets, exclusive=exclusive)), rel=1e-6)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("name", ["focal", "border_ce", "ms_ssim"])
def test_a_batch_is_the_mean_of_its_samples(name: str, exclusive: bool) -> None:
    # The overlap losses take a batch together; these may be split into micro-batches.
    targets, logits = targets_of((16, 16), exclusive=exclusive), logits_of((16, 16), exclusive=exclusive)
    parts = [Targets(channels=targets.channels[i : i + 1], weight=None) for i in range(2)]
    single = [float(evaluate(name, logits[i : i + 1], part, exclusive=exclusive)) for i, part in enumerate(parts)]
    assert float(evaluate(name, logits, targets, exclusive=exclusive)) == pytest.approx(sum(single) / 2, rel=1e-5)


@kinds
def test_the_weights_of_classes_are_relative(name: str, exclusive: bool) -> None:
    targets, logits = targets_of((16, 16), exclusive=exclusive, ignore=True), logits_of((16, 16), exclusive=exclusive)

    def of(*weights: float) -> float:
        return float(LOSSES[name](logits, targets, heads(exclusive=exclusive, weights=weights)))

    plain = float(LOSSES[name](logits, targets, heads(exclusive=exclusive)))
    assert of(1, 1) == pytest.approx(plain, rel=1e-5)
    if not exclusive:
        assert of(3, 3) == pytest.approx(plain, rel=1e-5)
        assert of(1, 1e-9) + of(1e-9, 1) == pytest.approx(2 * plain, rel=1e-4)
    assert of(4, 1) != pytest.approx(plain, rel=1e-4)


@kinds
def test_deep_supervision_serves_all(name: str, exclusive: bool) -> None:
    given = small.batch(ignore=True)
    given.table[..., 1] &= ~given.table[..., 0]
    generator = torch.Generator().manual_seed(3)
    logits = [torch.randn((2, 2 + exclusive, n, n), generator=generator, requires_grad=True) for n in (16, 8, 4)]
    loss = DeepSupervision(name, (0.2, 0.1), exclusive=exclusive, weights=[2.0, 1.0])
    assert loss.state_dict() == {}
    total = loss(logits, given.codes, given.table, given.ignore)
    torch.autograd.backward(total)
    assert all(scale.grad is not None and bool(scale.grad.any()) and bool(torch.isfinite(scale.grad).all()) for scale in logits)
