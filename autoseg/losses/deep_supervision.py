"""The loss over all scales of a deeply supervised net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from autoseg.extensions import find
from autoseg.losses.heads import Heads, entropy_scales
from autoseg.losses.named import IN_PIECES, LOSSES, PIXEL_WEIGHTS, ScaleLoss
from autoseg.losses.targets import Targets, expand_codes


def scale_weights(num: int) -> tuple[float, ...]:
    """1, 1/2, 1/4, ... normalised to sum 1, finest first (nnU-Net; its coarsest scale, of weight 0, has no head here)."""
    raw = [0.5**i for i in range(num)]
    return tuple(w / sum(raw) for w in raw)


class DeepSupervision(nn.Module):
    """A named loss at every scale, weighted.

    Parameters
    ----------
    name : str
        A key of LOSSES, or a loss of another installed package.
    priors : sequence of float
        Share of pixels of each class.
    exclusive : bool
        Heads are a softmax with the background first.
    weights : sequence of float, optional
        How much each class counts, see `Heads`.
    """

    scales: Tensor
    weights: Tensor | None

    def __init__(self, name: str, priors: Sequence[float], *, exclusive: bool, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.loss: ScaleLoss = find("losses", name, LOSSES)
        self.pieces: ScaleLoss | None = IN_PIECES.get(name)
        #: Compute the loss in pieces where that is the same: `step.arrange_loss` says so for a CPU.
        self.in_pieces = False
        self.pixel_weights = PIXEL_WEIGHTS.get(name)
        self.exclusive = exclusive
        self.register_buffer("scales", entropy_scales(priors, exclusive=exclusive), persistent=False)
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)

    def forward(self, logits: Sequence[Tensor], codes: Tensor, table: Tensor, ignore: Tensor | None) -> Tensor:
        """Scalar fp32 loss.

        Parameters
        ----------
        logits : sequence of Tensor, (N, H, ...), finest first
        codes, table, ignore
            See `expand_codes`.
        """
        heads = Heads(exclusive=self.exclusive, scales=self.scales, weights=self.weights)
        targets = expand_codes(codes, table, ignore, exclusive=self.exclusive)
        if self.pixel_weights is not None:
            targets = replace(targets, emphasis=self.pixel_weights(targets, heads))
        scale_loss = self.pieces if self.in_pieces and self.pieces is not None else self.loss
        total = torch.zeros((), device=codes.device)
        for weight, scale in zip(scale_weights(len(logits)), logits, strict=True):
            targets = _at(targets, scale)
            total = total + weight * scale_loss(scale, targets, heads)
        return total


def _at(targets: Targets, logits: Tensor) -> Targets:
    have, want = targets.channels.shape[2:], logits.shape[2:]
    stride = tuple(h // w for h, w in zip(have, want, strict=True))
    return targets if all(s == 1 for s in stride) else targets.pooled(stride)
