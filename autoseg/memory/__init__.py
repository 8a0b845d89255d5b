"""The peak memory of one training step, traced: augmentation, net, loss and optimizer run on fake tensors and live bytes are counted.

CPU-only torch cannot run fake *cuda* tensors, so a plan for a GPU is traced on fake CPU tensors inside `CudaCasts`, which casts
as CUDA's autocast does, with the kernels that CUDA would use. What a trace cannot see is added as an allowance (`trace`).
"""

from __future__ import annotations

from autoseg.memory.casts import CudaCasts
from autoseg.memory.live import LiveBytes
from autoseg.memory.trace import (
    CPU_PROCESS_BYTES,
    CUDA_CONTEXT_BYTES,
    CUDA_ROUNDING,
    CUDNN_WORKSPACE_BYTES,
    Trace,
    step_key,
    trace_step,
    training_memory,
    with_allowances,
)

__all__ = [
    "CPU_PROCESS_BYTES",
    "CUDA_CONTEXT_BYTES",
    "CUDA_ROUNDING",
    "CUDNN_WORKSPACE_BYTES",
    "CudaCasts",
    "LiveBytes",
    "Trace",
    "step_key",
    "trace_step",
    "training_memory",
    "with_allowances",
]
