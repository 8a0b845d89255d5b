"""The peak memory of one training step, traced: the real net, loss and optimizer run on fake tensors and live bytes are counted.

CPU-only torch cannot run fake *cuda* tensors, so a plan for a GPU is traced on fake CPU tensors inside `CudaCasts`, which casts
as CUDA's autocast does, with the kernels that CUDA would use. What a trace cannot see is added as an allowance, stated below.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from autoseg.augment import Batch
from autoseg.budget import Precision
from autoseg.plan import Memory, Stage
from autoseg.step import DTYPES, arrange, autocast, build_learner, memory_format, training_step

MIB = 1024**2
#: The CUDA context, kernels' code and cuDNN handles: an allowance, not measured on a GPU yet.
CUDA_CONTEXT_BYTES = 500 * MIB
#: cuDNN's workspace: torch lets a convolution take what its chosen algorithm wants. An allowance, not measured on a GPU yet.
CUDNN_WORKSPACE_BYTES = 512 * MIB
#: An idle Python with torch, the store's cache and oneDNN's reordered copies on a CPU: an allowance.
CPU_PROCESS_BYTES = 700 * MIB
#: CUDA's caching allocator rounds every block up to this.
CUDA_ROUNDING = 512
#: Codes per case that the tables of a traced batch hold; a table is small beside one feature map.
TRACED_SETS = 64

#: Functions whose tensor arguments CUDA's autocast casts to half precision, and to fp32 (torch/aten/src/ATen/autocast_mode.h).
HALF_OPS: frozenset[Any] = frozenset(
    {F.conv2d, F.conv3d, F.conv_transpose2d, F.conv_transpose3d, F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm}
)
FLOAT_OPS: frozenset[Any] = frozenset(
    {F.group_norm, F.layer_norm, F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, torch.exp, torch.log, torch.pow, torch.sum,
     F.softplus, F.binary_cross_entropy_with_logits, F.interpolate}
)  # fmt: skip


class CudaCasts(TorchFunctionMode):
    """CUDA's autocast policy on any device: casts arguments by a table of functions, the casts of weights kept for the whole forward."""

    def __init__(self, half: torch.dtype) -> None:
        super().__init__()
        self.half = half
        self.weights: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in HALF_OPS:
            args, kwargs = self._cast(args, kwargs, self.half)
        elif func in FLOAT_OPS:
            args, kwargs = self._cast(args, kwargs, torch.float32)
        return func(*args, **kwargs)

    def _cast(self, args: Any, kwargs: Any, dtype: torch.dtype) -> tuple[Any, Any]:
        def one(value: Any) -> Any:
            if not isinstance(value, Tensor) or not value.is_floating_point() or value.dtype == dtype:
                return value
            if not (value.is_leaf and value.requires_grad):
                return value.to(dtype)
            if id(value) not in self.weights:
                self.weights[id(value)] = value.to(dtype)
            return self.weights[id(value)]

        return tuple(one(a) for a in args), {name: one(v) for name, v in kwargs.items()}


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that are alive, and their peak."""

    def __init__(self, rounding: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rounding = rounding
        self.now = 0
        self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.count(leaf)
        return result

    def count(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once, until it is freed."""
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        size = -(-storage.nbytes() // self.rounding) * self.rounding
        self._seen.add(storage)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.now -= size


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Bytes of one traced step; `peak` holds all parts."""

    peak: int
    parameters: int
    gradients: int
    optimizer: int


def trace_step(stage: Stage, *, exclusive: bool, precision: Precision, device_type: str, has_ignore: bool = False) -> Trace:
    """Run one training step of a stage on fake tensors and read off the peak of live bytes.

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

    Returns
    -------
    Trace
        Without the allowances; `training_memory` adds them.
    """
    policy = _policy(device_type, precision)
    counter = LiveBytes(CUDA_ROUNDING if device_type == "cuda" else 1)
    # The order matters: the counter must see what the fake mode returns, and the fake mode must run first.
    with FakeTensorMode(), counter:
        learner = build_learner(stage, torch.device("cpu"), exclusive=exclusive, precision="fp32")
        arrange(learner.net, device_type, stage.network.num_axes)
        learner.cast = learner.net.recompute_context = policy
        axes = stage.network.num_axes
        # A step on the smallest input makes the optimizer's state, so that the traced one is a step like all later ones.
        training_step(learner, [_batch(stage, tuple(2 * m for m in stage.network.multiple), 1, axes, device_type)])
        parameters, optimizer = _bytes(learner.net.parameters()), _optimizer_bytes(learner.optimizer)
        batch = _batch(stage, stage.patch, stage.batch, axes, device_type, has_ignore=has_ignore)
        counter.peak = counter.now
        training_step(learner, [batch])
    return Trace(peak=counter.peak, parameters=parameters, gradients=parameters, optimizer=optimizer)


def training_memory(
    stage: Stage, *, exclusive: bool, precision: Precision, device_type: str, budget_bytes: int, has_ignore: bool = False
) -> Memory:
    """The traced peak with its allowances, in parts, as it stands in a plan."""
    trace = trace_step(stage, exclusive=exclusive, precision=precision, device_type=device_type, has_ignore=has_ignore)
    return with_allowances(trace, device_type=device_type, budget_bytes=budget_bytes)


def with_allowances(trace: Trace, *, device_type: str, budget_bytes: int) -> Memory:
    """A trace and what it cannot see: the context, the library's workspace."""
    fixed = {"workspace": CUDNN_WORKSPACE_BYTES, "context": CUDA_CONTEXT_BYTES} if device_type == "cuda" else {"context": CPU_PROCESS_BYTES}
    known = trace.parameters + trace.gradients + trace.optimizer
    parts = {
        "parameters": trace.parameters,
        "gradients": trace.gradients,
        "optimizer": trace.optimizer,
        "activations": trace.peak - known,
        **fixed,
    }
    return Memory(peak_bytes=trace.peak + sum(fixed.values()), budget_bytes=budget_bytes, parts=parts)


def _policy(device_type: str, precision: Precision) -> Callable[[], AbstractContextManager[object]]:
    if device_type == "cuda" and precision != "fp32":
        return lambda: CudaCasts(DTYPES[precision])
    return autocast(torch.device("cpu"), precision)


def _batch(stage: Stage, patch: Sequence[int], num: int, axes: int, device_type: str, *, has_ignore: bool = False) -> Batch:
    images = torch.empty((num, stage.network.in_channels, *patch)).contiguous(memory_format=memory_format(axes, device_type))
    num_classes = len(stage.priors)
    return Batch(
        images=images,
        codes=torch.zeros((num, *patch), dtype=torch.int32),
        table=torch.zeros((num, TRACED_SETS, num_classes), dtype=torch.bool),
        ignore=torch.zeros((num, TRACED_SETS), dtype=torch.bool) if has_ignore else None,
    )


def _bytes(tensors: Iterator[Tensor]) -> int:
    return sum(t.untyped_storage().nbytes() for t in tensors)


def _optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    return sum(t.untyped_storage().nbytes() for state in optimizer.state.values() for t in state.values() if isinstance(t, Tensor))
