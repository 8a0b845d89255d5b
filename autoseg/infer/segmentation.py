"""A predicted case on its original grid. Imports no torch: the processes that write files take it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoseg.geometry import Geometry
from autoseg.infer.bits import BitMasks
from autoseg.infer.mask_files import MapFile, MaskFiles
from autoseg.labels import LabelSpace, Mask

if TYPE_CHECKING:
    from autoseg.infer.certainty import Sums
    from autoseg.infer.decide import Bytes, Halves


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """A predicted case on its original grid.

    Parameters
    ----------
    labels : LabelSpace
    geometry : Geometry
    array : array, BitMasks, MaskFiles or MapFile
        Overlapping classes: bool, (K, (z,) y, x). Exclusive ones: the value of each pixel's class and 0 for the background, the smallest
        unsigned integers, ((z,) y, x). Of large 2D images in files.
    probabilities : array of uint8, (K, (z,) y, x), or None
        255 p, without the background.
    halves : array of float16, (K, (z,) y, x), or None
        p, without the background.
    sums : Sums or None
        Of the probabilities on the grid of the nets, if the model weighs.

    Notes
    -----
    Volumes are in the canonical orientation, as they were read; `export.write_segmentation` turns them back to their file's own.
    """

    labels: LabelSpace
    geometry: Geometry
    array: NDArray[Any] | BitMasks | MaskFiles | MapFile
    probabilities: Bytes | None = None
    halves: Halves | None = None
    sums: Sums | None = None

    def masks(self) -> Iterator[tuple[str, Mask]]:
        """Each class's name and mask, one at a time."""
        values = self.map() if self.labels.exclusive else None
        for k, name in enumerate(self.labels.classes):
            if values is None:
                assert not isinstance(self.array, MapFile), "a map holds no masks"
                yield name, self.array[k]
            else:
                yield name, values == self.labels.values[k]

    def map(self) -> NDArray[Any]:
        """The values of exclusive classes, ((z,) y, x)."""
        assert self.labels.exclusive, "overlapping classes have no map"
        return np.asarray(self.array)
