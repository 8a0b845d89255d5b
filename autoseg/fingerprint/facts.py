"""What is measured of a case and of a data set, as data. Nothing here decides anything; the planners do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

from autoseg.fingerprint.comparison import Arrangement, CasePose, Context, FlipLikeness, NeighbourLikeness
from autoseg.fingerprint.hardware import Hardware
from autoseg.geometry import Unit
from autoseg.io.images import ChannelFacts
from autoseg.io.pseudonyms import numbered


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """One channel's values over the whole image or over the foreground, in the file's own units."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    minimum: float
    maximum: float
    mean: float
    std: float
    percentile_00_5: float
    median: float
    percentile_99_5: float


@dataclass(frozen=True, kw_only=True)
class ClassFacts:
    """One class in one case.

    Parameters
    ----------
    area : int
        Pixels or voxels.
    components : int
        Connected parts, diagonal neighbours included.
    extent : tuple of int
        Size of the bounding box, (z,) y, x.
    centroid : tuple of float
        Mean position in pixels of the array, (z,) y, x.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    area: int
    components: int
    extent: tuple[int, ...]
    centroid: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CaseFacts:
    """One labelled case.

    Parameters
    ----------
    name, group
        As the layout reader found them.
    identity : str
        Checksum of the names, sizes and modification times of the case's files: a changed file is noticed without reading it.
    shape, spacing, unit
        The image's grid, (z,) y, x.
    channels : int
        Channels of the file; 3 equal ones of a grey png are `is_grey`.
    is_grey : bool
    dtype : str
        numpy's name of the file's own dtype.
    nonzero_box : tuple of (int, int)
        Half-open range per axis outside of which every channel is zero.
    intensity : tuple of Intensity
        Per channel, the whole image.
    foreground : tuple of Intensity
        Per channel, over a sample of labelled foreground; empty if the case has none.
    classes : tuple of ClassFacts or None
        In channel order, None where the class is absent.
    labelled : int
        Pixels that are not marked as ignored.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    group: str | None
    identity: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    unit: Unit
    channels: int
    is_grey: bool
    dtype: str
    nonzero_box: tuple[tuple[int, int], ...]
    intensity: tuple[Intensity, ...]
    foreground: tuple[Intensity, ...]
    classes: tuple[ClassFacts | None, ...]
    labelled: int

    def channel_facts(self, num_files: int) -> ChannelFacts:
        """What decides whether the case's channels fit the others', its image being stored in this many files."""
        is_picture = num_files == 1 and len(self.shape) == 2 and self.dtype in ("uint8", "uint16")
        return ChannelFacts(self.channels, self.is_grey, is_picture)

    def centroid(self, k: int) -> tuple[float, ...] | None:
        """Centroid of class `k` in units of the spacing (mm, or pixels), (z,) y, x; None if absent."""
        facts = self.classes[k]
        return None if facts is None else tuple(c * s for c, s in zip(facts.centroid, self.spacing, strict=True))


#: Raised when a field changes its meaning or a measurement its method; an older fingerprint is measured again.
FINGERPRINT_VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A data set in numbers.

    Parameters
    ----------
    version : int
        `FINGERPRINT_VERSION` when measured.
    dataset, root, layout
        Name, folder and the name of the layout reader.
    identity : str
        Checksum of what was read: the declaration and every training file's size and modification time (`identity_of`).
    classes : tuple of str
    values : dict
        For integer maps: the classes that each value stands for.
    has_ignore : bool
    channels : tuple of str
        As declared; empty if nothing was.
    num_channels : int
        What a net gets (`io.images.common_num_channels`): 1 if every image is grey whatever its file holds.
    num_axes : int
    unit : {"mm", "pixel"}
    cases : tuple of CaseFacts
    overlap : tuple of tuple of int
        (K, K) pixels that two classes share, over all cases; the diagonal is each class's area.
    priors : tuple of float
        Share of labelled pixels of each class.
    foreground : tuple of Intensity
        Per channel, a sample of the foreground of all cases (nnU-Net's rule for CT).
    neighbours : NeighbourLikeness or None
        None for fewer than 4 cases.
    arrangement : Arrangement
    flips : tuple of FlipLikeness
        One per axis; empty for fewer than 3 cases.
    context : Context or None
        None where too few cases are unrelated to each other.
    poses : tuple of CasePose
        One per case, in their order.
    group_regex : str
        The expression that made the cases' groups out of their names (`io.groups`); empty if none did.
    hardware : Hardware or None
        The machine that measured last; None until one is looked at.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    version: int = FINGERPRINT_VERSION
    dataset: str
    root: str
    layout: str
    identity: str
    classes: tuple[str, ...]
    values: dict[int, tuple[str, ...]]
    has_ignore: bool
    channels: tuple[str, ...]
    num_channels: int
    num_axes: int
    unit: Unit
    cases: tuple[CaseFacts, ...]
    overlap: tuple[tuple[int, ...], ...]
    priors: tuple[float, ...]
    foreground: tuple[Intensity, ...]
    neighbours: NeighbourLikeness | None
    arrangement: Arrangement
    flips: tuple[FlipLikeness, ...]
    context: Context | None = None
    poses: tuple[CasePose, ...] = ()
    group_regex: str = ""
    hardware: Hardware | None = None

    def checksum(self) -> str:
        """16 hex digits of everything measured of the data, and of nothing else: not of the machine, nor of where the files lie.

        A copied data set is the same data set, whatever the times of its files; another measurement of it is another fingerprint.
        Patients count by their numbers: their names hang on the workspace (`io.pseudonyms`).
        """
        groups = numbered(case.group for case in self.cases)
        cases = tuple(replace(case, identity="", group=group) for case, group in zip(self.cases, groups, strict=True))
        measured = replace(self, hardware=None, root="", identity="", group_regex="", cases=cases)
        return hashlib.sha256(repr(measured).encode()).hexdigest()[:16]
