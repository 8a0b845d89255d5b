"""A prepared case: what a net is trained on, with what is needed to go back to the original grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from autoseg.geometry import Geometry
from autoseg.labels import CodeMap

#: Raised when `prepare` changes its result; older stores are then made again.
PREPARED_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class PreparedMeta:
    """How a prepared case came about.

    The way there: cut `box` out of the original, resample to `resampled_shape`, order the axes as `axes` says. Values stay as they are
    (those of a channel whose normalisation is "clahe" are equalised after the cut); a net sees (clip(x, lower, upper) - mean) / std of each
    channel, which is computed on the device.

    Parameters
    ----------
    name : str
    geometry : Geometry
        The original grid.
    box : tuple of (int, int)
        Half-open range per original axis.
    resampled_shape : tuple of int
        After resampling, original order of the axes; the box's own shape if nothing was resampled.
    axes : tuple of int
        axes[i] is the original axis that lies at prepared axis i.
    sliced : bool
        The first prepared axis counts the slices that a 2D net sees one at a time.
    lower, upper, mean, std : tuple of float
        Normalisation of each channel.
    class_pixels : tuple of int
        Pixels of each class in the prepared case; empty without labels.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    geometry: Geometry
    box: tuple[tuple[int, int], ...]
    resampled_shape: tuple[int, ...]
    axes: tuple[int, ...]
    sliced: bool = False
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_pixels: tuple[int, ...] = ()

    @property
    def box_shape(self) -> tuple[int, ...]:
        """Shape of the box that was cut out, original axes."""
        return tuple(stop - start for start, stop in self.box)

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape of the prepared case."""
        return tuple(self.resampled_shape[axis] for axis in self.axes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A case ready for a net.

    Parameters
    ----------
    image : array, shape (C, *spatial)
        In the smallest dtype that holds its values, not normalised. With `Stage.slice_axis`, slices are the first spatial axis.
    labels : CodeMap or None
    points : tuple of arrays of int32, each (n, num_axes)
        Random coordinates of pixels of each class, for sampling; n up to `MAX_POINTS`, 0 if the class is absent.
    meta : PreparedMeta
    """

    image: NDArray[Any]
    labels: CodeMap | None
    points: tuple[NDArray[Any], ...]
    meta: PreparedMeta
