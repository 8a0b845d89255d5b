"""Large tif read by region: the pixels of the whole, of the strips and tiles that hold them alone."""

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from autoseg.errors import DataError
from autoseg.io import tif, tif_regions
from autoseg.io.images import Image, read_image, to_channels
from autoseg.io.tif_regions import TifRegions, regions_of
from tests.io.make import decoded

SHAPE = (37, 53)


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tif, "LARGE", 0)
    # Files without compression are mapped where that is possible; here they show what is read by region as well.
    monkeypatch.setattr(tif, "_is_mappable", lambda series: False)


def noise(*shape: int, dtype: type[np.unsignedinteger[Any]] = np.uint8) -> Any:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)


def regions(path: Path) -> TifRegions:
    found = regions_of(tif.read_tif(path, by_region=True).array)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "layout", [{"rowsperstrip": 5}, {"tile": (16, 32)}, {"tile": (16, 16), "bigtiff": True}, {"byteorder": ">"}], ids=str
)
@pytest.mark.parametrize(
    "compression", [{}, {"compression": "zlib", "predictor": True}, {"compression": "lzw"}, {"compression": "packbits"}], ids=str
)
def test_pixels_are_those_that_were_written(tmp_path: Path, dtype: Any, layout: dict[str, Any], compression: dict[str, Any]) -> None:
    expected = noise(*SHAPE, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", expected, **layout, **compression)
    found = regions(tmp_path / "a.tif")
    assert (found.shape, found.dtype, found.size, len(found)) == ((1, *SHAPE), expected.dtype, expected.size, 1)
    for rows, columns in (
        (slice(0, 37), slice(0, 53)),
        (slice(4, 6), slice(15, 33)),
        (slice(36, None), slice(-1, None)),
        (slice(9, 9), slice(0, 3)),
    ):
        np.testing.assert_array_equal(found[:, rows, columns], expected[None, rows, columns])
    np.testing.assert_array_equal(found[0, 7], expected[7])
    np.testing.assert_array_equal(np.asarray(found), expected[None])
    assert np.asarray(found).dtype.isnative


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb"},
        {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16), "compression": "zlib"},
        {"photometric": "rgb", "compression": "jpeg", "tile": (32, 32)},
        {"photometric": "rgb", "compression": "lzw", "predictor": True, "rowsperstrip": 8},
    ],
    ids=str,
)
def test_colours(tmp_path: Path, options: dict[str, Any]) -> None:
    image = noise(*SHAPE, 3)
    planar = options.get("planarconfig") == "separate"
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(image, -1, 0) if planar else image, **options)
    whole, found = tif.read_tif(tmp_path / "a.tif"), regions(tmp_path / "a.tif")
    np.testing.assert_array_equal(found[:, 5:30, 10:50], whole.array[:, 5:30, 10:50])
    if options.get("compression") != "jpeg":
        np.testing.assert_array_equal(found[:], np.moveaxis(image, -1, 0))


@pytest.mark.parametrize("image", [noise(*SHAPE), noise(*SHAPE) > 99], ids=["8 bit", "1 bit"])
def test_white_is_zero(tmp_path: Path, image: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite", compression="zlib")
    np.testing.assert_array_equal(regions(tmp_path / "a.tif")[0, 3:9, 2:50], np.asarray(~image, np.uint8)[3:9, 2:50])


def test_a_window_of_some_channels(tmp_path: Path) -> None:
    image = noise(*SHAPE, 3)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression="zlib", tile=(16, 16))
    found = regions(tmp_path / "a.tif").window(((5, 30), (7, 40))).window(((1, 20), (0, 30))).select([2, 0, 0])
    expected = np.moveaxis(image, -1, 0)[[2, 0, 0], 6:25, 7:37]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found[:], expected)
    np.testing.assert_array_equal(np.concatenate(list(found.slabs()), axis=1), expected)


def test_slabs_are_rows_of_whole_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(*SHAPE), rowsperstrip=4, compression="zlib")
    monkeypatch.setattr(tif_regions, "SLAB", 2 * 4 * 53 + 1)
    assert [slab.shape[1] for slab in regions(tmp_path / "a.tif").slabs()] == [8, 8, 8, 8, 5]


def test_slabs_of_one_high_strip_are_parts_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(*SHAPE)
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=SHAPE[0], compression="zlib")
    monkeypatch.setattr(tif_regions, "SLAB", 10 * 53)
    found = regions(tmp_path / "a.tif")
    numbers = decoded(found)
    slabs = list(found.slabs())
    assert [slab.shape[1] for slab in slabs] == [10, 10, 10, 7]
    np.testing.assert_array_equal(np.concatenate(slabs, axis=1)[0], image)
    assert numbers == [0]  # decoded once for all its parts


def test_what_it_takes_in_memory_is_a_row_of_strips_at_least(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(*SHAPE, dtype=np.uint16), rowsperstrip=16, compression="zlib")
    assert regions(tmp_path / "a.tif").nbytes == tif_regions.KEPT_BYTES
    monkeypatch.setattr(tif_regions, "KEPT_BYTES", 100)
    assert regions(tmp_path / "a.tif").nbytes == 16 * 53 * 2


