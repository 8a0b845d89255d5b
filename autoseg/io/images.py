"""Images of every format, read as channels first with their grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import DataError
from autoseg.geometry import Geometry, overlays
from autoseg.io.decoded import Decoded, check_file, not_finite, unreadable
from autoseg.io.filenames import IMAGE_SUFFIXES, VOLUME_SUFFIXES, image_suffix, is_dicom, says_how_it_lies
from autoseg.io.orientation import Orientation
from autoseg.io.tif_regions import channels_of, slabs_of


class ChannelFacts(NamedTuple):
    """What decides the data set's number of channels.

    Parameters
    ----------
    num : int
        Channels of the image, an opacity that is the same everywhere left out.
    is_grey : bool
        True for three equal colour channels.
    is_picture : bool
        True for a 2D image of whole numbers in one file, whose channels may be colours.
    """

    num: int
    is_grey: bool
    is_picture: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """An image as its files hold it, volumes in canonical orientation; an opacity channel that is the same everywhere is left out.

    Parameters
    ----------
    paths : tuple of Path
        One file per channel, or one that holds all.
    array : array, shape (C, (z,) y, x)
        In the files' own dtype.
    geometry : Geometry
    is_grey : bool
        True if one file holds three equal colour channels (and no opacity): it says no more than one channel.
    orientation : Orientation or None
        How the first file was turned; None: not at all.
    """

    paths: tuple[Path, ...]
    array: NDArray[Any]
    geometry: Geometry
    is_grey: bool = False
    orientation: Orientation | None = None

    @property
    def num_channels(self) -> int:
        """C."""
        return int(self.array.shape[0])

    @property
    def facts(self) -> ChannelFacts:
        """What decides the data set's number of channels."""
        is_picture = len(self.paths) == 1 and self.geometry.num_axes == 2 and self.array.dtype in (np.uint8, np.uint16)
        return ChannelFacts(self.num_channels, self.is_grey, is_picture)


def decode_file(path: Path, *, keep_palette_indices: bool = False, by_region: bool = False) -> Decoded:
    """One image file of any format, or a folder of DICOM slices.

    Parameters
    ----------
    path : Path
    keep_palette_indices : bool
        True for label maps: indices of a palette are class numbers then, no colours.
    by_region : bool
        A large tif is read when and where it is sliced (`tif_regions`).

    Raises
    ------
    DataError
        Naming the file: missing, unreadable, truncated, animated, of an unknown format.
    """
    suffix = image_suffix(path)
    if path.is_dir():
        from autoseg.io.series import read_series

        return _readable(path, read_series(path))
    check_file(path)
    if is_dicom(path):
        from autoseg.io.dicom import read_dicom

        return _readable(path, read_dicom(path))
    if suffix in VOLUME_SUFFIXES:
        from autoseg.io.volumes import read_volume

        return _readable(path, read_volume(path))
    if suffix in (".tif", ".tiff"):
        from autoseg.io.tif import read_tif

        return _readable(path, read_tif(path, keep_palette_indices=keep_palette_indices, by_region=by_region))
    if suffix:
        from autoseg.io.pictures import read_picture

        return read_picture(path, keep_palette_indices=keep_palette_indices)
    if path.suffix.lower() == ".json":
        from autoseg.io.labelme import read_embedded

        return read_embedded(path)
    raise unreadable(path, "is of no known image format", f"known are {' '.join(IMAGE_SUFFIXES)}")


def read_image(paths: Sequence[Path], *, by_region: bool = False) -> Image:
    """An image from one file, or from one file per channel.

    Parameters
    ----------
    paths : sequence of Path
    by_region : bool
        The array of a large tif may be a `TifRegions`, which reads when and where it is sliced: for whoever needs no more of it than that.

    Raises
    ------
    DataError
        Naming the file: unreadable, NaN or infinite values, or grids of channels that differ.
    """
    if not paths:
        raise ValueError("paths must name at least one file")
    parts = [_single(path, by_region=by_region and len(paths) == 1) for path in paths]
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    for part in parts[1:]:
        says, first_says = (says_how_it_lies(path) for path in (part.paths[0], first.paths[0]))
        if first.geometry.num_axes == 3 and says != first_says:
            mine, other = ("has", "has none") if says else ("lacks", "has one")
            said = f"{mine} a header of how it lies in space, the first channel, {first.paths[0].name}, {other}"
            raise unreadable(part.paths[0], said, "convert all channels to one format")
        if not overlays(first.geometry, part.geometry):
            difference = grid_difference(part.geometry, first.geometry)
            raise unreadable(part.paths[0], f"has another grid than the first channel, {first.paths[0].name}: {difference}")
    arrays = [to_channels(part, 1) if part.is_grey else part.array for part in parts]
    return Image(paths=tuple(paths), array=np.concatenate(arrays), geometry=first.geometry, orientation=first.orientation)


