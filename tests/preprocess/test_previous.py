"""Channels of a cascade: one rule from the original grid to the prepared one, and a store of their own."""

import os
import platform
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.errors import FileFormatError
from autoseg.geometry import Geometry
from autoseg.io.probabilities import read_probabilities, write_probabilities
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.prepared import Prepared, PreparedMeta
from autoseg.preprocess.previous import prepare_previous
from autoseg.preprocess.previous_store import PreviousStore, previous_key
from autoseg.preprocess.store import PreparedStore
from tests.fingerprint.make import loaded
from tests.preprocess.back import restore_channel
from tests.preprocess.make import plan, stage

CLASSES = 2


def said(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """Random bytes without the noise that files leave out."""
    return np.random.default_rng(seed).integers(2, 256, (CLASSES, *shape), dtype=np.uint8)


def meta(shape: tuple[int, ...], **changes: object) -> PreparedMeta:
    given = PreparedMeta(
        name="a", geometry=Geometry.pixels(shape), box=tuple((0, n) for n in shape), resampled_shape=shape, axes=tuple(range(len(shape))),
        lower=(0.0,), upper=(1.0,), mean=(0.0,), std=(1.0,),
    )  # fmt: skip
    return replace(given, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(7, 9), (4, 5, 6)])
def test_nothing_moves_where_nothing_is_prepared(shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(prepare_previous(said(shape), meta(shape)), said(shape))


def test_the_crop_and_the_axes_are_the_cases() -> None:
    given = said((6, 8, 9))
    cut = meta((6, 8, 9), box=((1, 5), (2, 8), (0, 7)), resampled_shape=(4, 6, 7), axes=(2, 0, 1), sliced=True)
    np.testing.assert_array_equal(prepare_previous(given, cut), given[:, 1:5, 2:8, 0:7].transpose(0, 3, 1, 2))


def test_halving_is_a_linear_kernel_of_four_pixels() -> None:
    # By hand: a triangle of half width 2 about the middle of each pair, weights 1/8, 3/8, 3/8, 1/8, repeated at the borders.
    row = np.array([0, 80, 160, 240, 40, 8], np.uint8)
    given = np.broadcast_to(row, (1, 6, 6)).copy()
    got = prepare_previous(given, meta((6, 6), resampled_shape=(6, 3)))
    padded = np.concatenate([row[:1], row, row[-1:]]).astype(float)
    expected = [np.rint(padded[k : k + 4] @ [1 / 8, 3 / 8, 3 / 8, 1 / 8]) for k in (0, 2, 4)]
    assert got[0].tolist() == [expected] * 6


def test_from_a_coarse_stage_and_back_a_blob_stays_where_it_is() -> None:
    y, x = np.mgrid[:32, :40]
    blob = (255 * np.exp(-(((y - 12) / 6) ** 2) - ((x - 25) / 6) ** 2)).astype(np.uint8)
    coarse = meta((32, 40), resampled_shape=(16, 20))
    there = prepare_previous(blob[None], coarse)
    assert there.shape == (1, 16, 20)
    back = restore_channel(there[0], coarse)
    # Each of the two triangles widens its variance of 18 by about 2/3 along both axes: the peak sinks by 7 %.
    assert np.abs(back - np.where(blob > 1, blob, 0)).max() < 0.1 * 255
    assert np.abs(np.array(np.unravel_index(back.argmax(), back.shape)) - (12, 25)).max() <= 1


def test_a_new_images_channels_are_what_training_read_from_a_file(tmp_path: Path) -> None:
    given = np.random.default_rng(0).integers(0, 5, (CLASSES, 12, 12), dtype=np.uint8)  # much of it noise
    write_probabilities(tmp_path / "a.prob", given)
    for target in (meta((12, 12)), meta((12, 12), resampled_shape=(7, 7))):
        np.testing.assert_array_equal(prepare_previous(read_probabilities(tmp_path / "a.prob"), target), prepare_previous(given, target))


def test_another_cases_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match=r"probabilities of a must have the shape \(7, 9\), got \(9, 7\)"):
        prepare_previous(said((9, 7)), meta((7, 9)))


def test_channels_lie_beside_the_case(tmp_path: Path) -> None:
    channels = PreviousStore(tmp_path / "previous")
    base = PreparedStore(tmp_path / "cases")
    made: Prepared = prepare(loaded("손/a", np.ones((1, 40, 50), np.uint8), [np.ones((40, 50), bool)] * 2), plan(), stage=stage())
    base.write(made, key="k")
    assert base.made_from("손/a") == "k"
    assert base.open("손/a").previous is None
    channels.write("손/a", said((40, 50)), key="c", sliced=False)
    case = PreparedStore(base.folder, channels).open("손/a")
    assert case.previous is not None
    assert case.previous.shape == (CLASSES, 40, 50)
    np.testing.assert_array_equal(case.previous[:, 3:9, 20:50], said((40, 50))[:, 3:9, 20:50])


def test_channels_are_whole_or_absent(tmp_path: Path) -> None:
    store = PreviousStore(tmp_path)
    assert not store.has("a", "c")
    with pytest.raises(FileFormatError, match="does not exist"):
        store.open("a")
    store.write("a", said((8, 8)), key="c", sliced=False)
    assert store.has("a", "c")
    assert not store.has("a", "another net's")
    file = store.case_folder("a") / "previous.b2nd"
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert not store.has("a", "c")
    with pytest.raises(FileFormatError, match=r"previous\.b2nd is missing or cut short; the same command again makes it anew"):
        store.open("a")
    file.write_bytes(b"x" * len(whole))
    with pytest.raises(FileFormatError, match=r"previous\.b2nd is damaged\. Delete the folder"):
        store.open("a")
    store.write("a", said((8, 8), seed=1), key="d", sliced=False)
    assert store.has("a", "d")
    here = f"{zlib.crc32(platform.node().encode()):08x}1"
    (tmp_path / f".tmp-{2**22 + 1}-{here}-b").mkdir()  # no process has this number: the kernel's limit lies below
    (tmp_path / f".tmp-{os.getpid()}-{here}-c").mkdir()
    store.remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".tmp-{os.getpid()}-{here}-c", "a"]


def test_the_key_follows_every_net_and_how_cases_are_prepared() -> None:
    sums = {"0": "a" * 64, "1": "b" * 64}
    base = previous_key(plan(), stage(previous="2d_lowres"), sums)
    assert previous_key(plan(name="other"), stage(previous="2d_lowres", batch=9), dict(reversed(sums.items()))) == base
    others = [
        previous_key(plan(), stage(previous="2d_lowres"), sums | {"1": "c" * 64}),
        previous_key(plan(), stage(previous="2d_lowres"), {"0": "a" * 64}),
        previous_key(plan(crop_to_nonzero=True), stage(previous="2d_lowres"), sums),
        previous_key(plan(), stage(previous="other"), sums),
    ]
    assert len({base, *others}) == 5
