"""The one optimisation step. Trainers loop over it, memory/ traces it, benchmarks time it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from autoseg.augment import Batch
from autoseg.budget import Precision
from autoseg.errors import NO_ENGINE, OUT_OF_MEMORY, DeviceError
from autoseg.losses import DeepSupervision
from autoseg.nets import UNet, build_net
from autoseg.nets.average import WeightAverage
from autoseg.nets.norm import choose_kernels
from autoseg.nets.unet import start_heads_at_prior
from autoseg.optimizers import build_optimizer
from autoseg.plan import Stage

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
        The autocast of the device; memory/ puts its own in its place.
    clip_norm : float
    average : WeightAverage or None
        Of the recipe's `ema`; its weights are the ones that predict.
    """

    net: UNet
    loss: DeepSupervision
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    cast: Callable[[], AbstractContextManager[object]]
    clip_norm: float
    average: WeightAverage | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class StepResult:
    """What a step measured, still on the device: reading it is a sync.

    Parameters
    ----------
    loss : fp32 Tensor, scalar
        Mean over the micro-batches, weighted by their samples.
    gradient_norm : fp32 Tensor, scalar
        Before clipping. Not finite in steps that a scaler skips: they are how it finds its scale.
    """

    loss: Tensor
    gradient_norm: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """A step's figures on their way to the host; see `read_later`."""

    values: Tensor
    done: torch.cuda.Event | None

    def numbers(self) -> tuple[float, float]:
        """Loss and gradient norm; waits for their step, and not for what was asked of the device since."""
        if self.done is not None:
            self.done.synchronize()
        loss, norm = self.values.tolist()
        return loss, norm


def read_later(result: StepResult) -> Reading:
    """Begin to copy a step's figures to the host, without waiting.

    Notes
    -----
    float(result.loss) waits for all that was asked of a GPU before it, also where the step was made long ago: a copy takes its turn. A
    loop that reads one step late keeps the device busy only if the copy is asked for before the next step.
    """
    values = torch.stack([result.loss.float(), result.gradient_norm.float()]).to("cpu", non_blocking=True)
    if result.loss.device.type != "cuda":
        return Reading(values=values, done=None)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(result.loss.device))
    return Reading(values=values, done=done)


def training_step(learner: Learner, batches: Sequence[Batch], reduce: Callable[[nn.Module], None] = lambda net: None) -> StepResult:
    """Forward, loss, backward, clip, update; a loss or a gradient that is not finite updates nothing.

    Parameters
    ----------
    learner : Learner
    batches : sequence of Batch
        Micro-batches whose gradients are accumulated; one, unless memory was short. Each counts by its samples, so that a loss which
        is a mean over samples has the gradient of the whole batch; batch Dice is then taken over each micro-batch.
    reduce : callable
        Averages the gradients over devices; nothing to do on one.

    Returns
    -------
    StepResult

    Raises
    ------
    DeviceError
        If memory ran out in the middle of the update. Before it, torch's own error comes through, see `is_out_of_memory`.
    """
    learner.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=batches[0].images.device)
    samples = sum(len(batch.images) for batch in batches)
    for batch in batches:
        with learner.cast():
            logits = learner.net(batch.images)
        loss = learner.loss(logits, batch.codes, batch.table, batch.ignore) * (len(batch.images) / samples)
        del logits
        (loss if learner.scaler is None else learner.scaler.scale(loss)).backward()
        total = total + loss.detach()
    if learner.scaler is not None:
        _show_in_gradient(learner.net, total)
    reduce(learner.net)
    if learner.scaler is not None:
        learner.scaler.unscale_(learner.optimizer)
    norm = clip_grad_norm_(learner.net.parameters(), learner.clip_norm, foreach=True)
    if learner.scaler is None:
        # Fused optimizers leave weights and states alone where this is 1, on the device and without a sync; a scaler sets it by itself.
        learner.optimizer.found_inf = (~torch.isfinite(total + norm)).float()  # type: ignore[attr-defined]
    _update(learner)
    if learner.average is not None:
        learner.average.update()
    return StepResult(loss=total, gradient_norm=norm)


def _show_in_gradient(net: nn.Module, loss: Tensor) -> None:
    """Let a loss that is not finite spoil a gradient, by which alone a scaler tells steps to skip; on the device and without a sync."""
    gradient = next(p.grad for p in net.parameters() if p.grad is not None)
    gradient.add_(loss * 0)


def _update(learner: Learner) -> None:
    try:
        if learner.scaler is None:
            learner.optimizer.step()
        else:
            learner.scaler.step(learner.optimizer)
            learner.scaler.update()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        # On CUDA the fused update allocates nothing; on a CPU it copies a weight at a time.
        raise DeviceError(
            "memory ran out while the weights were being updated, a step that cannot be repeated. Free some memory (other programs use it "
            "too) and give the same command again: it continues from the last checkpoint."
        ) from error


