"""What a prediction's probabilities add up to (`infer.certainty`), band by band where the nets run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.infer.blend import Band
from autoseg.infer.certainty import Sums
from autoseg.io.probabilities import NOISE

#: Heads times pixels that are summed at once on a GPU and on a CPU, where 1 MB stays in its cache; few enough for fp32 to count them.
CHUNK = (2**24, 2**18)


@torch.inference_mode()
def sums_of(probabilities: Tensor, *, exclusive: bool, thresholds: Sequence[float] = ()) -> Sums:
    """The sums of some rows of an image, or of all.

    Parameters
    ----------
    probabilities : fp32 Tensor, (H, *spatial), in [0, 1]
        On any device; the background before the K classes if they are exclusive.
    exclusive : bool
    thresholds : sequence of float
        Above which overlapping classes are there, one each; empty: 0.5.
    """
    limits = torch.tensor(thresholds or [0.5], dtype=probabilities.dtype, device=probabilities.device)
    rows = max(1, CHUNK[probabilities.device.type == "cpu"] // max(1, probabilities[:, :1].numel()))
    split = torch.split(probabilities, rows, dim=1)
    parts = [_sum_pixels(part.movedim(0, -1).flatten(end_dim=-2), exclusive, limits) for part in split]
    return _sums(torch.stack(parts).sum(dim=0, dtype=torch.float64))


def _sum_pixels(probabilities: Tensor, exclusive: bool, limits: Tensor) -> Tensor:
    """Area, mass and inside, fp32, (3, K), from (pixels, H): heads lie innermost in memory on a CPU."""
    classes = probabilities[:, int(exclusive) :]
    values = torch.nn.functional.threshold((classes * 255).round_(), NOISE, 0.0, inplace=True)
    if exclusive:
        heads = torch.arange(1, probabilities.shape[1], device=probabilities.device)
        decided = (probabilities.argmax(dim=1, keepdim=True) == heads).float()
    else:
        decided = (classes > limits).float()
    area, mass = decided.sum(dim=0), values.sum(dim=0) / 255
    return torch.stack([area, mass, values.mul_(decided).sum(dim=0) / 255])


def _sums(table: Tensor) -> Sums:
    area, mass, inside = table.cpu().numpy()
    return Sums(area=area, mass=mass, inside=inside)


@dataclass(kw_only=True)
class Tally:
    """Sums of a case while its bands go by; None before the first."""

    exclusive: bool
    thresholds: Sequence[float] = ()
    sums: Sums | None = None

    def watch(self, bands: Iterable[Band]) -> Iterator[Band]:
        """The bands as they are."""
        for band in bands:
            part = sums_of(band.probabilities, exclusive=self.exclusive, thresholds=self.thresholds)
            self.sums = part if self.sums is None else self.sums + part
            yield band
