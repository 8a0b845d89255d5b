"""From the host's memory to the device without waiting."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device; nobody waits for what the device has still to do.

    Notes
    -----
    From memory that may be swapped out a GPU copies through a buffer of its driver, and the host may have to wait until all is done that
    was asked of the device before (NVIDIA, CUDA runtime API, "API synchronization behavior"). The pinned copy may be dropped at once:
    torch gives its memory away again only when the stream has passed the copy (ATen/core/CachingHostAllocator.h).
    """
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
