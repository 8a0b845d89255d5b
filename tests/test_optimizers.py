"""Each optimizer's steps in closed form or against torch's own, and what all of them must do."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from autoseg.losses import LOSSES
from autoseg.memory import LiveBytes, trace_step
from autoseg.nets import build_unet
from autoseg.optimizers import BUILDERS, STATES, build_optimizer
from autoseg.plan import Stage
from autoseg.recipe import LOSS_FOR, OPTIMIZERS, OptimizerName, Recipe, with_optimizer
from autoseg.step import build_learner, training_step
from tests import small
from tests.small import bright_squares

NAMES: tuple[OptimizerName, ...] = get_args(OptimizerName)


class Weights(nn.Module):
    """A matrix and a vector."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.a = nn.Parameter(torch.randn(3, 4, generator=generator))
        self.b = nn.Parameter(torch.randn(5, generator=generator))


def gradients(num: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [[torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)] for _ in range(num)]


def after(optimizer_of: Callable[[nn.Module], torch.optim.Optimizer], steps: int) -> list[Tensor]:
    net = Weights()
    optimizer = optimizer_of(net)
    for given in gradients(steps):
        for parameter, gradient in zip(net.parameters(), given, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
    return [p.detach() for p in net.parameters()]


def test_every_name_has_a_maker_and_settings() -> None:
    assert set(NAMES) == BUILDERS.keys() == STATES.keys() == OPTIMIZERS.keys()
    assert all(settings["optimizer"] == name for name, settings in OPTIMIZERS.items())


TORCHS: dict[OptimizerName, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda net: torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=0.02, nesterov=True),
    "adam": lambda net: torch.optim.Adam(net.parameters(), 0.1, weight_decay=0.02),
    "adamw": lambda net: torch.optim.AdamW(net.parameters(), 0.1, weight_decay=0.02),
    "rmsprop": lambda net: torch.optim.RMSprop(net.parameters(), 0.1, alpha=0.9, weight_decay=0.02),
}


@pytest.mark.parametrize("name", TORCHS)
def test_steps_are_torchs(name: OptimizerName) -> None:
    recipe = small.recipe(optimizer=name, lr=0.1, momentum=0.9, weight_decay=0.02)
    ours, theirs = after(lambda net: build_optimizer(net, recipe), 4), after(TORCHS[name], 4)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_lion_by_hand() -> None:
    # One weight, 2.0; gradients 1.0 and -0.05; rate 0.1, decay 0.5: each step keeps 1 - 0.05 of the weight.
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 2.0)
    optimizer = build_optimizer(net, small.recipe(optimizer="lion", lr=0.1, weight_decay=0.5))
    average = optimizer.state[net.weight]["exp_avg"]
    net.weight.grad = torch.tensor([[1.0]])
    optimizer.step()
    # Update: sign(0.9 * 0 + 0.1 * 1) = 1. Average: 0.99 * 0 + 0.01 * 1.
    assert net.weight.item() == pytest.approx(2 * 0.95 - 0.1)
    assert average.item() == pytest.approx(0.01)
    net.weight.grad = torch.tensor([[-0.05]])
    optimizer.step()
    # Update: sign(0.9 * 0.01 - 0.1 * 0.05 = 0.004) = 1, against this gradient. Average: 0.99 * 0.01 - 0.01 * 0.05.
    assert net.weight.item() == pytest.approx(1.8 * 0.95 - 0.1)
    assert average.item() == pytest.approx(0.0094)


