"""Cases on disk: whole or absent, read by slices, kept while nothing changed."""

import os
import pickle
import platform
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DataError, FileFormatError
from autoseg.plan import Normalization
from autoseg.preprocess import dataset as dataset_module
from autoseg.preprocess.dataset import missing_cases, prepare_dataset
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.prepared import Prepared
from autoseg.preprocess.store import PreparedStore, case_key, plan_key
from autoseg.preprocess.stored_array import chunk_shape
from tests.fingerprint.make import loaded
from tests.preprocess.make import plan, stage

RNG = np.random.default_rng(0)


def prepared(name: str = "a", shape: tuple[int, ...] = (40, 50)) -> Prepared:
    image = RNG.integers(0, 255, (2, *shape), np.uint8)
    masks = [RNG.random(shape) < 0.3, RNG.random(shape) < 0.3]
    rules = (Normalization(kind="zscore"),) * 2
    return prepare(loaded(name, image, masks), plan(len(shape), normalization=rules), stage=stage(len(shape)))


@pytest.mark.parametrize("shape", [(40, 50), (7, 20, 30)])
def test_what_is_written_is_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    store, made = PreparedStore(tmp_path / "store"), prepared(shape=shape)
    store.write(made, key="k")
    case = store.open("a")
    assert made.labels is not None
    assert case.shape == shape
    assert case.meta == made.meta
    assert case.image.dtype == np.uint8
    np.testing.assert_array_equal(case.image[:], made.image)
    np.testing.assert_array_equal(case.codes[:], made.labels.codes)
    np.testing.assert_array_equal(case.table, made.labels.table)
    np.testing.assert_array_equal(case.ignore, made.labels.ignore)
    window = tuple(slice(2, 5) for _ in shape)
    np.testing.assert_array_equal(case.image[(slice(None), *window)], made.image[(slice(None), *window)])
    for mine, theirs in zip(case.points, made.points, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(case.labels().mask(1), made.labels.mask(1))


def test_names_are_free(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path)
    for name in ("left/right 폐", "..", "a b"):
        store.write(prepared(name), key="k")
    assert store.names() == ("..", "a b", "left/right 폐")


def test_a_case_without_labels(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path)
    image = np.ones((1, 8, 8), np.uint8)
    store.write(prepare(loaded("a", image, None), plan(), stage=stage()), key="k")
    assert not store.open("a").has_labels
    assert store.open("a").image[0, 3, 3] == 1


def test_an_open_case_travels_to_another_process(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path)
    store.write(prepared(), key="k")
    case = store.open("a")
    first = case.image[0, :2, :2]
    again = pickle.loads(pickle.dumps(case))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.image[0, :2, :2], first)
    assert again.has_labels


def test_the_key_decides(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path)
    assert not store.has("a")
    store.write(prepared(), key="k")
    assert store.has("a")
    assert store.has("a", "k")
    assert not store.has("a", "other")
    store.write(prepared(), key="other")
    assert store.has("a", "other")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("file", ["image.b2nd", "codes.b2nd", "small.npz", "case.json"])
def test_half_a_case_is_none(tmp_path: Path, file: str) -> None:
    store = PreparedStore(tmp_path)
    store.write(prepared(), key="k")
    damaged = store.case_folder("a") / file
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert not store.has("a")
    assert store.names() == ()
    with pytest.raises(FileFormatError, match=file):
        store.open("a")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PreparedStore(tmp_path)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        store.write(prepared(), key="k")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_dead_processes_go(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path)
    store.write(prepared(), key="k")
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    pid, here, elsewhere = dead.stdout.strip(), f"{zlib.crc32(platform.node().encode()):08x}1", "000000001"
    kept = [f".tmp-{os.getpid()}-{here}-c", f".tmp-{pid}-{elsewhere}-b"]
    for name in (f".tmp-{pid}-{here}-b", f".old-{pid}-{here}-b", *kept):
        (tmp_path / name).mkdir()
    store.remove_leftovers()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "a"])


@pytest.mark.parametrize("file", ["image.b2nd", "codes.b2nd", "small.npz"])
def test_damage_that_keeps_the_size_is_found(tmp_path: Path, file: str) -> None:
    PreparedStore(tmp_path).write(prepared(), key="k")
    store = PreparedStore(tmp_path)
    damaged = store.case_folder("a") / file
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    assert store.has("a")
    assert not store.is_sound("a")
    with pytest.raises(FileFormatError, match=rf"{file} is damaged: its checksum is .*run plan_and_preprocess again, it replaces the case"):
        store.open("a")
    store.write(prepared(), key="k")
    assert store.is_sound("a", "k")
    assert not store.is_sound("a", "other")


def test_keys_follow_what_matters() -> None:
    base = plan_key(plan(), stage())
    assert plan_key(plan(name="other"), stage(batch=9)) == base
    assert plan_key(plan(), stage(spacing=(2.0, 2.0))) == base  # not resampled: the spacing is not used
    changed = [
        plan_key(plan(crop_to_nonzero=True), stage()),
        plan_key(plan(normalization=(Normalization(kind="unit"),)), stage()),
        plan_key(plan(), stage(resample=True)),
        plan_key(plan(), stage(resample=True, spacing=(2.0, 2.0))),
    ]
    assert len({base, *changed}) == 5
    assert case_key("1", plan(), stage=stage()) != case_key("2", plan(), stage=stage())


def test_chunks() -> None:
    assert chunk_shape((3, 4096, 4096), 1, sliced=False) == (3, 512, 512)
    assert chunk_shape((1, 64, 64), 4, sliced=False) == (1, 64, 64)
    assert chunk_shape((1, 300, 512, 512), 2, sliced=True) == (1, 1, 512, 512)


def test_a_data_set_is_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoseg.case import Case, Dataset, LoadedCase

    def read(data: Dataset, case: Case, num_channels: int | None = None) -> LoadedCase:
        if case.images[0].read_text() == "bad":
            raise DataError([f"{case.images[0]}: cannot be read"])
        made = loaded(case.name, np.full((1, 16, 16), len(case.images[0].read_text()), np.uint8), [np.ones((16, 16), np.bool_)] * 2)
        return replace(made, case=case)

    monkeypatch.setattr(dataset_module, "read_case", read)
    cases = []
    for name in "abc":
        (tmp_path / name).write_text("x")
        cases.append(Case(name=name, images=(tmp_path / name,)))
    data = Dataset(name="made", root=tmp_path, layout="made", classes=("a", "b"), train=tuple(cases))
    store, calls = PreparedStore(tmp_path / "store"), []

    def run() -> int:
        return prepare_dataset(data, plan(), stage=stage(), store=store, progress=lambda done, total: calls.append((done, total)))

    assert run() == 3
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert run() == 0
    (tmp_path / "b").write_text("xx")
    assert [case.name for case in missing_cases(data, plan(), stage=stage(), store=store)] == ["b"]
    assert run() == 1
    assert store.open("b").image[0, 0, 0] == 2
    (tmp_path / "a").write_text("bad")
    (tmp_path / "c").write_text("bad")
    with pytest.raises(DataError, match="2 problems"):
        run()
