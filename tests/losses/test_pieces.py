"""Dice with cross-entropy in pieces against the plain one: value and gradient."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.losses import DeepSupervision, Heads, Targets, pieces
from autoseg.losses.named import LOSSES
from autoseg.losses.named import dice_cross_entropy as plain_loss
from autoseg.losses.pieces import dice_cross_entropy_in_pieces as loss_in_pieces
from tests import small
from tests.losses.make import heads, logits_of, targets_of

SHAPES = [(16, 12), (5, 4, 6)]


def run(loss: Any, logits: Tensor, targets: Targets, of: Heads) -> tuple[Tensor, Tensor]:
    x = logits.detach().requires_grad_()
    value = loss(x, targets, of)
    # Not 1, so that the gradient that comes from outside counts.
    (3 * value).backward()
    assert x.grad is not None
    return value.detach(), x.grad


@pytest.fixture(params=[7, 200, 2**18], ids="pieces of {}".format)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(pieces, "PIECE", request.param)
    return int(request.param)


@pytest.fixture(params=[1, 16], ids=["heads side by side", "pixels side by side"])
def layout_of_a_piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MANY_HEADS", request.param)


@pytest.mark.usefixtures("piece", "layout_of_a_piece")
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient_are_the_plain_ones(
    shape: tuple[int, ...], weights: tuple[float, ...] | None, ignore: bool, exclusive: bool
) -> None:
    logits, targets = 3 * logits_of(shape, exclusive=exclusive), targets_of(shape, exclusive=exclusive, ignore=ignore)
    of = heads(exclusive=exclusive, scales=[1.3] if exclusive else [0.4, 1.7], weights=weights)
    for plain, ours in zip(run(plain_loss, logits, targets, of), run(loss_in_pieces, logits, targets, of), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("layout_of_a_piece")
@pytest.mark.parametrize("exclusive", [False, True])
def test_partly_labelled_pixels_count_as_in_the_plain_loss(exclusive: bool) -> None:
    targets = targets_of((16, 12), exclusive=exclusive, ignore=True).pooled((4, 4))
    assert targets.weight is not None
    assert ((targets.weight > 0) & (targets.weight < 1)).any()
    logits, of = logits_of((4, 3), exclusive=exclusive), heads(exclusive=exclusive)
    for plain, ours in zip(run(plain_loss, logits, targets, of), run(loss_in_pieces, logits, targets, of), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("layout_of_a_piece")
@pytest.mark.parametrize("exclusive", [False, True])
def test_bf16_logits_are_computed_in_fp32(exclusive: bool) -> None:
    logits, targets, of = (
        logits_of((16, 12), exclusive=exclusive).bfloat16(),
        targets_of((16, 12), exclusive=exclusive),
        heads(exclusive=exclusive),
    )
    value, gradient = run(loss_in_pieces, logits, targets, of)
    expected, exact = run(plain_loss, logits.float(), targets, of)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    assert gradient.dtype == torch.bfloat16
    # One rounding of the gradient to 8 bits of mantissa.
    torch.testing.assert_close(gradient.float(), exact, rtol=2**-8, atol=1e-7)


@pytest.mark.usefixtures("layout_of_a_piece")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_lies_as_the_logits_do(layout: torch.memory_format) -> None:
    logits = logits_of((16, 12), exclusive=True).contiguous(memory_format=layout)
    targets, of = targets_of((16, 12), exclusive=True), heads(exclusive=True)
    _, gradient = run(loss_in_pieces, logits, targets, of)
    assert gradient.is_contiguous(memory_format=layout)
    torch.testing.assert_close(gradient, run(plain_loss, logits, targets, of)[1], rtol=1e-5, atol=1e-7)


def test_nothing_labelled_costs_the_same() -> None:
    targets = replace(targets_of((8, 8), exclusive=False), weight=torch.zeros(2, 1, 8, 8))
    logits, of = logits_of((8, 8), exclusive=False), heads(exclusive=False)
    value, gradient = run(loss_in_pieces, logits, targets, of)
    assert value == plain_loss(logits, targets, of)
    assert not gradient.any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_named_loss_is_the_same_in_pieces(name: str) -> None:
    loss, batch = DeepSupervision(name, (0.2, 0.1), exclusive=False), small.batch(2, (32, 32))
    generator = torch.Generator().manual_seed(1)
    logits = [torch.randn((2, 2, 32 >> level, 32 >> level), generator=generator) for level in range(2)]
    plain = loss(logits, batch.codes, batch.table, batch.ignore)
    loss.in_pieces = True
    torch.testing.assert_close(loss(logits, batch.codes, batch.table, batch.ignore), plain, rtol=1e-5, atol=0)
