"""One training step on fake tensors, and the allowances for what it cannot see."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from autoseg.augment import Batch, RawSample, make_batch
from autoseg.augment.synthetic import heaviest_draw, neutral_draw, synthetic_sample
from autoseg.augment.warp import few_strips
from autoseg.budget import Precision
from autoseg.memory.casts import CudaCasts
from autoseg.memory.live import LiveBytes, copied_gradient, cpu_workspace
from autoseg.plan import Memory, Stage
from autoseg.step import DTYPES, arrange, arrange_loss, autocast, build_learner, split_batch, training_step

MIB = 1024**2
#: The CUDA context, kernels' code and cuDNN handles: an allowance, not measured on a GPU yet.
CUDA_CONTEXT_BYTES = 500 * MIB
#: cuDNN's workspace: torch lets a convolution take what its chosen algorithm wants. An allowance, not measured on a GPU yet.
CUDNN_WORKSPACE_BYTES = 512 * MIB
#: An idle Python with torch, the store's cache and what libraries keep on a CPU: an allowance.
CPU_PROCESS_BYTES = 700 * MIB
#: CUDA's caching allocator rounds every block up to this.
CUDA_ROUNDING = 512
#: Batches of raw samples that lie in a CPU's memory for each reading thread, beside the one in work (trainers/loader.py).
AHEAD_PER_WORKER = 2
#: The widest dtype of stored images that is widened on the device: its copy and the fp32 image live side by side.
STORED = np.uint16
#: What `augment.samples` makes of that on its way; traced samples have it from the start, so that no array is really widened.
WIDENED = np.int32


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Bytes of one traced step; `peak` holds all parts but the raw samples.

    Parameters
    ----------
    peak, parameters, gradients, optimizer : int
    of : str
        `step_key` of the stage.
    average : int
        The moving average of the weights, if the recipe has one.
    raw : int
        A batch of raw samples as workers cut them, all of them with the largest source box. On CUDA their copies on the device are part
        of the peak; these are in the host's memory, which is the device's if that is a CPU.
    """

    peak: int
    parameters: int
    gradients: int
    optimizer: int
    of: str = ""
    raw: int = 0
    average: int = 0


def step_key(stage: Stage) -> str:
    """16 hex digits for all that a person may edit in a plan and that a step's memory depends on."""
    recipe = stage.recipe
    parts = (
        stage.patch, stage.batch, stage.network, stage.precision, stage.checkpointed_stages, stage.previous, recipe.loss, recipe.optimizer,
        recipe.ema, recipe.augmentation,
    )  # fmt: skip
    # Only where there are such: keys of plans without them stay as they were.
    added: tuple[object, ...] = (stage.network.kind, recipe.augmentation.transforms)
    if stage.network.decoder_convs is not None:
        added += (stage.network.decoder_convs,)
    text = repr(parts) if added == ("unet", {}) else repr((*parts, *added))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trace_step(
    stage: Stage, *, exclusive: bool, precision: Precision, device_type: str, has_ignore: bool = False, micro_batch: int | None = None
) -> Trace:
    """Run augmentation and one training step of a stage on fake tensors and read off the peak of live bytes.

    Parameters
    ----------
    stage : Stage
        Its memory field is not read.
    exclusive : bool
    precision : {"fp32", "fp16", "bf16"}
    device_type : {"cuda", "cpu"}
        Whose casts, kernels, memory format and rounding are used; neither needs to be at hand.
    has_ignore : bool
        Pixels may be unlabelled: the loss then keeps weighted copies of all channels, a sixth of the peak with 20 classes.
    micro_batch : int or None
        Samples whose gradients are computed at a time; None: the whole batch.

    Returns
    -------
    Trace
        Without the allowances; `training_memory` adds them.

    Notes
    -----
    The step's parameters, optimizer states and the gradients of the step before are there when the batch is made, as in training. The
    last sample is augmented by the heaviest draw of the recipe; the ones before it by none, which leaves the same tensors behind.
    """
    policy = _policy(device_type, precision)
    # On a CPU raw samples stay where numpy has them (`raw`); CUDA gets a copy, which lives as long as the tensor made of the array.
    counter = LiveBytes(CUDA_ROUNDING, copied_gradient) if device_type == "cuda" else LiveBytes(1, cpu_workspace, arrays=False)
    samples = traced_samples(stage, has_ignore=has_ignore)
    # The order matters: the counter must see what the fake mode returns, and the fake mode must run first.
    with FakeTensorMode(allow_non_fake_inputs=True), counter, few_strips():
        learner = build_learner(stage, torch.device("cpu"), exclusive=exclusive, precision="fp32")
        arrange(learner.net, device_type, stage.network.num_axes)
        arrange_loss(learner.loss, device_type)
        learner.cast = learner.net.recompute_context = policy
        # An update leaves gradients and the optimizer's states behind, so that the traced step is one like all later ones.
        for parameter in learner.net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        learner.optimizer.step()
        parameters, optimizer = _bytes(learner.net.parameters()), _optimizer_bytes(learner.optimizer)
        average = 0 if learner.average is None else _bytes(iter(learner.average.weights))
        counter.peak = counter.now
        batch = _batch(stage, samples)
        training_step(learner, split_batch(batch, micro_batch or stage.batch))
    raw = stage.batch * _raw_bytes(samples[-1])
    return Trace(
        of=step_key(stage), peak=counter.peak, parameters=parameters, gradients=parameters, optimizer=optimizer, raw=raw, average=average
    )


