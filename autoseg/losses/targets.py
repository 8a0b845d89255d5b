"""Code maps to target channels, on the device, and their area averages at the scales of deep supervision.

Shapes: N samples, S codes in the padded tables, K classes, H heads (K, and one before them for the background if classes are
exclusive), ... the spatial axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

POOLS = {2: F.avg_pool2d, 3: F.avg_pool3d}


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """What the heads should say at one scale.

    Parameters
    ----------
    channels : Tensor, (N, H, ...), in [0, 1]
        Shares of the classes in each pixel; 0 or 1 at full resolution. Zero where unlabelled.
    weight : Tensor, (N, 1, ...), in [0, 1], or None
        Share of labelled pixels; None if all are.
    emphasis : Tensor, (N, 1 or H, ...), or None
        How much each pixel counts for losses that treat pixels differently; None: all alike.
    """

    channels: Tensor
    weight: Tensor | None
    emphasis: Tensor | None = None

    def pooled(self, stride: tuple[int, ...]) -> Targets:
        """Area averages over `stride`; unlabelled pixels count in no average."""
        pool = POOLS[len(stride)]
        if self.weight is None:
            emphasis = None if self.emphasis is None else pool(self.emphasis, stride, stride)
            return Targets(channels=pool(self.channels, stride, stride), weight=None, emphasis=emphasis)
        # Weighted: these may be averages already, of pixels that are labelled in part.
        weight = pool(self.weight, stride, stride)
        share = weight.clamp(min=1e-6)
        emphasis = None if self.emphasis is None else pool(self.emphasis * self.weight, stride, stride) / share
        return Targets(channels=pool(self.channels * self.weight, stride, stride) / share, weight=weight, emphasis=emphasis)


def expand_codes(codes: Tensor, table: Tensor, ignore: Tensor | None, *, exclusive: bool) -> Targets:
    """Code maps as target channels.

    Parameters
    ----------
    codes : int32 Tensor, (N, ...)
    table : bool Tensor, (N, S, K)
    ignore : bool Tensor, (N, S), or None
        None if nothing is unlabelled: known on the CPU, so that nothing has to be asked of the device.
    exclusive : bool
        Adds a background channel in front: pixels without class that are labelled.

    Returns
    -------
    Targets
        fp32, in channels_last layout: the gather writes the channels of a pixel side by side.
    """
    if exclusive:
        empty = ~table.any(dim=2)
        background = empty if ignore is None else empty & ~ignore
        table = torch.cat([background.unsqueeze(2), table], dim=2)
    num, sets, heads = table.shape
    offset = torch.arange(num, device=codes.device, dtype=torch.int32).reshape(num, *[1] * (codes.ndim - 1)) * sets
    rows = codes + offset
    shares = table.reshape(num * sets, heads).float()
    if exclusive:
        # Classes that touch may share a few pixels (the planner calls up to 0.1 % exclusive): each gets an equal part of them.
        shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1)
    channels = F.embedding(rows, shares).movedim(-1, 1)
    weight = None
    if ignore is not None:
        weight = F.embedding(rows, (~ignore).reshape(num * sets, 1).float()).movedim(-1, 1)
    return Targets(channels=channels, weight=weight)
