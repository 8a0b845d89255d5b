"""The one optimisation step: it learns, its gradients add up, and it is the same every time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoseg.augment import Batch
from autoseg.nets import build_unet
from autoseg.plan import Stage
from autoseg.recipe import OptimizerName
from autoseg.step import Learner, arrange, build_learner, build_optimizer, memory_format, set_lr, training_step
from tests import small


def learner(stage: Stage | None = None, *, exclusive: bool = False, precision: Any = "fp32", seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    return build_learner(stage or small.stage(exclusive=exclusive), small.CPU, exclusive=exclusive, precision=precision)


def weights(of: Learner) -> list[Tensor]:
    return [p.detach().clone() for p in of.net.parameters()]


def gradients(of: Learner) -> list[Tensor]:
    return [p.grad.clone() for p in of.net.parameters() if p.grad is not None]


def bright_squares() -> Batch:
    """Class 0 is bright, class 1 covers its upper half: quickly learned."""
    codes = torch.zeros((2, 16, 16), dtype=torch.int32)
    codes[:, 4:12, 4:12], codes[:, 4:8, 4:12] = 1, 2
    images = (codes > 0).float().unsqueeze(1) + torch.arange(16).reshape(1, 1, 16, 1) / 16
    return Batch(images=images, codes=codes, table=torch.tensor([[[0, 0], [1, 0], [1, 1]]] * 2, dtype=torch.bool), ignore=None)


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.1), ("adamw", 0.01)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_lower_the_loss(optimizer: OptimizerName, lr: float, precision: str) -> None:
    one = learner(small.with_recipe(small.stage(), optimizer=optimizer, lr=lr, momentum=0.9), precision=precision)
    losses = [float(training_step(one, [bright_squares()]).loss) for _ in range(30)]
    assert losses[0] == pytest.approx(2, abs=0.7)  # Dice near 1, cross-entropy near 1: what the priors give
    assert losses[-1] < 0.6 * losses[0]


def test_the_loss_is_that_of_the_net_before_the_update() -> None:
    one, given = learner(), bright_squares()
    expected = one.loss(one.net(given.images), given.codes, given.table, given.ignore)
    assert float(training_step(one, [given]).loss) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_step_is_the_same_every_time(exclusive: bool) -> None:
    runs = []
    for _ in range(2):
        one = learner(exclusive=exclusive)
        given = small.batch(ignore=True)
        if exclusive:
            given.table[..., 1] &= ~given.table[..., 0]
        for _ in range(3):
            training_step(one, [given])
        runs.append(weights(one))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


class MeanError(nn.Module):
    """A loss that is a mean over samples, as the batch Dice is not."""

    def forward(self, logits: Sequence[Tensor], codes: Tensor, table: Tensor, ignore: Tensor | None) -> Tensor:
        target = codes.unsqueeze(1).float() / 4
        return (logits[0] - target).square().mean()


def test_micro_batches_add_up_to_the_batch() -> None:
    whole = small.batch(4)
    parts = [Batch(images=whole.images[i : i + 2], codes=whole.codes[i : i + 2], table=whole.table[i : i + 2], ignore=None) for i in (0, 2)]
    results = []
    for batches in ([whole], parts):
        one = learner()
        one.loss = MeanError()  # type: ignore[assignment]
        result = training_step(one, batches)
        results.append((float(result.loss), float(result.gradient_norm), gradients(one)))
    assert results[0][:2] == pytest.approx(results[1][:2], rel=1e-5)
    for a, b in zip(results[0][2], results[1][2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_the_gradient_is_cut_to_its_norm() -> None:
    free, cut = learner(), learner(small.with_recipe(small.stage(), clip_norm=1e-3))
    norm = float(training_step(free, [small.batch()]).gradient_norm)
    assert float(training_step(cut, [small.batch()]).gradient_norm) == pytest.approx(norm)  # before clipping
    assert 1e-3 < norm < 12
    total = torch.stack([g.square().sum() for g in gradients(cut)]).sum().sqrt()
    assert float(total) == pytest.approx(1e-3, rel=1e-3)
    for a, b in zip(gradients(free), gradients(cut), strict=True):
        torch.testing.assert_close(a * (1e-3 / norm), b, rtol=1e-3, atol=1e-9)


def test_gradients_of_the_step_before_do_not_linger() -> None:
    one = learner()
    set_lr(one, 0.0)
    training_step(one, [small.batch(seed=1)])
    first = gradients(one)
    training_step(one, [small.batch(seed=1)])
    assert all(torch.equal(a, b) for a, b in zip(first, gradients(one), strict=True))


def test_devices_are_averaged_before_the_gradient_is_cut() -> None:
    seen: list[float] = []

    def reduce(net: nn.Module) -> None:
        for parameter in net.parameters():
            assert parameter.grad is not None
            seen.append(float(parameter.grad.abs().sum()))
            parameter.grad.zero_()

    result = training_step(learner(), [small.batch()], reduce)
    assert sum(seen) > 0
    assert float(result.gradient_norm) == 0


def test_sgd_in_closed_form() -> None:
    # Nesterov's first step: w - lr * (1 + m) * (g + decay * w).
    stage = small.with_recipe(small.stage(), optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01, clip_norm=1e9)
    one = learner(stage)
    before = weights(one)
    training_step(one, [small.batch()])
    for w, g, after in zip(before, gradients(one), weights(one), strict=True):
        torch.testing.assert_close(after, w - 0.1 * 1.9 * (g + 0.01 * w), rtol=1e-4, atol=1e-6)


def test_adamw_in_closed_form() -> None:
    # The first step moves by lr in the gradient's sign (where it is not zero), beside the decay.
    one = learner(small.with_recipe(small.stage(), lr=0.1, weight_decay=0.01))
    before = weights(one)
    training_step(one, [small.batch()])
    for w, g, after in zip(before, gradients(one), weights(one), strict=True):
        torch.testing.assert_close(after, w * (1 - 0.1 * 0.01) - 0.1 * g / (g.abs() + 1e-8), rtol=1e-3, atol=1e-5)


def test_the_learning_rate_can_be_set() -> None:
    one = learner(small.with_recipe(small.stage(), weight_decay=0.0))
    before = weights(one)
    set_lr(one, 0.0)
    training_step(one, [small.batch()])
    assert all(torch.equal(a, b) for a, b in zip(before, weights(one), strict=True))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_cpu_gets_channels_last_and_one_sample_norms(axes: int) -> None:
    one = learner(small.stage(axes))
    assert memory_format(axes, "cuda") == torch.contiguous_format
    conv = one.net.encoder[1][0]  # type: ignore[index]
    assert conv.conv.weight.is_contiguous(memory_format=memory_format(axes, "cpu"))
    assert conv.norm.per_sample
    arrange(one.net, "cuda", axes)
    assert conv.conv.weight.is_contiguous()
    assert not conv.norm.per_sample


def test_a_learner_follows_its_stage() -> None:
    stage = replace(small.stage(), checkpointed_stages=2)
    one = learner(stage)
    assert one.net.checkpointed_stages == 2
    assert one.scaler is None
    assert one.clip_norm == stage.recipe.clip_norm
    assert all(group["fused"] for group in one.optimizer.param_groups)


def test_bf16_computes_in_bf16_and_keeps_fp32_weights() -> None:
    one = learner(precision="bf16")
    seen: list[torch.dtype] = []
    one.net.encoder[0].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    training_step(one, [small.batch()])
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in one.net.parameters()} == {torch.float32}


#: What GradScaler sets on a fused optimizer: 1 skips the step.
FOUND = "found_inf"


def test_a_first_step_that_the_scaler_skips_leaves_no_garbage() -> None:
    # torch's fused SGD makes its buffers without values at the first step: skipped, they would be whatever lay in memory.
    net = build_unet(small.stage().network)
    optimizer = build_optimizer(net, small.recipe(optimizer="sgd", lr=0.1))
    before = [parameter.detach().clone() for parameter in net.parameters()]
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, float("inf"))
    setattr(optimizer, FOUND, torch.ones(()))
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    setattr(optimizer, FOUND, torch.zeros(()))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for a, b in zip(before, net.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)  # weight decay alone
