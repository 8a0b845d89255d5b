"""Code maps hold any overlapping masks without loss."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from autoseg import labels as labels_module
from autoseg.labels import CodeMap, LabelSpace, compact, encode_map, encode_masks, encode_parts, overlap_counts, smallest_code_dtype

Masks = NDArray[np.bool_]


@st.composite
def random_masks(draw: st.DrawFn) -> tuple[Masks, Masks]:
    """Up to 12 overlapping masks in 2 or 3 axes, and unlabelled pixels."""
    shape = draw(array_shapes(min_dims=2, max_dims=3, max_side=6))
    masks = draw(arrays(np.bool_, (draw(st.integers(0, 12)), *shape)))
    return masks, draw(arrays(np.bool_, shape))


def decoded(labels: CodeMap) -> Masks:
    return np.array([labels.mask(k) for k in range(labels.num_classes)]).reshape(labels.num_classes, *labels.codes.shape)


def check_form(labels: CodeMap) -> None:
    """Code 0 is empty, no meaning stands twice, no code but 0 is unused, the dtype is the smallest."""
    meanings = [(*row, ignored) for row, ignored in zip(labels.table.tolist(), labels.ignore.tolist(), strict=True)]
    assert not any(meanings[0])
    assert len(set(meanings)) == len(meanings)
    assert set(range(1, len(meanings))) <= set(np.unique(labels.codes).tolist())
    assert labels.codes.dtype == (np.uint8 if len(meanings) <= 256 else np.uint16)
    assert not labels.table[labels.ignore].any()


@given(random_masks())
def test_masks_survive_the_code_map(case: tuple[Masks, Masks]) -> None:
    masks, ignored = case
    labels = encode_masks(masks, ignored.shape)
    check_form(labels)
    assert (decoded(labels) == masks).all()
    assert not labels.ignored().any()


@given(random_masks())
def test_masks_survive_beside_unlabelled_pixels(case: tuple[Masks, Masks]) -> None:
    masks, ignored = case
    labels = encode_masks(masks, ignored.shape, ignored)
    check_form(labels)
    assert (labels.ignored() == ignored).all()
    assert (decoded(labels) == masks & ~ignored).all()


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (9, np.uint16), (16, np.uint16)])
def test_every_set_of_many_classes(bits: int, dtype: type[Any]) -> None:
    # Pixel p shows the classes of its own number's bits: 2 ** bits distinct sets.
    numbers = np.arange(2**bits).reshape(2, -1)
    masks = np.array([(numbers >> k & 1).astype(bool) for k in range(bits)])
    labels = encode_masks(masks, numbers.shape)
    check_form(labels)
    assert labels.codes.dtype == dtype
    assert len(labels.table) == 2**bits
    assert (decoded(labels) == masks).all()


def test_ignore_beside_256_sets_needs_16_bits() -> None:
    numbers = np.arange(257).reshape(1, -1)
    masks = np.array([(numbers >> k & 1).astype(bool) for k in range(8)])
    labels = encode_masks(masks, numbers.shape, numbers == 256)
    check_form(labels)
    assert len(labels.table) == 257
    assert (labels.ignored() == (numbers == 256)).all()


def test_more_sets_than_codes_are_refused() -> None:
    numbers = np.arange(65537).reshape(1, -1)
    masks = (((numbers >> k) & 1).astype(bool) for k in range(17))
    with pytest.raises(ValueError, match=r"65537 distinct sets .* at most 65536"):
        encode_masks(masks, numbers.shape)
    assert smallest_code_dtype(65536) == np.uint16


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask 1 has shape \(2, 3\), expected \(2, 2\)"):
        encode_masks([np.zeros((2, 2), bool), np.zeros((2, 3), bool)], (2, 2))


@given(random_masks())
def test_masks_by_their_boxes(case: tuple[Masks, Masks]) -> None:
    masks, ignored = case
    parts = []
    for mask in masks:
        hit = [np.flatnonzero(mask.any(axis=tuple(b for b in range(mask.ndim) if b != a))) for a in range(mask.ndim)]
        box = tuple(slice(int(h[0]), int(h[-1]) + 1) if h.size else slice(0, 0) for h in hit)
        parts.append((box, mask[box]))
    labels = encode_parts(parts, ignored.shape, ignored)
    check_form(labels)
    assert (decoded(labels) == masks & ~ignored).all()


@pytest.mark.parametrize("values", [(0, 1, 3), (-5, 0, 1), (0, 7, 10**6)])
def test_a_large_map_is_encoded_in_pieces(monkeypatch: pytest.MonkeyPatch, values: tuple[int, ...]) -> None:
    # 10**6 lies beyond the table of all numbers between.
    monkeypatch.setattr(labels_module, "PIECE", 7)
    array = np.random.default_rng(0).choice(values, (9, 5))
    sets = {value: () if value == 0 else (k,) for k, value in enumerate(values)}
    labels = encode_map(array, sets, len(values))
    check_form(labels)
    for k, value in enumerate(values):
        assert (labels.mask(k) == ((array == value) & (value != 0))).all()


# nnU-Net's regions: 1 whole tumour only, 2 core inside of it, 3 enhancing inside of both
REGIONS = {0: (), 1: (0,), 2: (0, 1), 3: (0, 1, 2), 9: (1,)}


@given(arrays(np.int16, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.sampled_from([*REGIONS, -5])))
def test_a_map_of_regions(array: NDArray[np.int16]) -> None:
    labels = encode_map(array, REGIONS, 3, ignore_value=-5)
    check_form(labels)
    assert (labels.ignored() == (array == -5)).all()
    for k in range(3):
        members = [value for value, classes in REGIONS.items() if k in classes]
        assert (labels.mask(k) == np.isin(array, members)).all()


@given(random_masks())
def test_a_map_and_masks_of_the_same_pixels_agree(case: tuple[Masks, Masks]) -> None:
    masks, _ = case
    number = sum((mask.astype(np.int64) << k for k, mask in enumerate(masks)), np.zeros(masks.shape[1:], np.int64))
    sets = {int(v): tuple(k for k in range(len(masks)) if v >> k & 1) for v in np.unique(number)}
    assert (decoded(encode_map(number, sets, len(masks))) == decoded(encode_masks(masks, masks.shape[1:]))).all()


def test_undeclared_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"^holds the value 3; declared are \[0, 1\]$"):
        encode_map(np.array([[0, 1, 3]]), {1: (0,), 0: ()}, 1)
    with pytest.raises(ValueError, match=r"^holds the values 3, 5; declared are \[0, 1\]$"):
        encode_map(np.array([[0, 1, 3, 5]]), {1: (0,), 0: ()}, 1)
    with pytest.raises(ValueError, match=r"^holds the values 2, 3, .*, 11, \.\.\.; declared"):
        encode_map(np.arange(300).reshape(1, -1), {1: (0,), 0: ()}, 1)


@given(random_masks())
def test_overlaps_are_counted(case: tuple[Masks, Masks]) -> None:
    masks, ignored = case
    flat = (masks & ~ignored).reshape(len(masks), ignored.size).astype(np.int64)
    assert overlap_counts(encode_masks(masks, ignored.shape, ignored)).tolist() == np.einsum("ip,jp->ij", flat, flat).tolist()


def test_compact_merges_equal_meanings_and_drops_the_unused() -> None:
    table = np.array([[0, 0], [1, 0], [1, 0], [0, 1], [0, 0]], bool)
    labels = compact(np.array([[4, 2, 1, 0]], np.int32), table, np.zeros(5, bool))
    assert labels.table.tolist() == [[False, False], [True, False]]
    assert labels.codes.tolist() == [[0, 1, 1, 0]]


def test_a_code_map_checks_its_table() -> None:
    codes = np.zeros((1, 1), np.uint8)
    with pytest.raises(ValueError, match="code 0 must be the empty set"):
        CodeMap(codes, np.ones((1, 1), bool), np.zeros(1, bool))
    with pytest.raises(ValueError, match="code 0 must be the empty set"):
        CodeMap(codes, np.zeros((1, 1), bool), np.ones(1, bool))
    with pytest.raises(ValueError, match=r"table must be \(S, K\)"):
        CodeMap(codes, np.zeros((2, 1), bool), np.zeros(1, bool))


def test_label_spaces() -> None:
    space = LabelSpace(classes=("left lung", "뼈/손"), exclusive=True, values=(1, 300))
    assert (space.num_classes, space.num_heads) == (2, 3)
    assert LabelSpace(classes=("a", "b"), exclusive=False).num_heads == 2
    for wrong, message in (
        ({"classes": (), "exclusive": False}, "at least one class"),
        ({"classes": ("a", "a"), "exclusive": False}, "distinct"),
        ({"classes": ("a", "b"), "exclusive": True, "values": (1,)}, "distinct integer other than 0"),
        ({"classes": ("a", "b"), "exclusive": True, "values": (1, 1)}, "distinct integer other than 0"),
        ({"classes": ("a", "b"), "exclusive": True, "values": (0, 1)}, "distinct integer other than 0"),
    ):
        with pytest.raises(ValueError, match=message):
            LabelSpace(**wrong)  # type: ignore[arg-type]
