"""The optimizers by name, with their states.

None allocates once weights change, so that a step which runs out of memory has changed nothing, and none needs temporaries on one device
that it does not need on another, so that a trace on one holds for another. torch's fused kernels are so; where torch has none, the
optimizers here work in scratch memory of the largest parameter's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.recipe import OptimizerName, Recipe

#: Of Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2): for the update, and for the momentum.
LION_BETAS = (0.9, 0.99)
#: Of RMSprop's mean of squares (Tieleman and Hinton 2012, lecture 6.5).
RMSPROP_ALPHA, RMSPROP_EPS = 0.9, 1e-8


class Lion(torch.optim.Optimizer):
    """Weights move by the rate against the sign of an average of gradients, and decay as in AdamW (Chen et al. 2023, arXiv 2302.06675).

    Parameters
    ----------
    parameters : iterable of Parameter
    lr, weight_decay : float
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients that are there."""
        assert closure is None, "steps are computed before"
        if _is_to_skip(self):
            return
        for group, parameter, gradient, (update,) in _with_scratch(self, 1):
            average = self.state[parameter]["exp_avg"]
            torch.lerp(average, gradient, 1 - LION_BETAS[0], out=update)
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.sign_(), alpha=-group["lr"])
            average.lerp_(gradient, 1 - LION_BETAS[1])


class RMSprop(torch.optim.Optimizer):
    """Gradients divided by the root of their mean square, as torch's RMSprop without momentum; the decay is part of the gradient.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr, weight_decay : float
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients that are there."""
        assert closure is None, "steps are computed before"
        if _is_to_skip(self):
            return
        for group, parameter, gradient, (decayed, root) in _with_scratch(self, 2):
            squares = self.state[parameter]["square_avg"]
            torch.add(gradient, parameter, alpha=group["weight_decay"], out=decayed)
            squares.mul_(RMSPROP_ALPHA).addcmul_(decayed, decayed, value=1 - RMSPROP_ALPHA)
            torch.sqrt(squares, out=root).add_(RMSPROP_EPS)
            parameter.addcdiv_(decayed, root, value=-group["lr"])


def _is_to_skip(optimizer: torch.optim.Optimizer) -> bool:
    """True if the step's loss was not finite: torch's fused kernels read `found_inf` on the device, here it costs a sync."""
    found = getattr(optimizer, "found_inf", None)
    # In a trace there is no number to read, and the tensor is of a subclass.
    return type(found) is Tensor and bool(found)


def _with_scratch(optimizer: torch.optim.Optimizer, num: int) -> Iterator[tuple[dict[str, Any], Tensor, Tensor, list[Tensor]]]:
    """Each group and parameter with its gradient and `num` scratch tensors of its shape and layout; allocated before the first."""
    chosen = [(group, p) for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not chosen:
        return
    largest = max(p.numel() for _, p in chosen)
    scratch = [torch.empty(largest, device=chosen[0][1].device) for _ in range(num)]
    for group, parameter in chosen:
        yield group, parameter, parameter.grad, [s.as_strided(parameter.shape, parameter.stride()) for s in scratch]


def _sgd(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True, fused=True)


def _adam(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def _adamw(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def _lion(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return Lion(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay)


def _rmsprop(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return RMSprop(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay)


#: Makers by name, and the states of each parameter: of its shape, or one number ("step").
BUILDERS: dict[OptimizerName, Callable[[nn.Module, Recipe], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "lion": _lion,
    "rmsprop": _rmsprop,
}
STATES: dict[OptimizerName, tuple[str, ...]] = {
    "sgd": ("momentum_buffer",),
    "adam": ("step", "exp_avg", "exp_avg_sq"),
    "adamw": ("step", "exp_avg", "exp_avg_sq"),
    "lion": ("exp_avg",),
    "rmsprop": ("square_avg",),
}


def build_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer with its states.

    The states are made here: a first step that runs out of memory while it makes them would leave half of them behind. And torch's fused
    SGD makes its buffers without values and leaves them so if the scaler skips that step, which an fp16 training's first one often is.
    """
    optimizer = BUILDERS[recipe.optimizer](net, recipe)
    for parameter in net.parameters():
        for name in STATES[recipe.optimizer]:
            made = torch.zeros((), device=parameter.device) if name == "step" else torch.zeros_like(parameter)
            optimizer.state[parameter][name] = made.detach()
    return optimizer
