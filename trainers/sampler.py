"""Which case and which place a sample is cut from: a function of (seed, fold, iteration, sample), as all draws are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.augment import Intensity, RawSample, draw_sample, sample_rng, source_box
from autoseg.augment.components import remove_components_
from autoseg.augment.draws import fold_number
from autoseg.geometry import mirror_indices
from autoseg.plan import Stage
from autoseg.preprocess.store import PreparedStore, StoredCase
from autoseg.trainers.chain import transform_sample, wide_box
from autoseg.trainers.weighting import draw_class, pass_order, weights_of

#: Sets the shuffles apart from the samples' draws, whose third number is an iteration.
SHUFFLE_STREAM = 2**31
#: Other places that are tried for a patch with less foreground than the recipe's least.
REDRAWS = 10


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Cuts raw samples from prepared cases.

    Parameters
    ----------
    store : PreparedStore
        In a cascade opened with the previous stage's channels.
    cases : tuple of str
        The fold's training cases.
    stage : Stage
        Patch, batch, flips, rotation, recipe.
    seed : int
    fold : str
        "0" .. "4" or "all".
    classes : tuple of str
        Names of the classes, which the recipe's class weights go by; not needed without.
    """

    store: PreparedStore
    cases: tuple[str, ...]
    stage: Stage
    seed: int
    fold: str
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stage.recipe.class_weights and len(self.classes) != len(self.stage.priors):
            raise ValueError(f"class_weights need the names of all {len(self.stage.priors)} classes, got {self.classes}")

    def batch(self, iteration: int) -> list[RawSample]:
        """The raw samples of one iteration."""
        return [self.sample(iteration, index) for index in range(self.stage.batch)]

    def sample(self, iteration: int, index: int) -> RawSample:
        """One raw sample; the same arguments always give the same one. With backend "workers" only in a process of its own (`chain`)."""
        stage, recipe = self.stage, self.stage.recipe
        case = self.store.open(self._case_name(iteration, index))
        rng = sample_rng(self.seed, self.fold, iteration, index)
        foreground = rng.random() < recipe.foreground_share
        corner = self._corner(rng, case, foreground=foreground)
        draw = draw_sample(
            rng,
            recipe.augmentation,
            num_channels=stage.num_image_channels,
            num_axes=len(stage.patch),
            mirror_axes=stage.mirror_axes,
            rotation=stage.rotation_degrees,
            spacing=stage.net_spacing,
            num_previous=stage.num_previous_channels,
        )
        outer, inner = corner[: -len(stage.patch)], corner[-len(stage.patch) :]
        in_workers = recipe.augmentation.backend == "workers"
        box = wide_box(inner, stage) if in_workers else source_box(inner, stage.patch, draw)
        slices = [slice(c, c + 1) for c in outer] + [slice(a, b) for a, b in zip(box.start, box.stop, strict=True)]
        shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
        image = read_mirrored(case.image, slices, leading=1)
        codes = read_mirrored(case.codes, slices, leading=0)
        previous = None
        if stage.previous is not None:
            assert case.previous is not None, "a cascade's store is opened with its channels"
            previous = read_mirrored(case.previous, slices, leading=1)
            previous = previous.reshape(previous.shape[0], *shape)
            remove_components_(previous, draw.previous_removal, patch_size=math.prod(stage.patch))
        raw = RawSample(
            image=image.reshape(image.shape[0], *shape),
            codes=codes.reshape(shape),
            table=case.table,
            ignore=case.ignore,
            intensity=Intensity.of(case.meta),
            draw=draw,
            centre=box.centre,
            previous=previous,
        )
        return transform_sample(raw, stage) if in_workers else raw

    def name(self, iteration: int) -> str:
        """What a person calls the batch of an iteration."""
        cases = ", ".join(self._case_name(iteration, index) for index in range(self.stage.batch))
        return f"the batch of iteration {iteration} ({cases})"

    def _case_name(self, iteration: int, index: int) -> str:
        # Every pass over the cases is a shuffle of its own: all cases are seen as often as their weights say, without a state.
        position = iteration * self.stage.batch + index
        number, place = divmod(position, len(self.cases))
        rng = np.random.default_rng([self.seed, fold_number(self.fold), SHUFFLE_STREAM, number])
        order = pass_order(weights_of(self.cases, self.stage.recipe.case_weights), rng)
        return self.cases[int(order[place])]

    def _corner(self, rng: np.random.Generator, case: StoredCase, *, foreground: bool) -> tuple[int, ...]:
        """First pixel of the patch in the case, all axes of the data: of several places the first with enough foreground, or the best."""
        best, least = self._place(rng, case, foreground=foreground), self.stage.recipe.min_foreground
        if not least or not any(len(points) for points in case.points):
            return best
        most = self._foreground(case, best)
        for _ in range(REDRAWS):
            if most >= least:
                break
            other = self._place(rng, case, foreground=foreground)
            share = self._foreground(case, other)
            if share > most:
                best, most = other, share
        return best

    def _foreground(self, case: StoredCase, corner: tuple[int, ...]) -> float:
        """Share of a patch's pixels, before it is augmented, that belong to a class."""
        patch = (1,) * (len(case.shape) - len(self.stage.patch)) + self.stage.patch
        codes = read_mirrored(case.codes, [slice(c, c + edge) for c, edge in zip(corner, patch, strict=True)], leading=0)
        return float(np.asarray(case.table.any(axis=1))[codes].mean())

    def _place(self, rng: np.random.Generator, case: StoredCase, *, foreground: bool) -> tuple[int, ...]:
        """First pixel of a patch that is drawn anywhere, or around a pixel of a class."""
        patch = (1,) * (len(case.shape) - len(self.stage.patch)) + self.stage.patch
        low = [min(0, size - edge) for size, edge in zip(case.shape, patch, strict=True)]
        high = [max(0, size - edge) for size, edge in zip(case.shape, patch, strict=True)]
        corner = [int(rng.integers(a, b + 1)) for a, b in zip(low, high, strict=True)]
        present = [k for k, points in enumerate(case.points) if len(points)]
        if foreground and present:
            names = [self.classes[k] for k in present] if self.stage.recipe.class_weights else []
            weights = weights_of(names, self.stage.recipe.class_weights) if names else np.ones(len(present))
            points = case.points[present[draw_class(rng, weights)]]
            point = points[int(rng.integers(len(points)))]
            corner = [int(np.clip(p - edge // 2, a, b)) for p, edge, a, b in zip(point, patch, low, high, strict=True)]
        return tuple(corner)


def read_mirrored(array: Any, slices: Sequence[slice], *, leading: int) -> NDArray[Any]:
    """Read a box that may reach beyond the array, whose border is mirrored; only the chunks in reach are read.

    Parameters
    ----------
    array : array-like, `leading` whole axes and then the spatial ones
        A stored array that reads itself by slices.
    slices : sequence of slice
        One per spatial axis; starts below 0 and stops beyond the end are allowed.
    leading : int
        Axes before the spatial ones.
    """
    shape = array.shape[leading:]
    inside: list[slice] = []
    takes: list[NDArray[np.int64] | None] = []
    for box, length in zip(slices, shape, strict=True):
        if box.start >= 0 and box.stop <= length:
            inside.append(box)
            takes.append(None)
        else:
            indices = mirror_indices(box.start, box.stop, length)
            first = int(indices.min())
            inside.append(slice(first, int(indices.max()) + 1))
            takes.append(indices - first)
    out: NDArray[Any] = np.asarray(array[(*[slice(None)] * leading, *inside)])
    for axis, take in enumerate(takes, start=leading):
        if take is not None:
            out = out.take(take, axis=axis)
    return out
