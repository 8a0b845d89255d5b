"""Counts the bytes of all tensors that are alive, and their peak."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

#: A dispatched function and its arguments -> bytes that its kernel takes beside its results, and gives back.
Workspace = Callable[[Any, tuple[Any, ...]], int]

#: Channels that oneDNN's kernels work on at a time.
ONEDNN_BLOCK = 16
#: Elements of the first four axes of an fp32 input of one sample up to which torch does not call oneDNN.
SMALL_FOR_ONEDNN = 20480


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that are alive, and their peak.

    Parameters
    ----------
    rounding : int
        Blocks are rounded up to a multiple of this.
    workspace : callable, optional
        What kernels take beside their results.
    arrays : bool
        Count tensors that are made of numpy's arrays: a GPU gets a copy, a CPU shares their memory.
    """

    def __init__(self, rounding: int, workspace: Workspace | None = None, *, arrays: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rounding, self.workspace, self.arrays = rounding, workspace, arrays
        self.now = 0
        self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.lift_fresh.default and not self.arrays:
            self._seen.add(result.untyped_storage())
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.count(leaf)
        if self.workspace is not None:
            self.peak = max(self.peak, self.now + self.workspace(func, args))
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


LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def copied_gradient(func: Any, args: tuple[Any, ...]) -> int:
    """Bytes of the copy that the backward pass of a convolution or a norm makes of a gradient which is not laid out as its input is.

    The gradient of what was concatenated comes in parts that are views, the loss's in the layout of the targets or of a softmax.
    """
    if func not in (torch.ops.aten.convolution_backward.default, torch.ops.aten.native_batch_norm_backward.default):
        return 0
    gradient, given = args[0], args[1]
    layout = torch.contiguous_format
    if given.ndim in LAST and given.is_contiguous(memory_format=LAST[given.ndim]) and not given.is_contiguous():
        layout = LAST[given.ndim]
    return 0 if gradient.is_contiguous(memory_format=layout) else int(gradient.numel() * gradient.element_size())


def cpu_workspace(func: Any, args: tuple[Any, ...]) -> int:
    """Bytes that kernels on a CPU take: copied gradients, oneDNN's transposed inputs, columns."""
    return copied_gradient(func, args) + max(transposed_inputs(func, args), columns(func, args))


def transposed_inputs(func: Any, args: tuple[Any, ...]) -> int:
    """Bytes that oneDNN takes for the gradient of a convolution's weights in bf16: both its inputs transposed, once per thread.

    Notes
    -----
    Measured with torch 2.13's profiler on a processor with avx512_bf16 and no AMX, for 2 and 3 axes, with 1 and 2 threads, one sample or
    more: the input's channels and the output's, these rounded up to 16, of one sample; the measured figure is up to 5 % larger where rows
    have 128 pixels, because rows are padded. In fp32 it takes next to nothing. A transposed convolution exchanges the two.
    """
    if func is not torch.ops.aten.convolution_backward.default:
        return 0
    gradient, given, transposed, wanted = args[0], args[1], args[7], args[10]
    if given.dtype != torch.bfloat16 or not wanted[1]:
        return 0
    source, result = (gradient, given) if transposed else (given, gradient)
    # Kernels of one pixel work on blocks of the input's channels, too.
    channels = _blocks(source.shape[1]) if args[2].shape[2:].numel() == 1 else source.shape[1]
    elements = channels * source.shape[2:].numel() + _blocks(result.shape[1]) * result.shape[2:].numel()
    return int(elements * given.element_size() * torch.get_num_threads())


def _blocks(channels: int) -> int:
    return -(-channels // ONEDNN_BLOCK) * ONEDNN_BLOCK


def columns(func: Any, args: tuple[Any, ...]) -> int:
    """Bytes of the columns of patches (im2col) that torch lays out for a single small sample in fp32, where it does not call oneDNN.

    The limit is use_mkldnn's in aten/src/ATen/native/Convolution.cpp of torch 2.13.
    """
    if func is torch.ops.aten.convolution.default:
        given, weight, transposed, pixels = args[0], args[1], args[6], None
    elif func is torch.ops.aten.convolution_backward.default:
        given, weight, transposed, pixels = args[1], args[2], args[7], args[0].shape[2:].numel()
    else:
        return 0
    kernel, shape = weight.shape[2:], given.shape
    if transposed or given.dtype != torch.float32 or shape[0] > 1 or kernel.numel() == 1 or shape[:4].numel() > SMALL_FOR_ONEDNN:
        return 0
    if pixels is None:
        strides = args[3]
        pixels = math.prod(-(-size // stride) for size, stride in zip(shape[2:], strides, strict=True))
    return int(shape[1] * kernel.numel() * pixels * given.element_size())
