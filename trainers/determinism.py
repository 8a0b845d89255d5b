"""--deterministic: kernels that give the same bits every time, and an error where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from autoseg.errors import DeviceError

#: How cuBLAS must be told (NVIDIA, cuBLAS documentation, "Results reproducibility"). Both it and torch (aten/src/ATen/Context.cpp) read
#: this once in a process, when cuBLAS is first used, in whatever mode.
CUBLAS_VARIABLE, CUBLAS_VALUE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
#: What torch says where it has no such kernel (aten/src/ATen/Context.cpp of torch 2.13): of an operation, and of cuBLAS.
NO_KERNEL = ("does not have a deterministic implementation", "Deterministic behavior was enabled")


def tell_cublas() -> None:
    """Ask cuBLAS for results that repeat; to be called before anything is computed on a GPU, also by what itself need not repeat."""
    os.environ.setdefault(CUBLAS_VARIABLE, CUBLAS_VALUE)


@contextmanager
def reproducible(*, wanted: bool, threads: int | None = None) -> Iterator[None]:
    """While the block runs, torch computes the same bits from the same numbers on the same machine.

    Parameters
    ----------
    wanted : bool
        False: nothing is changed.
    threads : int or None
        Threads to compute with on a CPU, whose sums depend on how they are divided; None leaves them as they are.

    Raises
    ------
    DeviceError
        If an operation has no such kernel; names it and the option.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, torch.get_num_threads()
    tell_cublas()
    torch.use_deterministic_algorithms(True, warn_only=False)
    # It tries kernels and takes the fastest, which is not always the same one.
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(threads or before[2])
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in NO_KERNEL):
            raise
        raise DeviceError(
            f"--deterministic: torch {torch.__version__} has no deterministic kernel for this here: {str(error).partition('. ')[0]}. "
            "Take another net, loss, optimizer or device that does without it, or leave --deterministic out (with --restart)."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_num_threads(before[2])
