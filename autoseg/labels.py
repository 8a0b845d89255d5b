"""Classes, and the code map that stores any number of overlapping masks in one integer array.

Distinct sets of classes per pixel are few, so a case's masks become one map of codes and a table code -> set of classes. Cropping,
flipping and warping move one map whatever the number of classes; the table expands it to channels last, on the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8] | NDArray[np.uint16]
Mask = NDArray[np.bool_]
Box = tuple[slice, ...]

#: Codes fit uint8 up to here, uint16 up to its square.
MAX_UINT8_SETS = 256
MAX_SETS = 65536
#: Pixels that are counted, or looked up in a table, at a time.
PIECE = 2**22


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """What a net tells apart.

    Parameters
    ----------
    classes : tuple of str
        Names without the background, in channel order; free text (spaces, slashes, Korean).
    exclusive : bool
        True: a pixel has at most one class (softmax with a background channel). False: classes may overlap (a sigmoid each).
    values : tuple of int
        The value of each class in an exported integer map; empty if classes may overlap, which no integer map can hold.
    has_ignore : bool
        True if pixels may be marked as unlabelled; they count in no loss and no metric.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    classes: tuple[str, ...]
    exclusive: bool
    values: tuple[int, ...] = ()
    has_ignore: bool = False

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("classes must name at least one class besides the background")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must be distinct, got {self.classes}")
        if self.exclusive and (len(self.values) != len(self.classes) or len(set(self.values)) != len(self.values) or 0 in self.values):
            raise ValueError(f"values must give each exclusive class a distinct integer other than 0, got {self.values}")

    @property
    def num_classes(self) -> int:
        """Number of classes without the background."""
        return len(self.classes)

    @property
    def num_heads(self) -> int:
        """Output channels of a net: one a class, and a background channel (the first) if classes are exclusive."""
        return self.num_classes + int(self.exclusive)


def class_values(labels: LabelSpace) -> NDArray[Any]:
    """The value in a map of each head of exclusive classes, in the smallest unsigned dtype that holds them all."""
    values = (0, *labels.values)
    return np.array(values, np.result_type(*(np.min_scalar_type(value) for value in values)))


@dataclass(frozen=True, eq=False)
class CodeMap:
    """A case's masks as one map.

    Parameters
    ----------
    codes : array of uint8 or uint16, shape (z,) y, x
        uint8 up to 256 sets, uint16 beyond. Code 0 is always the empty set (background).
    table : array of bool, shape (S, K)
        table[s, k] is True if code s contains class k.
    ignore : array of bool, shape (S,)
        True for the code of unlabelled pixels; its row in `table` is empty.
    """

    codes: Codes
    table: Mask
    ignore: Mask

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or self.ignore.shape != self.table.shape[:1]:
            raise ValueError(f"table must be (S, K) and ignore (S,), got {self.table.shape} and {self.ignore.shape}")
        if self.table[0].any() or self.ignore[0]:
            raise ValueError("code 0 must be the empty set")

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.table.shape[1])

    def mask(self, k: int) -> Mask:
        """The mask of class `k`, bool, shape (z,) y, x."""
        return np.asarray(self.table[:, k][self.codes])

    def ignored(self) -> Mask:
        """The unlabelled pixels, bool, shape (z,) y, x."""
        return np.asarray(self.ignore[self.codes])

    def with_codes(self, codes: Codes) -> CodeMap:
        """The same table over other codes: a crop, a flip, a nearest-neighbour warp of this map."""
        return CodeMap(codes, self.table, self.ignore)


def smallest_code_dtype(num_sets: int) -> np.dtype[Any]:
    """uint8 up to 256 sets, uint16 up to 65,536; ValueError beyond."""
    if num_sets > MAX_SETS:
        raise ValueError(f"a case holds {num_sets} distinct sets of overlapping classes; at most {MAX_SETS} are supported")
    return np.dtype(np.uint8 if num_sets <= MAX_UINT8_SETS else np.uint16)


def encode_masks(masks: Iterable[Mask], shape: tuple[int, ...], ignored: Mask | None = None) -> CodeMap:
    """Binary masks, free to overlap, as one code map.

    Parameters
    ----------
    masks : iterable of arrays of bool, each of `shape`
        In the order of the classes. Consumed one at a time, so that K masks never lie in memory together.
    shape : tuple of int
        (z,) y, x.
    ignored : array of bool, optional
        Unlabelled pixels; they lose all classes.

    Raises
    ------
    ValueError
        If a mask has another shape, or there are more than 65,536 distinct sets.
    """
    whole = tuple(slice(0, n) for n in shape)

    def checked() -> Iterator[tuple[Box, Mask]]:
        for k, mask in enumerate(masks):
            if mask.shape != shape:
                raise ValueError(f"mask {k} has shape {mask.shape}, expected {shape}")
            yield whole, mask

    return encode_parts(checked(), shape, ignored)


