"""Masks of large images go to their files row by row: the same files as of masks in memory, and none where something fails."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from autoseg.case import Case
from autoseg.geometry import Geometry
from autoseg.infer import mask_files
from autoseg.infer.files import Outcome
from autoseg.infer.formats import FORMATS
from autoseg.infer.mask_files import MapFile, MaskFiles, large_files
from autoseg.labels import LabelSpace
from autoseg.predictor import Predictor
from autoseg.preprocess.prepared import PreparedMeta
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, plant_run, tiny_plan

BYTES = LabelSpace(classes=("bright", "middle"), exclusive=True, values=(7, 200))


def noise(*shape: int) -> NDArray[np.bool_]:
    return np.random.default_rng(0).random(shape) > 0.5


def put(masks: MaskFiles, expected: NDArray[np.bool_], heights: tuple[int, ...], columns: slice, first: int = 0) -> None:
    for height in heights:
        masks.put((slice(first, first + height), columns), expected[:, first : first + height, columns])
        first += height


@pytest.mark.parametrize("num", [1, 5, 30])
def test_masks_come_back(tmp_path: Path, num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_files, "WAITING", 1)
    expected = noise(num, 23, 17)
    with MaskFiles(tmp_path / "case", num, (23, 17)) as masks:
        put(masks, expected, (1, 9, 13), slice(0, 17))
    np.testing.assert_array_equal(masks, expected)
    assert (masks.shape, len(masks), masks.nbytes) == ((num, 23, 17), num, 0)
    np.testing.assert_array_equal(masks[-1], expected[-1])
    with pytest.raises(IndexError, match=f"there are {num} masks"):
        masks[num]
    with Image.open(masks.files[0]) as picture:
        np.testing.assert_array_equal(np.asarray(picture), expected[0] * 255)


def test_what_lies_around_a_part_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_files, "EMPTY", 2)
    expected = np.zeros((3, 23, 17), np.bool_)
    expected[:, 5:16, 4:12] = noise(3, 11, 8)
    with MaskFiles(tmp_path / "case", 3, (23, 17)) as masks:
        put(masks, expected, (4, 7), slice(4, 12), first=5)
    np.testing.assert_array_equal(masks, expected)


def test_a_map_comes_back(tmp_path: Path) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (23, 17), np.uint8)
    with MapFile(tmp_path / "case.png", (23, 17)) as values:
        values.put((slice(0, 20), slice(0, 17)), expected[:20])
        values.put((slice(20, 23), slice(0, 17)), expected[20:])
    np.testing.assert_array_equal(values, expected)
    assert np.asarray(values).dtype == np.uint8


def test_files_go_with_whoever_knows_them(tmp_path: Path) -> None:
    with MaskFiles(tmp_path / "case", 2, (4, 4)) as masks:
        put(masks, noise(2, 4, 4), (4,), slice(0, 4))
    masks.link(1, tmp_path / "kept.png")
    assert len(list(tmp_path.iterdir())) == 2
    del masks
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.png"]


def test_nothing_stays_of_what_failed(tmp_path: Path) -> None:
    def half_way() -> None:
        with MaskFiles(tmp_path / "case", 2, (9, 4)) as masks:
            put(masks, noise(2, 9, 4), (4,), slice(0, 4))
            assert len(list(tmp_path.rglob("*.png"))) == 2
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half_way()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path / "case", 2, (9, 4))
    masks.files[1] = Path("/dev/full")
    with pytest.raises(OSError, match="No space left"), masks:
        put(masks, noise(2, 9, 4), (9,), slice(0, 4))
    assert list(tmp_path.iterdir()) == []


def test_the_masks_of_one_name_twice_in_a_thread(tmp_path: Path) -> None:
    first, second = (MaskFiles(tmp_path / "case", 1, (9, 4)) for _ in range(2))
    assert first.folder != second.folder
    expected = noise(1, 9, 4)
    with first, second:
        put(first, expected, (9,), slice(0, 4))
        put(second, ~expected, (9,), slice(0, 4))
    second.discard()
    np.testing.assert_array_equal(np.asarray(first), expected)


def test_which_cases_have_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_files, "LARGE", 200)

    def made(labels: LabelSpace, *shape: int) -> type | None:
        one, box = (0.0,), tuple((0, n) for n in shape)
        meta = PreparedMeta(
            name="a/b", geometry=Geometry.pixels(shape), box=box, resampled_shape=(1,) * len(shape), axes=tuple(range(len(shape))),
            lower=one, upper=one, mean=one, std=one,
        )  # fmt: skip
        found = large_files(tmp_path, labels, meta)
        return None if found is None else type(found)

    assert made(OVERLAPPING, 10, 20) is MaskFiles
    assert made(OVERLAPPING, 10, 19) is None
    assert made(OVERLAPPING, 10, 20, 3) is None
    assert made(BYTES, 10, 20) is MapFile
    assert made(EXCLUSIVE, 10, 20) is None  # 300
    assert made(LabelSpace(classes=tuple(map(str, range(257))), exclusive=False), 10, 20) is None


def predicted(tmp_path: Path, labels: LabelSpace, name: str, formats: tuple[str, ...]) -> tuple[Outcome, dict[str, bytes]]:
    if not (tmp_path / "Tiny").is_dir():
        plant_run(tmp_path / "Tiny", tiny_plan(labels), "0")
        (tmp_path / "in").mkdir()
        for case in "ab":
            pixels = np.random.default_rng(ord(case)).integers(0, 255, (50, 24), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "in" / f"{case}.png")
    cases = [Case(name=case, images=(tmp_path / "in" / f"{case}.png",)) for case in "ab"]
    out = tmp_path / name
    outcome = Predictor.load(tmp_path / "Tiny", device="cpu", tta=False).predict_files(cases, out, formats=formats)
    return outcome, {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("labels", [OVERLAPPING, BYTES])
def test_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: LabelSpace) -> None:
    formats = tuple(name for name, kind in FORMATS.items() if not kind.refusal(labels, 2))
    _, in_memory = predicted(tmp_path, labels, "memory", formats)
    monkeypatch.setattr(mask_files, "LARGE", 0)
    made: list[type] = []
    enter = mask_files.RowFiles.__enter__

    def entering(self: mask_files.RowFiles) -> mask_files.RowFiles:
        made.append(type(self))
        return enter(self)

    monkeypatch.setattr(mask_files.RowFiles, "__enter__", entering)
    _, by_rows = predicted(tmp_path, labels, "rows", formats)
    assert made == [MapFile if labels.exclusive else MaskFiles] * 2
    assert by_rows == in_memory


def test_a_failure_in_the_middle_leaves_no_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_files, "LARGE", 0)
    write = mask_files.RowFiles._write

    def failing(self: mask_files.RowFiles, *given: object) -> None:
        if self.folder.name.endswith("-a.scratch") and self._row > 20:
            raise OSError(28, os.strerror(28))
        write(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(mask_files.RowFiles, "_write", failing)
    outcome, found = predicted(tmp_path, OVERLAPPING, "rows", ("masks",))
    assert list(outcome.failures) == ["a"]
    assert "No space left" in outcome.failures["a"]
    assert {name.partition("/")[0] for name in found} == {"b", "predict.json"}
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == ["b", "predict.json"]
