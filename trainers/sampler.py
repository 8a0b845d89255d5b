"""Which case and which place a sample is cut from: a function of (seed, fold, iteration, sample), as all draws are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.augment import Intensity, RawSample, draw_sample, sample_rng, source_box
from autoseg.augment.draws import fold_number
from autoseg.geometry import mirror_indices
from autoseg.plan import Stage
from autoseg.preprocess.store import PreparedStore, StoredCase

#: Sets the shuffles apart from the samples' draws, whose third number is an iteration.
SHUFFLE_STREAM = 2**31


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Cuts raw samples from prepared cases.

    Parameters
    ----------
    store : PreparedStore
    cases : tuple of str
        The fold's training cases.
    stage : Stage
        Patch, batch, flips, rotation, recipe.
    seed : int
    fold : str
        "0" .. "4" or "all".
    """

    store: PreparedStore
    cases: tuple[str, ...]
    stage: Stage
    seed: int
    fold: str

    def batch(self, iteration: int) -> list[RawSample]:
        """The raw samples of one iteration."""
        return [self.sample(iteration, index) for index in range(self.stage.batch)]

    def sample(self, iteration: int, index: int) -> RawSample:
        """One raw sample; the same arguments always give the same one."""
        stage, recipe = self.stage, self.stage.recipe
        case = self.store.open(self._case_name(iteration, index))
        rng = sample_rng(self.seed, self.fold, iteration, index)
        foreground = rng.random() < recipe.foreground_share
        corner = self._corner(rng, case, foreground=foreground)
        draw = draw_sample(
            rng,
            recipe.augmentation,
            num_channels=stage.network.in_channels,
            num_axes=len(stage.patch),
            mirror_axes=stage.mirror_axes,
            rotation=stage.rotation_degrees,
        )
        outer, inner = corner[: -len(stage.patch)], corner[-len(stage.patch) :]
        box = source_box(inner, stage.patch, draw.matrix)
        slices = [slice(c, c + 1) for c in outer] + [slice(a, b) for a, b in zip(box.start, box.stop, strict=True)]
        shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
        image = read_mirrored(case.image, slices, leading=1)
        codes = read_mirrored(case.codes, slices, leading=0)
        return RawSample(
            image=image.reshape(image.shape[0], *shape),
            codes=codes.reshape(shape),
            table=case.table,
            ignore=case.ignore,
            intensity=Intensity.of(case.meta),
            draw=draw,
            centre=box.centre,
        )

    def _case_name(self, iteration: int, index: int) -> str:
        # Every pass over the cases is a shuffle of its own: all cases are seen equally often, without a state.
        position = iteration * self.stage.batch + index
        number, place = divmod(position, len(self.cases))
        order = np.random.default_rng([self.seed, fold_number(self.fold), SHUFFLE_STREAM, number]).permutation(len(self.cases))
        return self.cases[int(order[place])]

    def _corner(self, rng: np.random.Generator, case: StoredCase, *, foreground: bool) -> tuple[int, ...]:
        """First pixel of the patch in the case, all axes of the data."""
        patch = (1,) * (len(case.shape) - len(self.stage.patch)) + self.stage.patch
        low = [min(0, size - edge) for size, edge in zip(case.shape, patch, strict=True)]
        high = [max(0, size - edge) for size, edge in zip(case.shape, patch, strict=True)]
        corner = [int(rng.integers(a, b + 1)) for a, b in zip(low, high, strict=True)]
        present = [points for points in case.points if len(points)]
        if foreground and present:
            points = present[int(rng.integers(len(present)))]
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
