"""From a checkpoint to a net that predicts, and from a plan to the window that it looks through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from autoseg.budget import Precision, usable_precision
from autoseg.checkpoint import Checkpoint
from autoseg.infer.devices import warn_of_volumes
from autoseg.infer.window import Window
from autoseg.labels import LabelSpace
from autoseg.nets import UNet, build_net
from autoseg.nets.packed import PackedUNet
from autoseg.plan import Plan
from autoseg.step import place

#: Pixels in one forward pass. A CPU is busy with one tile of 512 x 512; a GPU is not, and the net's features are freed layer by layer.
BATCH_PIXELS = {"cpu": 2**18, "cuda": 2**22}
#: Tiles in one forward pass at most: tiny patches gain nothing beyond.
MAX_BATCH = 64


def ready_net(checkpoint: Checkpoint, device: torch.device) -> nn.Module:
    """The checkpoint's net for prediction and nothing else: on a CPU in bf16 it is a `PackedUNet`, else what `load_net` gives."""
    net = load_net(checkpoint, device)
    settings = checkpoint.settings
    warn_of_volumes(settings.network.num_axes, device_precision(settings.precision, device), device)
    # A subclass of another package computes something else.
    is_packable = settings.network.kind == "unet" and device.type == "cpu" and device_precision(settings.precision, device) == "bf16"
    return PackedUNet(net, settings.patch) if is_packable and isinstance(net, UNet) else net


def load_net(checkpoint: Checkpoint, device: torch.device) -> nn.Module:
    """The checkpoint's net in eval mode on the device, placed as for training."""
    settings = checkpoint.settings
    net = build_net(settings.network)
    net.load_state_dict(checkpoint.weights)
    place(net, device, settings.network.num_axes)
    return net.requires_grad_(False).eval()


def device_precision(planned: Precision, device: torch.device) -> Precision:
    """What `device` runs of a plan made for another one."""
    if device.type == "cuda":
        return usable_precision(planned, "cuda", bf16=torch.cuda.get_device_capability(device) >= (8, 0))
    return usable_precision(planned, "cpu", bf16=bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def plan_window(plan: Plan, stage: str, device: torch.device, *, tta: bool = True, step: float = 0.5) -> Window:
    """The window through which a plan's stage is predicted.

    Parameters
    ----------
    plan, stage
        The stage is a key of plan.stages.
    device : torch.device
    tta : bool
        Average over the flips that the plan allows.
    step : float
        Largest distance of neighbouring tiles as a share of the patch.
    """
    settings = plan.stages[stage]
    pixels = math.prod(settings.patch)
    return Window(
        patch=settings.patch,
        exclusive=plan.labels.exclusive,
        step=step,
        mirror_axes=settings.mirror_axes if tta else (),
        mirror_swap=head_swap(plan.labels, settings.mirror_swap),
        batch=min(MAX_BATCH, max(1, BATCH_PIXELS[device.type] // pixels)),
        precision=device_precision(settings.precision, device),
        device=device,
    )


def head_swap(labels: LabelSpace, mirror_swap: Sequence[int]) -> tuple[int, ...]:
    """A permutation of classes as one of heads: the background, if there is one, stays first.

    >>> head_swap(LabelSpace(classes=("left", "right"), exclusive=True, values=(1, 2)), (1, 0))
    (0, 2, 1)
    """
    if not mirror_swap:
        return ()
    first = int(labels.exclusive)
    return (*range(first), *(k + first for k in mirror_swap))