def encode_parts(parts: Iterable[tuple[Box, Mask]], shape: tuple[int, ...], ignored: Mask | None = None) -> CodeMap:
    """`encode_masks` for masks of which only a box is given, outside of which they are empty: the time is that of the boxes."""
    codes: NDArray[Any] = np.zeros(shape, np.uint8)
    sets: list[frozenset[int]] = [frozenset()]
    known: dict[frozenset[int], int] = {frozenset(): 0}
    num_classes = 0
    for k, (box, mask) in enumerate(parts):
        num_classes = k + 1
        inside = codes[box][mask]
        successor = np.zeros(len(sets), np.int32)
        for code in map(int, np.flatnonzero(np.bincount(inside, minlength=len(sets)))):
            grown = sets[code] | {k}
            if grown not in known:
                known[grown] = len(sets)
                sets.append(grown)
            successor[code] = known[grown]
        codes = _with_room(codes, len(sets))
        codes[box][mask] = successor.astype(codes.dtype)[inside]
    table = np.zeros((len(sets), num_classes), np.bool_)
    for code, members in enumerate(sets):
        table[code, list(members)] = True
    ignore = np.zeros(len(sets), np.bool_)
    if ignored is not None and ignored.any():
        codes = _with_room(codes, len(sets) + 1)
        codes[ignored] = len(sets)
        table = np.vstack([table, np.zeros((1, num_classes), np.bool_)])
        ignore = np.append(ignore, True)
    return compact(codes, table, ignore)


def _with_room(codes: NDArray[Any], num: int) -> NDArray[Any]:
    """The codes in a dtype that holds `num` of them; more may come and go on the way than there are in the end."""
    held = MAX_SETS if codes.dtype == np.uint16 else MAX_UINT8_SETS if codes.dtype == np.uint8 else np.iinfo(np.int32).max
    return codes if num <= held else codes.astype(np.uint16 if num <= MAX_SETS else np.int32)


def encode_map(array: NDArray[Any], sets: Mapping[int, tuple[int, ...]], num_classes: int, ignore_value: int | None = None) -> CodeMap:
    """An integer map as a code map.

    Parameters
    ----------
    array : array of integers, shape (z,) y, x
    sets : mapping value -> class indices
        The classes that a value stands for: one for an ordinary label, several for nnU-Net's regions, none for the background.
    num_classes : int
        K.
    ignore_value : int, optional
        The value of unlabelled pixels.

    Raises
    ------
    ValueError
        If the map holds a value that is not declared; the message lists them.
    """
    values = present_values(array)
    unknown = [int(v) for v in values if int(v) not in sets and int(v) != ignore_value]
    if unknown:
        shown = ", ".join(map(str, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        raise ValueError(f"holds the value{'s' if len(unknown) > 1 else ''} {shown}; declared are {sorted(set(sets) | {0})}")
    table = np.zeros((len(values) + 1, num_classes), np.bool_)
    ignore = np.zeros(len(values) + 1, np.bool_)
    for row, value in enumerate(map(int, values), start=1):
        if value == ignore_value:
            ignore[row] = True
        else:
            table[row, list(sets[value])] = True
    return compact(_positions(array, values), table, ignore)


def present_values(array: NDArray[Any]) -> NDArray[Any]:
    """The values that an array of integers holds, ascending; no more is sorted at once than some millions."""
    return np.unique(np.concatenate([np.unique(array[rows]) for rows in _row_slices(array.shape)]))


def _positions(array: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """1 + the position in `values`, ascending, of each value of the array; by a table of all numbers between where that is small."""
    low, span = int(values[0]), int(values[-1]) - int(values[0]) + 1
    dtype = np.min_scalar_type(len(values))
    found = np.empty(array.shape, dtype)
    lookup = np.zeros(span if span <= MAX_SETS else 0, dtype)
    if len(lookup):
        lookup[values.astype(np.int64) - low] = np.arange(1, len(values) + 1)
    for rows in _row_slices(array.shape):
        part = array[rows]
        found[rows] = lookup[part.astype(np.int64) - low] if len(lookup) else np.searchsorted(values, part) + 1
    return found


def _row_slices(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of an array of this shape that hold some millions of pixels: numpy counts and looks up in copies of 8 bytes a pixel."""
    step = max(1, PIECE * shape[0] // max(1, math.prod(shape))) if shape else 1
    return (slice(start, start + step) for start in range(0, shape[0], step))


def compact(codes: NDArray[Any], table: Mask, ignore: Mask) -> CodeMap:
    """Drop unused codes, merge codes of equal meaning, keep code 0 the empty set, and store in the smallest dtype."""
    used = count_values(codes, len(table)) > 0
    used[0] = True
    order: dict[bytes, int] = {np.append(table[0], ignore[0]).tobytes(): 0}
    target = np.zeros(len(table), np.int32)
    rows = [0]
    for code in map(int, np.flatnonzero(used)):
        key = np.append(table[code], ignore[code]).tobytes()
        if key not in order:
            order[key] = len(rows)
            rows.append(code)
        target[code] = order[key]
    dtype = smallest_code_dtype(len(rows))
    if rows == list(range(len(table))):  # nothing moves
        return CodeMap(codes.astype(dtype, copy=False), table, ignore)
    moved = np.empty(codes.shape, dtype)
    for part in _row_slices(codes.shape):
        moved[part] = target.astype(dtype)[codes[part]]
    return CodeMap(moved, table[rows], ignore[rows])


def count_values(array: NDArray[Any], num: int) -> NDArray[np.int64]:
    """Pixels of each of the values 0 to `num` - 1, all that there are; (num,)."""
    counts = np.zeros(num, np.int64)
    for rows in _row_slices(array.shape):
        counts += np.bincount(array[rows].ravel(), minlength=num)
    return counts


def overlap_counts(labels: CodeMap) -> NDArray[np.int64]:
    """Pixels shared by every pair of classes, (K, K), the diagonal being each class's area.

    One pass over the map: the pixels of each code are counted and the table does the rest.
    """
    counts = count_values(labels.codes, len(labels.table))
    table = labels.table.astype(np.int64)
    return np.asarray(table.T @ (counts[:, None] * table))