def grid_difference(a: Geometry, b: Geometry) -> str:
    """What two grids disagree in, for messages: "shape (3, 4) against (3, 5)"."""
    names = ("shape", "spacing", "origin", "direction")
    pairs = [(name, getattr(a, name), getattr(b, name)) for name in names if getattr(a, name) != getattr(b, name)]
    # A difference of shape explains all others.
    return "; ".join(f"{name} {x} against {y}" for name, x, y in pairs[: 1 if pairs and pairs[0][0] == "shape" else None])


def to_channels(image: Image, num: int) -> NDArray[Any]:
    """The image with the data set's number of channels, (num, (z,) y, x).

    Three equal channels become one. Where the data set holds colour images as well, grey is filled up to three equal channels, and
    missing opacity to opaque.

    Raises
    ------
    DataError
        If it has another number of channels that no rule explains.
    """
    array = image.array
    problem = channel_problem(image.facts, num)
    if problem:
        raise DataError([f"{', '.join(map(str, image.paths))}: {problem}"])
    if num == 1 and image.is_grey:
        return channels_of(array, [0])
    if num in (3, 4) and len(array) == 1:
        array = channels_of(array, [0, 0, 0])
    if num == 4 and len(array) == 3:
        array = np.asarray(array)
        array = np.concatenate([array, np.full_like(array[:1], np.iinfo(array.dtype).max)])
    return array


def channel_problem(facts: ChannelFacts, num: int) -> str:
    """Why an image does not fit a data set of `num` channels; empty if it does (as it is, or by `to_channels`)."""
    if facts.num == num or (num == 1 and facts.is_grey):
        return ""
    if facts.is_picture and (facts.num, num) in ((1, 3), (1, 4), (3, 4)):
        return ""
    kind = "colour channels" if facts.is_picture and facts.num in (3, 4) else "channel" if facts.num == 1 else "channels"
    advice = "convert it to grey, or make all images of the data set alike" if num == 1 else "all images must have the same channels"
    return f"has {facts.num} {kind}, the data set has {num}; {advice}"


def common_num_channels(facts: Iterable[tuple[int, bool]], declared: int | None = None) -> int:
    """The number of channels of a data set, from what its images have.

    Parameters
    ----------
    facts : iterable of (int, bool)
        Of each image: its channels, and whether it is grey stored as colour (the first two of ChannelFacts).
    declared : int, optional
        Number of channel names in dataset.json; it wins.

    Notes
    -----
    Images that are grey although stored in colour count as one channel. Beside real colour images they, and single channels, are
    filled up to three (four where opacity varies). `channel_problem` says which image fits none of this.

    Examples
    --------
    >>> common_num_channels([(3, True), (3, True)]), common_num_channels([(3, True), (3, False), (1, False)])
    (1, 3)
    """
    if declared:
        return declared
    counts = [1 if is_grey else num for num, is_grey in facts]
    if not counts:
        raise ValueError("facts must hold at least one image")
    if set(counts) <= {1, 3, 4}:
        return max(counts)
    # The commonest: the others are then reported file by file.
    return max(sorted(set(counts)), key=counts.count)


def _single(path: Path, *, by_region: bool = False) -> Image:
    decoded = decode_file(path, by_region=by_region)
    array = decoded.array
    if array.dtype.kind == "f":
        bad = sum(slab.size - int(np.count_nonzero(np.isfinite(slab))) for slab in slabs_of(array))
        if bad:
            raise not_finite(path, bad)
    if decoded.has_alpha and _is_constant(slab[-1] for slab in slabs_of(array)):
        array = channels_of(array, range(len(array) - 1))
        decoded = replace(decoded, has_alpha=False)
    is_grey = len(array) == 3 and not decoded.has_alpha and all(_is_grey(slab) for slab in slabs_of(array))
    return Image(paths=(path,), array=array, geometry=decoded.geometry, is_grey=is_grey, orientation=decoded.orientation)


def _is_constant(parts: Iterable[NDArray[Any]]) -> bool:
    first: Any = None
    for part in parts:
        first = part.flat[0] if first is None else first
        if not (part == first).all():
            return False
    return True


def _is_grey(slab: NDArray[Any]) -> bool:
    return bool((slab[0] == slab[1]).all() and (slab[0] == slab[2]).all())


def _readable(path: Path, decoded: Decoded) -> Decoded:
    if decoded.array.dtype.kind not in "uif":
        raise unreadable(path, f"holds values of type {decoded.array.dtype}", "images hold integers or real numbers")
    return decoded
