"""The devices that a user names, checked before anything long begins."""

from __future__ import annotations

import torch

from autoseg.errors import DeviceError, UsageError


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
    if text is None:
        devices: tuple[torch.device, ...] = (torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"),)
    else:
        devices = _parse(text)
    for device in devices:
        if device.type == "cuda":
            check_cuda(device)
    return devices


def _parse(text: str) -> tuple[torch.device, ...]:
    kind, _, numbers = text.partition(":")
    if not numbers and set(kind.split(",")) == {"cpu"}:
        return (torch.device("cpu"),) * len(kind.split(","))
    indices = numbers.split(",") if numbers else ["0"]
    if kind != "cuda" or not all(index.isdigit() for index in indices):
        raise UsageError(f"--device {text} is not understood; it is cpu, cuda, cuda:1, or cuda:0,1 for two at once.")
    return tuple(torch.device("cuda", int(index)) for index in dict.fromkeys(indices))


def check_cuda(device: torch.device) -> None:
    """Raise DeviceError unless this build of torch can compute on the device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index or 0
    if index >= count:
        there = f"there are {count}: cuda:0 to cuda:{count - 1}" if count else "torch finds no GPU here"
        raise DeviceError(f"--device cuda:{index}: {there}. --device cpu computes on the processor.")
    major, minor = torch.cuda.get_device_capability(index)
    # Code of one major version runs on later minors (sm_80 on 8.6); PTX (compute_XX) is compiled on the spot for newer ones.
    built = [arch.split("_") for arch in torch.cuda.get_arch_list()]
    numbers = [(kind, int(number[:-1]), int(number[-1])) for kind, number in built if number.isdigit()]
    binary = any(kind == "sm" and a == major and b <= minor for kind, a, b in numbers)
    portable = any(kind == "compute" and (a, b) <= (major, minor) for kind, a, b in numbers)
    if not binary and not portable:
        raise DeviceError(
            f"{torch.cuda.get_device_name(index)} has compute capability {major}.{minor}, "
            f"for which torch {torch.__version__} holds no code. "
            "For a V100 install torch with constraints-torch-sm70.txt (`make` does so by itself)."
        )
