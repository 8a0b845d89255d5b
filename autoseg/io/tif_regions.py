"""A large tif image read by region: of what is asked for only the strips or tiles that hold it are decoded."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from autoseg.io.decoded import DAMAGED, unreadable

if TYPE_CHECKING:
    import tifffile

#: What tifffile and its codecs raise of damaged files; imagecodecs' own errors are RuntimeErrors.
DECODING_ERRORS = (OSError, ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError, RuntimeError, zlib.error)
#: Bytes of decoded strips and tiles that are kept: neighbouring tiles of a sliding window need the same ones.
KEPT_BYTES = 2**28
#: Values of one slab.
SLAB = 2**22
_PALETTE, _CMYK = 3, 5


def is_regional(file: tifffile.TiffFile) -> bool:
    """True if the file's image is one page, grey or in colours that need no translation, so that `TifRegions` can read it."""
    series = file.series[0]
    page = series.keyframe
    if series.axes not in ("YX", "YXS", "SYX") or len(series.pages) != 1 or page.jpegheader is not None:
        return False
    return page.shaped[1] == 1 and page.photometric not in (_PALETTE, _CMYK) and page.dtype is not None and page.dtype.kind in "buif"


@dataclass(kw_only=True)
class _Segments:
    """The strips or tiles of a page, decoded when they are needed; the latest used ones are kept."""

    path: Path
    page: tifffile.TiffPage
    kept: OrderedDict[int, NDArray[Any]] = field(default_factory=OrderedDict)
    held_bytes: int = 0

    def __post_init__(self) -> None:
        page = self.page
        self.decode = page.decode  # made while the file is open
        self.tables = page.jpegtables
        self.height, self.width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        self.rows, self.columns = -(-page.imagelength // self.height), -(-page.imagewidth // self.width)
        self.num_planes = page.shaped[0]
        if self.num_planes * self.rows * self.columns > len(page.dataoffsets):
            raise ValueError(f"{len(page.dataoffsets)} strips or tiles, {self.num_planes * self.rows * self.columns} were announced")

    def read(self, rows: slice, columns: slice, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Pixels (rows, columns, samples) of all samples."""
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        out = np.empty((*shape, self.num_planes * self.page.shaped[-1]), dtype)
        if not out.size:
            return out
        used = list(self._places(rows, columns))
        for index, *_ in used:
            if index in self.kept:
                self.kept.move_to_end(index)
        with self.path.open("rb") as stream:
            for index, plane, row, column in used:
                if index not in self.kept:
                    self._keep(index, self._decoded(stream, index), len(used))
                segment = self.kept[index]
                top, left = row * self.height, column * self.width
                ys = slice(max(rows.start, top), min(rows.stop, top + self.height, self.page.imagelength))
                xs = slice(max(columns.start, left), min(columns.stop, left + self.width, self.page.imagewidth))
                inside = segment[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left]
                there = (slice(ys.start - rows.start, ys.stop - rows.start), slice(xs.start - columns.start, xs.stop - columns.start))
                out[*there, plane : plane + segment.shape[-1]] = inside
        return out

    def _places(self, rows: slice, columns: slice) -> Iterator[tuple[int, int, int, int]]:
        """(Number in the file, plane, row, column) of the strips or tiles that a region meets."""
        for plane in range(self.num_planes):
            for row in range(rows.start // self.height, -(-rows.stop // self.height)):
                for column in range(columns.start // self.width, -(-columns.stop // self.width)):
                    yield (plane * self.rows + row) * self.columns + column, plane, row, column

    def _decoded(self, stream: BinaryIO, index: int) -> NDArray[Any]:
        """(height, width, samples), the last ones of a row or column perhaps smaller."""
        size = self.page.databytecounts[index]
        stream.seek(self.page.dataoffsets[index])
        data = stream.read(size)
        if len(data) < size:
            raise ValueError(f"strip or tile {index} ends after {len(data):,} of {size:,} bytes")
        decoded, _, shape = self.decode(data or None, index, jpegtables=self.tables)
        # What a writer left out, being empty, has no bytes.
        segment: NDArray[Any] = (np.full(shape, self.page.nodata, self.page.dtype) if decoded is None else decoded)[0]
        return segment

    def _keep(self, index: int, segment: NDArray[Any], num_used: int) -> None:
        """Keep a segment, and forget the longest unused ones, but none of the region at hand: the one beside it needs the same strips."""
        self.kept[index] = segment
        self.held_bytes += segment.nbytes
        while self.held_bytes > KEPT_BYTES and len(self.kept) > num_used:
            self.held_bytes -= self.kept.popitem(last=False)[1].nbytes

    def forget(self) -> None:
        """Keep nothing."""
        self.kept.clear()
        self.held_bytes = 0


class TifRegions:
    """An image (C, y, x) in a tif file that slicing reads, as it does of an array; nothing of it is in memory but what was read last.

    Made by `open_regions`. One thread reads at a time. Every read raises DataError, which names the file, if that is damaged there.

    Examples
    --------
    >>> image = open_regions(path)  # doctest: +SKIP
    >>> image[:, 4096:4608, :512].shape  # doctest: +SKIP
    (1, 512, 512)
    """

    ndim = 3

    def __init__(self, segments: _Segments, channels: Sequence[int], box: tuple[tuple[int, int], tuple[int, int]]) -> None:
        self._segments, self._channels, self._box = segments, list(channels), box
        stored = np.dtype(segments.page.dtype).newbyteorder("=")
        self._stored = stored
        self.dtype = np.dtype(np.uint8) if stored == np.bool_ else stored
        self.shape = (len(self._channels), *(stop - start for start, stop in box))
        self.size = self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def nbytes(self) -> int:
        """For whoever asks what an image takes in memory: what is kept of it, a row of strips or tiles at least."""
        segments = self._segments
        row = segments.height * segments.width * segments.columns * segments.num_planes * segments.page.shaped[-1]
        return max(KEPT_BYTES, row * self._stored.itemsize)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Numbers and slices without a step, of each axis at most one."""
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *[slice(None)] * (3 - len(keys)))
        channels, rows, columns = (_range(one, length) for one, length in zip(keys, self.shape, strict=True))
        found = self._read(self._channels[channels], rows, columns)
        return found[tuple(0 if isinstance(one, int | np.integer) else slice(None) for one in keys)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it; nothing is kept besides."""
        out = np.empty(self.shape, dtype or self.dtype)
        top = 0
        for slab in self.slabs():
            out[:, top : top + slab.shape[1]] = slab
            top += slab.shape[1]
        self._segments.forget()
        return out

    def select(self, channels: Sequence[int]) -> TifRegions:
        """The same image with these of its channels, one also several times; nothing is read."""
        return TifRegions(self._segments, [self._channels[k] for k in channels], self._box)

    def window(self, box: Sequence[tuple[int, int]]) -> TifRegions:
        """A part of the image, half-open ranges of y and x; nothing is read."""
        (top, bottom), (left, right) = ((start + first, stop + first) for (start, stop), (first, _) in zip(box, self._box, strict=True))
        return TifRegions(self._segments, self._channels, ((top, bottom), (left, right)))

    def as_array(self) -> NDArray[Any]:
        """Itself, typed as what it acts like where all that is asked for is `shape`, `dtype`, `len` and slices."""
        return cast("NDArray[Any]", self)

    def slabs(self, *, of_each: bool = False) -> Iterator[NDArray[Any]]:
        """The whole image from top to bottom, (C, rows, x) at a time: whole strips or parts of high ones, of some millions of values.

        `of_each`: of that many in each channel, as if it were alone.
        """
        num = 1 if of_each else self.shape[0]
        step, height = max(1, SLAB // max(1, num * self.shape[2])), self._segments.height
        step -= step % height if step > height else 0
        for top in range(0, self.shape[1], step):
            yield self[:, top : top + step]

    def _read(self, channels: list[int], rows: slice, columns: slice) -> NDArray[Any]:
        (top, _), (left, _) = self._box
        place = (slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left))
        segments = self._segments
        try:
            found = segments.read(*place, self._stored)
        except DECODING_ERRORS as error:
            raise unreadable(segments.path, f"is truncated or damaged ({error})", DAMAGED) from None
        if segments.page.photometric == 0 and self._stored.kind in "ub":  # white is zero
            np.invert(found, out=found)
        out = np.empty((len(channels), *found.shape[:2]), self.dtype)
        for k, channel in enumerate(channels):
            out[k] = found[..., channel]
        return out


def open_regions(path: Path, page: tifffile.TiffPage) -> TifRegions:
    """The image of a page for which `is_regional`; its file is open and may be closed afterwards: each read opens it again."""
    segments = _Segments(path=path, page=page)
    return TifRegions(segments, range(page.shaped[0] * page.shaped[-1]), ((0, page.imagelength), (0, page.imagewidth)))


def regions_of(array: object) -> TifRegions | None:
    """The image if it is read by region, None if it is an array."""
    return array if isinstance(array, TifRegions) else None


def slabs_of(array: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """An image (C, ...) in parts that are read one at a time: `TifRegions.slabs`; an array in one."""
    regions = regions_of(array)
    return (array,) if regions is None else regions.slabs()


def channels_of(array: NDArray[Any], channels: Sequence[int]) -> NDArray[Any]:
    """Some channels of an image (C, ...), in this order; nothing is read, and an array is copied only where a channel comes twice."""
    regions = regions_of(array)
    if regions is not None:
        return regions.select(channels).as_array()
    return array[: len(channels)] if list(channels) == list(range(len(channels))) else array[list(channels)]


def _range(key: Any, length: int) -> slice:
    """A number or slice as a slice within the axis."""
    if isinstance(key, int | np.integer):
        if not -length <= key < length:
            raise IndexError(f"index {key} of an axis of {length}")
        return slice(int(key) % length, int(key) % length + 1)
    if not isinstance(key, slice) or key.step not in (None, 1):
        raise IndexError(f"a tif that is read by region takes numbers and slices without a step, got {key}")
    start, stop, _ = key.indices(length)
    return slice(start, max(start, stop))
