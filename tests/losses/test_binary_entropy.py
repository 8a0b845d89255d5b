"""Values and gradients are torch's own, and no tensor but the result is made."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.losses.binary_entropy import binary_entropy, mean_binary_entropy
from autoseg.memory import LiveBytes

SHAPE = (2, 3, 5, 4)


def given(*, weighted: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(SHAPE, generator=generator)).requires_grad_()
    weight = (torch.rand((2, 1, 5, 4), generator=generator) > 0.4).float()
    return logits, torch.rand(SHAPE, generator=generator), weight if weighted else None


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logits)[0]


def test_each_pixel_is_torchs() -> None:
    logits, target, _ = given(weighted=False)
    factors = torch.linspace(0.5, 2, logits.numel()).reshape(SHAPE)
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(binary_entropy(logits, target), expected)
    ours, torchs = ((entropy * factors).sum() for entropy in (binary_entropy(logits, target), expected))
    torch.testing.assert_close(gradient(ours, logits), gradient(torchs, logits))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_is_that_of_the_labelled_pixels(weighted: bool) -> None:
    logits, target, weight = given(weighted=weighted)
    expected = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none").sum((0, 2, 3))
    expected = expected / (weight.sum() if weight is not None else 2 * 5 * 4)
    ours = mean_binary_entropy(logits, target, weight)
    torch.testing.assert_close(ours, expected)
    classes = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(gradient((ours * classes).sum(), logits), gradient((expected * classes).sum(), logits))


def test_nothing_labelled_is_no_loss() -> None:
    logits, target, _ = given(weighted=False)
    mean = mean_binary_entropy(logits, target, torch.zeros(2, 1, 5, 4))
    assert mean.tolist() == [0, 0, 0]
    assert gradient(mean.sum(), logits).abs().max() == 0


def test_nothing_is_made_but_the_result() -> None:
    logits, target, _ = given(weighted=False)
    size = 4 * logits.numel()
    with LiveBytes(1) as counter:
        entropy = binary_entropy(logits, target)
        assert counter.peak == size
        torch.autograd.grad(entropy, logits, torch.ones(SHAPE))
        assert counter.peak <= 3 * size  # the result, what came from above, the gradient
