"""The devices that a user names, checked before anything long begins."""

from __future__ import annotations

import functools
import logging
import os
import re
import shutil
import subprocess

import torch

from autoseg import budget
from autoseg.budget import Precision
from autoseg.errors import DeviceError, UsageError

logger = logging.getLogger(__name__)

#: From 9.11 on cuDNN holds no code for older GPUs than Turing (its release notes; torch's issue 162574).
TURING, CUDNN_FROM_TURING = (7, 5), 91100
#: cuDNN whose half-precision convolutions over three axes are known to be wrong at some sizes (torch's issue 163539). torch 2.9 and 2.10
#: do without them (`use_cudnn` in Convolution.cpp); nnU-Net measured four times the time (issue 166122).
CUDNN_WRONG_IN_3D = range(90800, 91500)


def parse_devices(text: str | None) -> tuple[torch.device, ...]:
    """--device as typed: "cpu", "cuda", "cuda:1", "cuda:0,1"; None takes the first GPU, or the CPU where there is none.

    "cpu,cpu" is the processor twice: two processes that share its cores.

    Raises
    ------
    UsageError
        If it is not of this form.
    DeviceError
        If the device is not there, or this build of torch holds no code for it.
    """
    devices = (_first(),) if text is None else _parse(text)
    for device in devices:
        if device.type == "cuda":
            check_cuda(device)
    return devices


def _first() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if is_gpu_unseen():
        warn_once(f"{why_no_gpu()}. The processor computes.")
    return torch.device("cpu")


def _parse(text: str) -> tuple[torch.device, ...]:
    kind, _, numbers = text.partition(":")
    if not numbers and set(kind.split(",")) == {"cpu"}:
        return (torch.device("cpu"),) * len(kind.split(","))
    indices = numbers.split(",") if numbers else ["0"]
    if kind != "cuda" or not all(index.isdigit() for index in indices):
        raise UsageError(f"--device {text} is not understood; it is cpu, cuda, cuda:1, or cuda:0,1 for two at once.")
    return tuple(torch.device("cuda", int(index)) for index in dict.fromkeys(indices))


def check_cuda(device: torch.device) -> None:
    """Raise DeviceError unless this build of torch, and its cuDNN, can compute on the device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index or 0
    if index >= count:
        there = f"there are {count}: cuda:0 to cuda:{count - 1}" if count else why_no_gpu()
        raise DeviceError(f"--device cuda:{index}: {there}. --device cpu computes on the processor.")
    if torch.version.hip is not None:
        return  # AMD's architectures (gfx90a) are no compute capabilities
    capability = torch.cuda.get_device_capability(index)
    build = f"torch {torch.__version__} (CUDA {torch.version.cuda})"
    if not any(_runs_on(arch, capability) for arch in torch.cuda.get_arch_list()):
        lacking = build
    elif capability < TURING and cudnn_version() >= CUDNN_FROM_TURING:
        lacking = f"cuDNN {_dotted(cudnn_version())} of {build}"
    else:
        return
    name = torch.cuda.get_device_name(index)
    has = f"{name} has compute capability {capability[0]}.{capability[1]}"
    raise DeviceError(f"{has}, for which {lacking} holds no code. {_which_torch(capability)}")


def _runs_on(arch: str, capability: tuple[int, int]) -> bool:
    """True if code of this name runs on a GPU.

    Notes
    -----
    By the CUDA programming guide: a binary (sm_80) runs on later minors of its major version (8.6), PTX (compute_80) is compiled on the
    spot for whatever is newer; with an "a" (sm_90a) either is for this capability alone, with an "f" for it and later minors.
    """
    named = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
    if named is None:
        return False
    kind, built, suffix = named[1], (int(named[2]), int(named[3])), named[4]
    if suffix == "a":
        return built == capability
    return built <= capability and (built[0] == capability[0] or (kind == "compute" and not suffix))


def _which_torch(capability: tuple[int, int]) -> str:
    if capability < TURING:
        return "Install torch with constraints-torch-sm70.txt (`make` does so by itself)."
    return "Install a torch that was built for it: a newer one, or the same for a newer CUDA."


def cudnn_version() -> int:
    """91002 for 9.10.2; 0 without cuDNN."""
    if torch.version.hip is not None:
        return 0  # torch then gives MIOpen's
    return int(torch.backends.cudnn.version() or 0)  # type: ignore[no-untyped-call]


def _dotted(version: int) -> str:
    """
    >>> _dotted(91002)
    '9.10.2'
    """
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def note_on_volumes(num_axes: int, precision: Precision, capability: tuple[int, int]) -> str:
    """What is wrong with the cuDNN at hand where nets compute over three axes in half precision, and the torch to take; "" if nothing."""
    version = cudnn_version()
    if num_axes != 3 or precision == "fp32" or version not in CUDNN_WRONG_IN_3D:
        return ""
    other = "torch 2.7 (constraints-torch-sm70.txt)" if capability < TURING else "torch 2.11 or newer"
    return (
        f"torch {torch.__version__} has cuDNN {_dotted(version)}, whose convolutions over three axes in {precision} are wrong at some "
        "sizes. torch 2.9 and 2.10 do without them, which takes several times as long and more memory than was planned; 2.8 does not. "
        f"Install {other}."
    )


def warn_of_volumes(num_axes: int, precision: Precision, device: torch.device) -> None:
    """Log `note_on_volumes` of a device, once in a process."""
    if device.type == "cuda" and (note := note_on_volumes(num_axes, precision, torch.cuda.get_device_capability(device))):
        warn_once(note)


@functools.cache
def warn_once(text: str) -> None:
    """Log a warning, the same one only once in a process."""
    logger.warning("Warning: %s", text)


def is_gpu_unseen() -> bool:
    """True if torch finds no GPU although NVIDIA's driver is at work, and nobody has hidden the GPUs from it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and not torch.cuda.is_available() and (budget.DRIVER.exists() or _smi_answers())


def _smi_answers() -> bool:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return False
    try:
        return subprocess.run([smi, "-L"], capture_output=True, timeout=20, check=False).returncode == 0  # noqa: S603 - lists the GPUs
    except (OSError, subprocess.TimeoutExpired):
        return False


def why_no_gpu() -> str:
    """Why torch finds no GPU, and what helps: part of a sentence."""
    if not is_gpu_unseen():
        return "there is no GPU here"
    here = f"NVIDIA's driver is here, but torch {torch.__version__}"
    if torch.version.cuda is None:
        return f"{here} was built without CUDA: install one that was built with it"
    return (
        f"{here}, built for CUDA {torch.version.cuda}, finds no GPU: nvidia-smi shows the GPUs and the newest CUDA that the driver can "
        "run. Update the driver, or install a torch for an older CUDA (constraints-torch-sm70.txt: 12.6); a container must be given the GPU"
    )
