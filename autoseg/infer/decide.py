"""Where probabilities become masks: the one place, slab by slab of the original grid.

Shapes: H heads (K classes, and the background before them if they are exclusive).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.infer.bits import BitMasks
from autoseg.infer.blend import Band
from autoseg.infer.mask_files import MapFile, MaskFiles
from autoseg.infer.slabs import slabs
from autoseg.io.scratch import let_go, roomy_zeros
from autoseg.labels import LabelSpace, class_values
from autoseg.preprocess.prepared import PreparedMeta

Bytes = NDArray[np.uint8]
Halves = NDArray[np.float16]
#: Which probabilities are kept beside the masks: none, bytes (True), half precision, or both.
Kept = bool | Literal["half", "both"]
Thresholds = Sequence[float]
#: Files for the masks of a case, or None where memory does.
Room = Callable[[LabelSpace, PreparedMeta], MaskFiles | MapFile | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Decided:
    """Masks on the original grid.

    Parameters
    ----------
    array : BitMasks or MaskFiles (K, (z,) y, x) of overlapping classes; array or MapFile ((z,) y, x), the values of exclusive ones
    probabilities : array of uint8, (K, (z,) y, x), or None
        255 p, without the background.
    halves : array of float16, (K, (z,) y, x), or None
        p, without the background.
    """

    array: BitMasks | MaskFiles | MapFile | NDArray[Any]
    probabilities: Bytes | None
    halves: Halves | None = None


def are_inside(probabilities: Tensor, thresholds: Thresholds = ()) -> Tensor:
    """Where the probabilities (K, ...) of overlapping classes lie above their thresholds, 0.5 if none are given; bool."""
    if not thresholds:
        return probabilities > 0.5
    limits = torch.tensor(list(thresholds), dtype=torch.float32, device=probabilities.device)
    return probabilities > limits.view(-1, *[1] * (probabilities.ndim - 1))


def most_probable(probabilities: Tensor) -> Tensor:
    """The head of the largest probability of (H, ...), the earlier of equals; int64."""
    # Heads lie innermost on a CPU: along them it is a third of the time.
    return probabilities.movedim(0, -1).argmax(dim=-1)


def decide(
    bands: Iterable[Band],
    labels: LabelSpace,
    meta: PreparedMeta,
    *,
    probabilities: Kept = False,
    thresholds: Thresholds = (),
    room: Room | None = None,
) -> Decided:
    """Decide rows as they finish; no float image ever exists, whether the case was resampled or not.

    Parameters
    ----------
    bands : iterable of Band
        All rows of the case, on the prepared grid.
    labels : LabelSpace
    meta : PreparedMeta
    probabilities : bool or {"half", "both"}
        Keep them too: True as bytes.
    thresholds : sequence of float
        Of overlapping classes, one each; empty: 0.5. Exclusive ones: the most probable wins, the earlier of equals.
    room : Room, optional
        Where masks go that memory is too small for.
    """
    first, shape, values = int(labels.exclusive), meta.geometry.shape, class_values(labels)
    stored, halves = (roomy_zeros((labels.num_classes, *shape), dtype) if kept else None for dtype, kept in _kept(probabilities))
    files = room(labels, meta) if room is not None else None
    array = files if files is not None else _in_memory(labels, shape, values.dtype)
    with files if files is not None else nullcontext():
        for place, part in slabs(bands, meta):
            decision = values[most_probable(part).cpu().numpy()] if labels.exclusive else are_inside(part, thresholds).cpu().numpy()
            if isinstance(array, np.ndarray):
                array[place] = decision
            else:
                array.put(place, decision)
            if halves is not None:
                halves[:, *place] = part[first:].cpu().numpy()
                let_go(halves)
            if stored is not None:
                stored[:, *place] = (part[first:] * 255).round().to(torch.uint8).cpu().numpy()
                let_go(stored)
    return Decided(array=array, probabilities=stored, halves=halves)


def _in_memory(labels: LabelSpace, shape: tuple[int, ...], dtype: np.dtype[Any]) -> BitMasks | NDArray[Any]:
    return np.zeros(shape, dtype) if labels.exclusive else BitMasks.empty(labels.num_classes, shape)


def _kept(kept: Kept) -> tuple[tuple[type[np.generic], bool], tuple[type[np.generic], bool]]:
    """Whether bytes, and whether halves are kept."""
    return (np.uint8, kept in (True, "both")), (np.float16, kept in ("half", "both"))
