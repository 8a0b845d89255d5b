"""What a plan may spend: device memory, the device's abilities, workers and hours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from autoseg.errors import UsageError

Precision = Literal["fp32", "fp16", "bf16"]
GIB = 1024**3
#: There while NVIDIA's driver is loaded; not in WSL, where only nvidia-smi answers.
DRIVER = Path("/proc/driver/nvidia/version")

#: Total memory as the driver reports it (MiB) and compute capability. nvidia-smi's figure is the card's real memory: marketing's
#: "32 GB" is 32,510 to 32,768 MiB depending on ECC.
GPUS: dict[str, tuple[int, tuple[int, int]]] = {
    "v100-32gb": (32_510, (7, 0)),
    "v100-16gb": (16_160, (7, 0)),
    "t4": (15_360, (7, 5)),
    "rtx2080ti": (11_264, (7, 5)),
    "rtx3060": (12_288, (8, 6)),
    "rtx3090": (24_576, (8, 6)),
    "rtx4090": (24_564, (8, 9)),
    "a100-40gb": (40_960, (8, 0)),
    "a100-80gb": (81_920, (8, 0)),
    "h100": (81_559, (9, 0)),
}

DEFAULT_GPU = "v100-32gb"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a plan may spend.

    Parameters
    ----------
    name : str
        "v100-32gb", "cpu", the detected GPU's name, or "11 GiB".
    kind : {"cuda", "cpu"}
    memory_bytes : int
        The device's memory; for a CPU the RAM that the process may use (cgroup limit included).
    capability : (int, int)
        CUDA compute capability; (0, 0) for a CPU.
    bf16 : bool
        The device multiplies bf16 in hardware.
    workers : int
        Threads that read data beside the training, or processes that augment it (`Augmentation.backend`).
    hours : float or None
        Wall time for the training of all folds.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    kind: Literal["cuda", "cpu"]
    memory_bytes: int
    capability: tuple[int, int] = (0, 0)
    bf16: bool = False
    workers: int = 1
    hours: float | None = None

    def __post_init__(self) -> None:
        if self.memory_bytes <= 0:
            raise ValueError(f"memory_bytes must be positive, got {self.memory_bytes}")
        if self.hours is not None and self.hours <= 0:
            raise ValueError(f"hours must be positive, got {self.hours}")

    @property
    def precision(self) -> Precision:
        """fp16 from capability 7.0 (tensor cores without bf16), bf16 from 8.0, fp32 below; a CPU's bf16 where it has it."""
        if self.bf16:
            return "bf16"
        return "fp16" if self.capability >= (7, 0) else "fp32"

    @property
    def device_type(self) -> str:
        """torch's name of the kind of device."""
        return self.kind


def named_gpu(name: str, *, workers: int = 2, hours: float | None = None) -> Budget:
    """The budget of a GPU by its name in `GPUS`; UsageError lists the names."""
    key = name.lower()
    if key not in GPUS:
        raise UsageError(f"--gpu {name} is not known. Known are {', '.join(GPUS)}, cpu; for another GPU give --gpu-memory in GiB.")
    mib, capability = GPUS[key]
    return Budget(
        name=key, kind="cuda", memory_bytes=mib * 1024**2, capability=capability, bf16=capability >= (8, 0), workers=workers, hours=hours
    )


def memory_budget(gib: float, *, workers: int = 2, hours: float | None = None) -> Budget:
    """A CUDA device of `gib` GiB of the V100's generation: fp16 runs on every card since, so the plan fits newer ones too."""
    if gib <= 0:
        raise UsageError(f"--gpu-memory must be positive, got {gib}")
    return Budget(name=f"{gib:g} GiB", kind="cuda", memory_bytes=int(gib * GIB), capability=(7, 0), workers=workers, hours=hours)


def usable_precision(planned: Precision, device_type: str, *, bf16: bool) -> Precision:
    """The precision in which a device runs a plan: as planned on CUDA; a CPU has no fp16 and takes bf16 where its processor has it.

    Parameters
    ----------
    planned : {"fp32", "fp16", "bf16"}
    device_type : {"cuda", "cpu"}
    bf16 : bool
        The device multiplies bf16 in hardware.
    """
    if planned == "fp32":
        return "fp32"
    if device_type == "cpu":
        return "bf16" if bf16 else "fp32"
    return "fp16" if planned == "bf16" and not bf16 else planned