@pytest.mark.parametrize("name", NAMES)
def test_states_are_made_at_once(name: OptimizerName) -> None:
    net = build_unet(small.network())
    optimizer = build_optimizer(net, small.recipe(optimizer=name))
    for parameter in net.parameters():
        assert tuple(optimizer.state[parameter]) == STATES[name]
        for key, state in optimizer.state[parameter].items():
            assert state.shape == (() if key == "step" else parameter.shape)
            assert not state.any()
            assert not state.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_a_step_allocates_at_most_the_largest_weight_and_that_first(name: OptimizerName) -> None:
    net = build_unet(small.network())
    optimizer = build_optimizer(net, small.recipe(optimizer=name, lr=0.1))
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    largest, first = max(p.numel() * 4 for p in net.parameters()), next(iter(net.parameters()))
    before, allowed = first.detach().clone(), {"lion": largest, "rmsprop": 2 * largest}.get(name, 0)

    class Watch(LiveBytes):  # type: ignore[no-untyped-call]
        """Notes what was allocated when the first weight had changed."""

        when_changed = -1

        def count(self, tensor: Tensor) -> None:
            if not any(tensor.untyped_storage() == s.untyped_storage() for s in known):
                super().count(tensor)
                if not torch.equal(first.detach(), before):
                    self.when_changed = self.now

    known = [*net.parameters(), *(p.grad for p in net.parameters() if p.grad is not None)]
    known += [t for state in optimizer.state.values() for t in state.values()]
    with Watch(1) as counter:
        optimizer.step()
    assert not torch.equal(first.detach(), before)
    assert counter.peak <= allowed + 64  # numbers such as the step count
    assert counter.when_changed <= allowed + 64


@pytest.mark.parametrize("name", NAMES)
def test_the_trace_counts_the_states(name: OptimizerName) -> None:
    stage = small.with_recipe(small.stage(), optimizer=name)
    trace = trace_step(stage, exclusive=False, precision="fp16", device_type="cuda")
    of_weights = sum(key != "step" for key in STATES[name])
    num = sum(1 for _ in build_unet(stage.network).parameters())
    assert trace.optimizer == of_weights * trace.parameters + (4 * num if "step" in STATES[name] else 0)


def test_an_optimizer_brings_its_own_rate_and_leaves_what_is_the_data_sets() -> None:
    given = small.recipe(optimizer="sgd", lr=0.3, schedule="step", class_weights={"a": 2.0}, min_foreground=0.1, name="mine")
    assert with_optimizer(given, "sgd") == given
    changed = with_optimizer(given, "lion")
    assert (changed.name, changed.optimizer, changed.lr, changed.schedule) == ("mine", "lion", 5e-4, "cosine")
    assert changed.weight_decay == 0.1
    kept = ("loss", "augmentation", "class_weights", "min_foreground")
    assert all(getattr(changed, name) == getattr(given, name) for name in kept)


@pytest.mark.parametrize("name", NAMES)
def test_weights_without_a_gradient_stay(name: OptimizerName) -> None:
    net = Weights()
    optimizer, before = build_optimizer(net, small.recipe(optimizer=name)), net.a.detach().clone()
    optimizer.step()
    net.b.grad = torch.ones(5)
    optimizer.step()
    assert torch.equal(net.a, before)


#: Rates at which a net of a thousand weights learns in a few steps.
FAST: dict[OptimizerName, float] = {"sgd": 0.2, "adam": 0.02, "adamw": 0.02, "lion": 0.01, "rmsprop": 0.01}


def small_stage(loss: str, optimizer: OptimizerName) -> tuple[Stage, bool]:
    exclusive = LOSS_FOR.get(loss, False)
    recipe: Recipe = small.recipe(loss=loss, optimizer=optimizer, lr=FAST[optimizer], momentum=0.9)
    return small.stage(exclusive=exclusive, recipe=recipe), exclusive


@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls_with_every_optimizer(loss: str, optimizer: OptimizerName) -> None:
    stage, exclusive = small_stage(loss, optimizer)
    torch.manual_seed(0)
    learner, given = build_learner(stage, small.CPU, exclusive=exclusive, precision="fp32"), bright_squares()
    if exclusive:
        given.table[:, 2, 0] = False
    losses = [float(training_step(learner, [given]).loss) for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]