def traced_samples(stage: Stage, *, has_ignore: bool = False) -> list[RawSample]:
    """A batch whose last sample is augmented by the heaviest draw and all others by none; no memory is touched."""
    draws = [neutral_draw(stage)] * (stage.batch - 1) + [heaviest_draw(stage)]
    return [synthetic_sample(stage, draw, dtype=WIDENED, has_ignore=has_ignore) for draw in draws]


def training_memory(
    stage: Stage,
    *,
    exclusive: bool,
    precision: Precision,
    device_type: str,
    budget_bytes: int,
    has_ignore: bool = False,
    workers: int = 1,
) -> Memory:
    """The traced peak with its allowances, in parts, as it stands in a plan."""
    trace = trace_step(stage, exclusive=exclusive, precision=precision, device_type=device_type, has_ignore=has_ignore)
    return with_allowances(trace, device_type=device_type, budget_bytes=budget_bytes, workers=workers)


def with_allowances(trace: Trace, *, device_type: str, budget_bytes: int, workers: int = 1) -> Memory:
    """A trace and what it cannot see: the context and the library's workspace; on a CPU the process and the batches read ahead.

    Parameters
    ----------
    workers : int
        Threads that read ahead.
    """
    if device_type == "cuda":
        beside = {"workspace": CUDNN_WORKSPACE_BYTES, "context": CUDA_CONTEXT_BYTES}
    else:
        beside = {"loader": (AHEAD_PER_WORKER * workers + 1) * trace.raw, "context": CPU_PROCESS_BYTES}
    known = trace.parameters + trace.gradients + trace.optimizer + trace.average
    parts = {
        "parameters": trace.parameters,
        "gradients": trace.gradients,
        "optimizer": trace.optimizer,
        **({"average": trace.average} if trace.average else {}),
        "activations": trace.peak - known,
        **beside,
    }
    return Memory(peak_bytes=trace.peak + sum(beside.values()), budget_bytes=budget_bytes, parts=parts, of=trace.of)


def _policy(device_type: str, precision: Precision) -> Callable[[], AbstractContextManager[object]]:
    if device_type == "cuda" and precision != "fp32":
        return lambda: CudaCasts(DTYPES[precision])
    return autocast(torch.device("cpu"), precision)


def _batch(stage: Stage, samples: list[RawSample]) -> Batch:
    return make_batch(samples, stage.patch, device=torch.device("cpu"), swap=stage.mirror_swap)


def _raw_bytes(sample: RawSample) -> int:
    previous = 0 if sample.previous is None else sample.previous.nbytes
    return sample.image.size * np.dtype(STORED).itemsize + sample.codes.nbytes + previous


def _bytes(tensors: Iterator[Tensor]) -> int:
    return sum(t.untyped_storage().nbytes() for t in tensors)


def _optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    return sum(t.untyped_storage().nbytes() for state in optimizer.state.values() for t in state.values() if isinstance(t, Tensor))