@pytest.mark.parametrize(("byteorder", "is_mapped"), [("<", sys.byteorder == "little"), (">", sys.byteorder == "big")])
def test_without_compression_in_the_machines_order_it_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, byteorder: Any, is_mapped: bool
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(tif, "LARGE", 0)
    expected = noise(*SHAPE, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", expected, byteorder=byteorder)
    array = tif.read_tif(tmp_path / "a.tif", by_region=True).array
    assert (regions_of(array) is None) == is_mapped
    np.testing.assert_array_equal(array[:][0], expected)


def test_only_what_holds_the_region_is_decoded_and_once(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(64, 64), tile=(16, 16), compression="zlib")
    found = regions(tmp_path / "a.tif")
    numbers = decoded(found)
    found[:, 16:32, 20:40]
    assert numbers == [5, 6]
    found[:, 16:33, 20:40]
    assert numbers == [5, 6, 9, 10]


def test_what_is_kept_is_bounded_but_a_row_of_windows_decodes_its_strips_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(64, 64), rowsperstrip=4, compression="zlib")
    monkeypatch.setattr(tif_regions, "KEPT_BYTES", 3 * 4 * 64)
    found = regions(tmp_path / "a.tif")
    numbers = decoded(found)
    for top in (0, 8, 16):
        for left in (0, 16, 32):
            found[:, top : top + 16, left : left + 16]
            # Four strips are needed at a time, more than fit.
            assert len(found._segments.kept) == 4
            assert found._segments.held_bytes == 4 * 4 * 64
    assert numbers == list(range(8))
    found[:, 60:, :]
    assert len(found._segments.kept) == 3


def test_all_of_it_is_in_memory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(4096, 2048)
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=64, compression="packbits")
    monkeypatch.setattr(tif_regions, "KEPT_BYTES", 2**18)
    monkeypatch.setattr(tif_regions, "SLAB", 2**18)
    found = regions(tmp_path / "a.tif")
    tracemalloc.start()
    try:
        whole = np.asarray(found)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(whole[0], image)
    assert held < image.nbytes + 2**20
    assert peak < image.nbytes + 2**21
    assert (len(found._segments.kept), found._segments.held_bytes) == (0, 0)


def test_strips_that_were_left_out_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(16, 16), rowsperstrip=8, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        for name in ("StripOffsets", "StripByteCounts"):
            tags[name].overwrite([tags[name].value[0], 0])
    found = regions(path)[0]
    np.testing.assert_array_equal(found[:8], noise(16, 16)[:8])
    assert not found[8:].any()


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
def test_a_file_cut_short_is_named(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 64), rowsperstrip=8, compression=compression)
    content = path.read_bytes()
    found = regions(path)
    path.write_bytes(content[: len(content) // 2])
    assert found[:, :8].shape == (1, 8, 64)
    with pytest.raises(DataError, match=r"a\.tif: is truncated or damaged \(.*copy it again"):
        found[:]


@pytest.mark.parametrize("compression", ["zlib", "jpeg"])
def test_noise_in_the_middle_is_named(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 64), rowsperstrip=8, compression=compression)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start, size = file.pages.first.dataoffsets[4], file.pages.first.databytecounts[4]
    content[start : start + size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tif: is truncated or damaged"):
        regions(path)[:]


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((5, 16, 16), {}),
        ((16, 16, 4), {"photometric": "separated"}),
        ((16, 16), {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}),
    ],
    ids=["volume", "CMYK", "palette"],
)
def test_others_are_read_whole(tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(*shape), **options)
    assert regions_of(tif.read_tif(tmp_path / "a.tif", by_region=True).array) is None


def test_small_ones_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(*SHAPE), compression="zlib")
    monkeypatch.setattr(tif, "LARGE", 37 * 53 + 1)
    assert regions_of(tif.read_tif(tmp_path / "a.tif", by_region=True).array) is None


def both(path: Path) -> tuple[Image, Image]:
    return read_image([path]), read_image([path], by_region=True)


@pytest.mark.parametrize("kind", ["grey", "colour", "opaque", "veiled"])
def test_channels_are_judged_as_of_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    image = np.repeat(noise(*SHAPE, 1), 3, axis=-1) if kind == "grey" else noise(*SHAPE, 3 if kind == "colour" else 4)
    if kind == "opaque":
        image[..., 3] = 255
    tifffile.imwrite(
        tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"] if image.shape[-1] == 4 else None, compression="zlib"
    )
    monkeypatch.setattr(tif_regions, "SLAB", 100)
    whole, found = both(tmp_path / "a.tif")
    assert (found.facts, found.geometry) == (whole.facts, whole.geometry)
    assert regions_of(found.array) is not None
    for num in {whole.num_channels, 1 if kind == "grey" else 4}:
        np.testing.assert_array_equal(np.asarray(to_channels(found, num)), to_channels(whole, num))


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    image = np.zeros(SHAPE, np.float32)
    image[[3, 30], [4, 40]] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib", rowsperstrip=2)
    with pytest.raises(DataError, match=r"a\.tif: holds 2 values that are NaN"):
        read_image([tmp_path / "a.tif"], by_region=True)


def test_what_no_region_is_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(*SHAPE), compression="zlib")
    found = regions(tmp_path / "a.tif")
    with pytest.raises(IndexError, match="without a step"):
        found[:, ::2]
    with pytest.raises(IndexError, match="index 37 of an axis of 37"):
        found[0, 37]
