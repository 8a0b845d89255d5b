"""One prepared case through the nets and back: masks or an integer map on the original grid.

Rows are carried back and cut to masks as they finish: no float image ever exists.

Shapes: H heads (K classes, and the background before them if they are exclusive).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from numpy.typing import NDArray
from torch import nn

from autoseg.augment import Intensity
from autoseg.geometry import Geometry
from autoseg.infer.blend import Band
from autoseg.infer.constant import KnownTiles
from autoseg.infer.decide import Bytes, Kept, Room, decide
from autoseg.infer.parts import Parts
from autoseg.infer.segmentation import Segmentation
from autoseg.infer.sums import Tally
from autoseg.infer.window import Source, Window, predict_sources
from autoseg.labels import LabelSpace
from autoseg.plan import Plan
from autoseg.preprocess.prepared import PreparedMeta
from autoseg.step import give_back_freed_memory

#: Pixels from which on freed memory is handed back.
LARGE = 2**24


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """All that turns prepared cases into segmentations.

    Parameters
    ----------
    labels : LabelSpace
    nets : tuple of modules
        The folds, in eval mode on the window's device.
    window : Window
        From `infer.nets.plan_window`.
    previous : Previous or None
        The stage before in a cascade; `segment` itself is given its result, `infer.cascade` makes it.
    thresholds : tuple of float
        Above which overlapping classes are there, one each; empty: 0.5.
    known : KnownTiles
        What the nets said of constant tiles.
    parts : Parts
        How many tiles there is memory for at a time.
    weighs : bool
        Segmentations come with their `sums`.
    """

    labels: LabelSpace
    nets: tuple[nn.Module, ...]
    window: Window
    previous: Previous | None = None
    thresholds: tuple[float, ...] = ()
    known: KnownTiles = field(default_factory=KnownTiles)
    parts: Parts = field(default_factory=Parts)
    weighs: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Previous:
    """The stage before in a cascade: its model, and the plan and the stage by which its cases are prepared."""

    plan: Plan
    stage: str
    model: Model


def segment(
    model: Model, image: NDArray[Any], meta: PreparedMeta, *, previous: Bytes | None = None, probabilities: Kept = False
) -> Segmentation:
    """Predict a prepared case.

    Parameters
    ----------
    model : Model
    image : array, (C, *spatial)
        As prepared: not normalised, slices first.
    meta : PreparedMeta
        The case's way there, with the normalisation of its channels.
    previous : array of uint8, (K, *spatial), optional
        The previous stage's channels, from `preprocess.previous`.
    probabilities : bool or {"half", "both"}
        Give them too: True as bytes, "half" in half precision.

    Returns
    -------
    Segmentation
        Overlapping classes: where the probability is above the threshold. Exclusive ones: the most probable, the earlier of equals.
    """
    item = Item(image=image, meta=meta, previous=previous)
    return next(segment_all(model, [item], probabilities=probabilities))


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """A prepared case: the arguments of `segment`."""

    image: NDArray[Any]
    meta: PreparedMeta
    previous: Bytes | None = None


def tidy_after(geometry: Geometry) -> None:
    """Let go of the memory that something of a large image took: open rows of gigabytes are not to lie beside its export."""
    if math.prod(geometry.shape) >= LARGE:
        give_back_freed_memory()


def segment_all(model: Model, items: Sequence[Item], *, probabilities: Kept = False, room: Room | None = None) -> Iterator[Segmentation]:
    """Predict several prepared cases, whose tiles share the net's batches; each as `segment` gives it, in order, when it is done.

    `room` has files for masks that are too large for memory.
    """
    sources = (Source(image=item.image, intensity=Intensity.of(item.meta), previous=item.previous) for item in items)
    results = predict_sources(model.nets, sources, model.window, model.known, model.parts)
    for number, group in groupby(results, key=itemgetter(0)):
        meta, tally = items[number].meta, Tally(exclusive=model.labels.exclusive, thresholds=model.thresholds)
        bands: Iterator[Band] = (band for _, band in group)
        bands = tally.watch(bands) if model.weighs else bands
        decided = decide(bands, model.labels, meta, probabilities=probabilities, thresholds=model.thresholds, room=room)
        tidy_after(meta.geometry)
        yield Segmentation(
            labels=model.labels, geometry=meta.geometry, array=decided.array, probabilities=decided.probabilities, halves=decided.halves,
            sums=tally.sums,
        )  # fmt: skip
