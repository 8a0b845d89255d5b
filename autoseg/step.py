"""The one optimisation step. Trainers loop over it, memory.py traces it, benchmarks time it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from autoseg.augment import Batch
from autoseg.budget import Precision
from autoseg.losses import DeepSupervision
from autoseg.nets import NETS, UNet
from autoseg.nets.norm import choose_kernels
from autoseg.nets.unet import start_heads_at_prior
from autoseg.plan import Stage
from autoseg.recipe import Recipe

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(kw_only=True)
class Learner:
    """Everything that a step changes or needs.

    Parameters
    ----------
    net, loss, optimizer
    scaler : GradScaler or None
        For fp16 on CUDA.
    cast : callable -> context manager
        The autocast of the device; memory.py puts its own in its place.
    clip_norm : float
    """

    net: UNet
    loss: DeepSupervision
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    cast: Callable[[], AbstractContextManager[object]]
    clip_norm: float


@dataclass(frozen=True, kw_only=True, eq=False)
class StepResult:
    """What a step measured, still on the device: reading it is a sync.

    Parameters
    ----------
    loss : fp32 Tensor, scalar
        Mean over the micro-batches.
    gradient_norm : fp32 Tensor, scalar
        Before clipping.
    """

    loss: Tensor
    gradient_norm: Tensor


def training_step(learner: Learner, batches: Sequence[Batch], reduce: Callable[[nn.Module], None] = lambda net: None) -> StepResult:
    """Forward, loss, backward, clip, update.

    Parameters
    ----------
    learner : Learner
    batches : sequence of Batch
        Micro-batches whose gradients are accumulated; one, unless memory was short.
    reduce : callable
        Averages the gradients over devices; nothing to do on one.

    Returns
    -------
    StepResult
    """
    learner.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=batches[0].images.device)
    for batch in batches:
        with learner.cast():
            logits = learner.net(batch.images)
        loss = learner.loss(logits, batch.codes, batch.table, batch.ignore) / len(batches)
        del logits
        (loss if learner.scaler is None else learner.scaler.scale(loss)).backward()
        total = total + loss.detach()
    reduce(learner.net)
    if learner.scaler is not None:
        learner.scaler.unscale_(learner.optimizer)
    norm = clip_grad_norm_(learner.net.parameters(), learner.clip_norm, foreach=True)
    if learner.scaler is None:
        learner.optimizer.step()
    else:
        learner.scaler.step(learner.optimizer)
        learner.scaler.update()
    return StepResult(loss=total, gradient_norm=norm)


def build_learner(stage: Stage, device: torch.device, *, exclusive: bool, precision: Precision) -> Learner:
    """A fresh net with everything that trains it, on the device, weights from torch's current random state.

    Parameters
    ----------
    stage : Stage
    device : torch.device
    exclusive : bool
        Of the plan's LabelSpace.
    precision : {"fp32", "fp16", "bf16"}
        What the device runs; see `budget.usable_precision`.
    """
    net = NETS["unet"](stage.network)
    start_heads_at_prior(net, stage.priors, exclusive=exclusive)
    net.checkpointed_stages = stage.checkpointed_stages
    loss = DeepSupervision(stage.recipe.loss, stage.priors, exclusive=exclusive)
    place(net, device, stage.network.num_axes)
    scaler = torch.amp.GradScaler(device.type) if precision == "fp16" and device.type == "cuda" else None
    return Learner(
        net=net,
        loss=loss.to(device),
        optimizer=build_optimizer(net, stage.recipe),
        scaler=scaler,
        cast=autocast(device, precision),
        clip_norm=stage.recipe.clip_norm,
    )


def place(net: UNet, device: torch.device, num_axes: int) -> None:
    """Move a net to its device, in the memory format and with the kernels that are best there."""
    if next(net.parameters()).device != device:
        net.to(device)
    arrange(net, device.type, num_axes)


def arrange(net: UNet, device_type: str, num_axes: int) -> None:
    """Give a net the memory format and the kernels that are best on a type of device, wherever it lies."""
    choose_kernels(net, device_type)
    for parameter in net.parameters():
        if parameter.ndim == num_axes + 2:
            parameter.data = parameter.data.contiguous(memory_format=memory_format(num_axes, device_type))


def build_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, fused: one pass without temporaries on every device, so that a trace on one holds for another."""
    if recipe.optimizer == "sgd":
        sgd = torch.optim.SGD(net.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True, fused=True)
        # torch's fused kernel makes the buffers without values at the first step and leaves them so if the scaler skips that step,
        # which an fp16 training's first one often is.
        for parameter in net.parameters():
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    return torch.optim.AdamW(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def autocast(device: torch.device, precision: Precision) -> Callable[[], AbstractContextManager[object]]:
    """The device's autocast at this precision, as a context to enter anew in every forward."""
    if precision == "fp32":
        return nullcontext
    return lambda: torch.autocast(device.type, DTYPES[precision])


def memory_format(num_axes: int, device_type: str) -> torch.memory_format:
    """channels_last on a CPU, where oneDNN reads it without reordering; contiguous on CUDA, whose instance norm is contiguous."""
    if device_type == "cuda":
        return torch.contiguous_format
    return torch.channels_last if num_axes == 2 else torch.channels_last_3d


def set_lr(learner: Learner, lr: float) -> None:
    """Set the learning rate of the next step."""
    for group in learner.optimizer.param_groups:
        group["lr"] = lr
