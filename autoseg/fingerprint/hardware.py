"""The machine at hand: GPU, cores, memory, and the budget that follows from them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from autoseg.budget import Budget

#: A GPU is fed by at most this many reading threads; a guess, not measured on one yet.
MAX_WORKERS = 8

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A CUDA device: its name, real total memory and compute capability."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    memory_bytes: int
    capability: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The machine.

    Parameters
    ----------
    gpus : tuple of Gpu
        As torch sees them; empty without CUDA.
    cores : int
        Cores that this process may run on.
    memory_bytes : int
        RAM that this process may use: the machine's, or the cgroup's limit if that is less.
    bf16 : bool
        The processor multiplies bf16 in hardware.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    gpus: tuple[Gpu, ...]
    cores: int
    memory_bytes: int
    bf16: bool


def hardware() -> Hardware:
    """Look at the machine; imports torch."""
    return Hardware(gpus=_gpus(), cores=count_cores(), memory_bytes=usable_memory(), bf16=processor_has_bf16())


def cpu_budget(hours: float | None = None) -> Budget:
    """This machine without its GPU: RAM, cores, and bf16 where the processor has it. One thread reads, the others compute."""
    return Budget(name="cpu", kind="cpu", memory_bytes=usable_memory(), bf16=processor_has_bf16(), workers=1, hours=hours)


def detect_budget(hours: float | None = None) -> Budget | None:
    """The budget of this machine's smallest GPU (folds run side by side on all of them); None if there is none."""
    found = smallest_gpu()
    return None if found is None else gpu_budget(found[1], hours)


def smallest_gpu() -> tuple[int, Gpu] | None:
    """This machine's GPU with the least memory, and its index; None if there is none."""
    return min(enumerate(_gpus()), key=lambda found: (found[1].memory_bytes, found[1].capability), default=None)


def gpu_budget(gpu: Gpu, hours: float | None = None) -> Budget:
    """The budget of one GPU of this machine."""
    return Budget(
        name=gpu.name,
        kind="cuda",
        memory_bytes=gpu.memory_bytes,
        capability=gpu.capability,
        bf16=gpu.capability >= (8, 0),
        workers=max(1, min(MAX_WORKERS, count_cores() - 1)),
        hours=hours,
    )


def _gpus() -> tuple[Gpu, ...]:
    import torch

    if not torch.cuda.is_available():
        return ()
    found = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
    return tuple(Gpu(name=p.name, memory_bytes=int(p.total_memory), capability=(int(p.major), int(p.minor))) for p in found)


def count_cores() -> int:
    """Cores that this process may run on: its affinity, and a container's quota of time if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = _read(Path("/sys/fs/cgroup/cpu.max")).split()
    if len(quota) == 2 and quota[0].isdigit():
        cores = min(cores, max(1, int(quota[0]) // int(quota[1])))
    return cores


def usable_memory(limits: tuple[str, ...] = CGROUP_LIMITS) -> int:
    """Bytes of RAM: the machine's, or the cgroup's limit (version 2, then 1) if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 * 1024**3
    given = [int(text) for limit in limits if (text := _read(Path(limit)).strip()).isdigit()]
    return min([total, *(g for g in given if g > 0)])


def processor_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True if the processor lists avx512_bf16 or amx_bf16 (or bf16 on ARM)."""
    for line in _read(cpuinfo).splitlines():
        if line.lower().startswith(("flags", "features")):
            return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(line.partition(":")[2].split()))
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
