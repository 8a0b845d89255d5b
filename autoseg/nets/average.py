"""A moving average of a net's weights over the steps of its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all parameters, in their own precision (fp32), layout and place.

    Parameters
    ----------
    net : Module
        On its device.
    decay : float
        Share of the average that a step leaves, in (0, 1).

    Notes
    -----
    The n-th step leaves min(decay, (1 + n) / (10 + n)), so that the weights of the start are forgotten soon (TensorFlow's
    ExponentialMovingAverage with `num_updates`).
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        #: Steps averaged so far; with the averaged weights all that there is to remember.
        self.updates = 0
        #: True while the net holds the average and `weights` the net's own.
        self.is_in_use = False
        self._names = [name for name, _ in net.named_parameters()]
        self._parameters: list[Tensor] = list(net.parameters())
        self.weights = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the net's weights after a step; allocates nothing."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.weights, self._parameters, 1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Put the average into the net while the block runs; nothing is copied."""
        self._exchange()
        self.is_in_use = True
        try:
            yield
        finally:
            self._exchange()
            self.is_in_use = False

    def named(self) -> dict[str, Tensor]:
        """The averaged weights by their names in the net."""
        return dict(zip(self._names, self.weights, strict=True))

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor], updates: int) -> None:
        """Go on from an earlier average, given by the names in the net."""
        for name, own in self.named().items():
            own.copy_(weights[name])
        self.updates = updates

    def _exchange(self) -> None:
        for place, parameter in enumerate(self._parameters):
            self.weights[place], parameter.data = parameter.data, self.weights[place]
