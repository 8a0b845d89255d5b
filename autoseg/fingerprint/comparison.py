"""What comparing cases gives: handedness and pose, likeness under flips, likeness of neighbours, and the context classes need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class MirrorFit:
    """How well mirrored arrangements of class centroids fit the other cases, any rotation, shift and scale allowed.

    Parameters
    ----------
    swap : tuple of int
        The class whose place each class takes when mirrored; the identity order if no class changes.
    source : {"as it stands", "names", "geometry"}
        Where the swap comes from.
    ratio : float
        Median over cases of the distance to the nearest mirrored case, over the distance to the nearest unmirrored one.
    worst_ratio : float
        The same for the single class that fits worst: an unpaired heart among many ribs.
    worst_class : int
    flip_degrees : tuple of float
        Per axis: how far a case flipped along this axis must be turned to lie on its nearest case, median.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    swap: tuple[int, ...]
    source: str
    ratio: float
    worst_ratio: float
    worst_class: int
    flip_degrees: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """How the classes lie to each other, over a sample of cases; see `fingerprint.arrangement`.

    Parameters
    ----------
    cases : int
        Cases with more classes than axes: fewer points have no handedness.
    flatness : float
        Smallest over largest singular value of the centroids, median: 0 on a line (2D) or in a plane (3D), which is its own mirror image.
    spread : float
        Distance of the centroids from their middle over half the size of the classes, median: near 0 for texture found everywhere.
    nearest : float
        Median distance (Procrustes, 0 equal to 1 unrelated) of a case to its nearest unmirrored one.
    fits : tuple of MirrorFit
        As it stands first, then with swapped pairs of classes.
    turn_median, turn_p95 : float
        Degrees between the poses of two cases: median and 95th percentile.
    turn_cases : int
        Cases that the turns were measured on (two classes are enough for a direction).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    cases: int
    flatness: float
    spread: float
    nearest: float
    fits: tuple[MirrorFit, ...]
    turn_median: float
    turn_p95: float
    turn_cases: int


@dataclass(frozen=True, kw_only=True)
class CasePose:
    """How one case lies; see `fingerprint.poses`. None: cannot be measured.

    Parameters
    ----------
    case : str
    turn : float or None
        Degrees from the mean pose. In the plane -180 to 180, anticlockwise on the screen (y down) positive; in space 0 to 180.
    side : {0, 1} or None
        Which of two mirror images it is: 0 the more frequent one (a right hand, say), 1 the other.
    unusual : float or None
        How far the class that lies farthest from where its neighbours say it should, in multiples of what is usual for that class (median).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    case: str
    turn: float | None
    side: int | None
    unusual: float | None


@dataclass(frozen=True, kw_only=True)
class FlipLikeness:
    """Correlation of low-resolution pictures of different cases, as they are and with one of the two flipped along `axis`.

    Parameters
    ----------
    axis : int
    labels, labels_flipped : float
        Of the class membership maps, each about its own mean; mean over cases of the median over unrelated partners.
    image, image_flipped : float
        Of the images.
    label_error, image_error : float
        Standard errors of the differences.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    axis: int
    labels: float
    labels_flipped: float
    label_error: float
    image: float
    image_flipped: float
    image_error: float


#: Neighbours are alike if more of them than this lie above the 90th percentile of other pairs (measured: 20 serial sections of one
#: block 1.00; Hippocampus 0.26, where scanners changed slowly; nuclei 0.07) ...
ALIKE_SHARE = 0.5
#: ... and chance would do that less often than this.
ALIKE_P = 1e-3


@dataclass(frozen=True, kw_only=True)
class NeighbourLikeness:
    """Whether cases next to each other in natural order of their names look alike.

    Parameters
    ----------
    order : tuple of str
        Case names in natural order (9 before 10).
    neighbours : tuple of float
        Correlation of the low-resolution images of each case and the next one.
    others_median, others_p90 : float
        Correlation of pairs that are no neighbours.
    share_above : float
        Share of neighbours above `others_p90`; 0.1 if order means nothing.
    p_value : float
        Probability of at least this share if order means nothing (binomial).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    order: tuple[str, ...]
    neighbours: tuple[float, ...]
    others_median: float
    others_p90: float
    share_above: float
    p_value: float

    @property
    def alike(self) -> bool:
        """True if neighbours are measurably more alike than other pairs: sections of one block, frames of one film."""
        return self.share_above > ALIKE_SHARE and self.p_value < ALIKE_P


@dataclass(frozen=True, kw_only=True)
class ClassContext:
    """How much of the image one must see to tell one class from the others.

    Parameters
    ----------
    extent : tuple of float or None
        Bounding box as a share of the image, per axis (z,) y, x; median over the cases that hold the class. None if none does.
    look_alikes : tuple of int
        Classes that size, shape and local intensity do not tell from this one, ascending.
    needed : float or None
        Share of the image's edge that a window about the class must show to tell it from its look-alikes. None: it has none, or no
        window tells them apart clearly better than chance.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    extent: tuple[float, ...] | None
    look_alikes: tuple[int, ...]
    needed: float | None


@dataclass(frozen=True, kw_only=True)
class Context:
    """How much of the image the classes need; see `fingerprint.context`.

    Parameters
    ----------
    classes : tuple of ClassContext
        In channel order.
    windows : tuple of float
        Edges of the windows that were tried, as shares of the image's edge, ascending.
    accuracy : tuple of float
        Per window: how often a class with look-alikes is told from them (2 hits / (2 hits + misses + mistakes)), mean over those classes;
        empty if there are none.
    cases : int
        Cases that were compared.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    classes: tuple[ClassContext, ...]
    windows: tuple[float, ...]
    accuracy: tuple[float, ...]
    cases: int

    @property
    def needed_share(self) -> float:
        """The largest window that any class needs, as a share of the image's edge; 0.0 if none does."""
        return max((c.needed for c in self.classes if c.needed is not None), default=0.0)

    @property
    def num_look_alikes(self) -> int:
        """Classes that have look-alikes."""
        return sum(1 for c in self.classes if c.look_alikes)
