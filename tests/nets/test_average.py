"""The moving average follows the weights by its formula, and steps aside for them again."""

import pytest
import torch
from torch import nn

from autoseg.nets.average import WeightAverage


def net_of(*values: float) -> nn.Linear:
    net = nn.Linear(len(values), 1, bias=False)
    set_to(net, *values)
    return net


def set_to(net: nn.Linear, *values: float) -> None:
    net.weight.data.copy_(torch.tensor([values]))


def test_it_starts_at_the_weights_and_soon_forgets_them() -> None:
    net = net_of(1.0)
    average = WeightAverage(net, 0.9)
    expected = 1.0
    for step, value in enumerate((2.0, 4.0, 3.0, 5.0), start=1):
        set_to(net, value)
        average.update()
        decay = (1 + step) / (10 + step)  # 2/11, 3/12, 4/13, 5/14: all below 0.9
        expected = decay * expected + (1 - decay) * value
        assert average.weights[0].item() == pytest.approx(expected, rel=1e-6)


def test_after_many_steps_the_decay_is_what_was_asked_for() -> None:
    net = net_of(1.0)
    average = WeightAverage(net, 0.5)
    average.updates = 1000
    set_to(net, 3.0)
    average.update()
    assert average.weights[0].item() == 2.0


def test_in_use_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net = net_of(1.0, 2.0)
    parameter = net.weight
    average = WeightAverage(net, 0.5)
    average.updates = 1000
    set_to(net, 3.0, 6.0)
    average.update()
    with average.in_use():
        assert net(torch.ones(2)).item() == 6.0  # (1 + 3) / 2 + (2 + 6) / 2
        assert net.weight is parameter  # what the optimizer knows
    assert net(torch.ones(2)).item() == 9.0
    assert average.named()["weight"].tolist() == [[2.0, 4.0]]


def test_it_keeps_the_weights_layout() -> None:
    net = nn.Conv2d(4, 4, 3)
    net.weight.data = net.weight.data.contiguous(memory_format=torch.channels_last)
    average = WeightAverage(net, 0.9)
    assert average.weights[0].is_contiguous(memory_format=torch.channels_last)
    assert all(not weight.requires_grad for weight in average.weights)


def test_it_goes_on_where_it_was() -> None:
    first, second = net_of(1.0), net_of(7.0)
    a, b = WeightAverage(first, 0.9), WeightAverage(second, 0.9)
    for value in (2.0, 5.0):
        set_to(first, value)
        a.update()
    b.restore(a.named(), a.updates)
    for net, average in ((first, a), (second, b)):
        set_to(net, 11.0)
        average.update()
    assert a.weights[0].item() == b.weights[0].item()