def split_batch(batch: Batch, size: int) -> list[Batch]:
    """Micro-batches of `size` samples, the last one of what is left; views, nothing is copied."""
    starts = range(0, len(batch.images), size)
    ignores = [None if batch.ignore is None else batch.ignore[i : i + size] for i in starts]
    return [
        Batch(images=batch.images[i : i + size], codes=batch.codes[i : i + size], table=batch.table[i : i + size], ignore=ignore)
        for i, ignore in zip(starts, ignores, strict=True)
    ]


def is_out_of_memory(error: RuntimeError) -> bool:
    """True if a device, or torch's allocator on a CPU, had no memory left."""
    if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
        return True
    return NO_ENGINE in str(error) and has_run_out()


def has_run_out() -> bool:
    """True if torch's allocator has refused memory of a GPU in this process, whether or not anybody was told."""
    # Nothing is known, and nothing was refused, before CUDA is initialized.
    return any(torch.cuda.memory_stats(index).get("num_ooms", 0) for index in range(torch.cuda.device_count()))


def abandon_step(learner: Learner) -> None:
    """Free what a step left behind that ran out of memory, so that it can be made again: weights and optimizer are as they were.

    Such a step has changed gradients alone, and what the scaler noted about them: optimizers.py makes states beforehand, and memory
    that runs out in the update itself is another error (`training_step`).
    """
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.scaler is not None:
        # It refuses to unscale a second time before an update; a copy with the same scale has not unscaled yet.
        state = learner.scaler.state_dict()
        learner.scaler = torch.amp.GradScaler(next(learner.net.parameters()).device.type)
        learner.scaler.load_state_dict(state)
    # An exception and the frames that it went through may hold each other.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def build_learner(
    stage: Stage, device: torch.device, *, exclusive: bool, precision: Precision, classes: Sequence[str] | None = None
) -> Learner:
    """A fresh net with everything that trains it, on the device, weights from torch's current random state.

    Parameters
    ----------
    stage : Stage
    device : torch.device
    exclusive : bool
        Of the plan's LabelSpace.
    precision : {"fp32", "fp16", "bf16"}
        What the device runs; see `budget.usable_precision`.
    classes : sequence of str, optional
        Names of the classes, which the recipe's weights of classes in the loss go by. None: each counts 1, which costs the same memory
        and time.
    """
    net = build_net(stage.network)
    start_heads_at_prior(net, stage.priors, exclusive=exclusive)
    net.checkpointed_stages = stage.checkpointed_stages
    weights = loss_weights(stage, classes)
    loss = DeepSupervision(stage.recipe.loss, stage.priors, exclusive=exclusive, weights=weights)
    place(net, device, stage.network.num_axes)
    arrange_loss(loss, device.type)
    scaler = torch.amp.GradScaler(device.type) if precision == "fp16" and device.type == "cuda" else None
    return Learner(
        net=net,
        loss=loss.to(device),
        optimizer=build_optimizer(net, stage.recipe),
        scaler=scaler,
        cast=autocast(device, precision),
        clip_norm=stage.recipe.clip_norm,
        average=None if stage.recipe.ema is None else WeightAverage(net, stage.recipe.ema),
    )


def loss_weights(stage: Stage, classes: Sequence[str] | None) -> list[float] | None:
    """How much each class counts in the loss, in the order of the heads; None if all count alike."""
    given = stage.recipe.loss_weights
    if not given:
        return None
    return [1.0] * len(stage.priors) if classes is None else [given.get(name, 1.0) for name in classes]


def place(net: UNet, device: torch.device, num_axes: int) -> None:
    """Move a net to its device, in the memory format and with the kernels that are best there; on a CPU, see `keep_freed_memory`, too."""
    if device.type == "cpu":
        keep_freed_memory()
    if next(net.parameters()).device != device:
        net.to(device)
    arrange(net, device.type, num_axes)


def arrange(net: UNet, device_type: str, num_axes: int) -> None:
    """Give a net the memory format and the kernels that are best on a type of device, wherever it lies."""
    choose_kernels(net, device_type)
    layout = memory_format(num_axes, device_type)
    for parameter in net.parameters():
        if parameter.ndim == num_axes + 2:
            parameter.data = parameter.data.contiguous(memory_format=layout)
            if parameter.shape[1] == 1:
                # One channel lies in every format at once, and the strides say which one the first convolution's result gets.
                parameter.data = parameter.data.clone(memory_format=layout)


def arrange_loss(loss: DeepSupervision, device_type: str) -> None:
    """Let a loss be computed in pieces, as a CPU's caches want it, or at once."""
    loss.in_pieces = device_type == "cpu"


#: Options of glibc's mallopt (malloc.h), and the value that switches trimming off.
M_TRIM_THRESHOLD, M_MMAP_MAX, NEVER = -1, -4, -1


def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, for its next tensors; nothing happens where the C library is not glibc.

    Notes
    -----
    By default every large tensor is mapped anew and given back at once, and the kernel clears each page again: 200,000 page faults
    a second and a quarter of a step at 512 x 512 (benchmarks/README.md). The price is a process that stays as large as it has ever been,
    and about a tenth more of it, because blocks of different sizes leave gaps.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def give_back_freed_memory() -> None:
    """Hand the pages of freed memory to the system after all, once, where one large thing is over and another one begins."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
