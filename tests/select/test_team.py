"""A selection on new images: members are combined, cut and cleaned as it says, and stale ones are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.ensemble import Combination
from autoseg.errors import FileFormatError, UsageError
from autoseg.geometry import Geometry
from autoseg.infer.segmentation import Segmentation
from autoseg.labels import LabelSpace
from autoseg.postprocess import Cleaning, clean_map, clean_mask
from autoseg.predictor import Predictor
from autoseg.select.apply import decide
from autoseg.select.selection import MemberRecord, Selected, Selection, load_selection, save_selection
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, plant_run, tiny_plan
from tests.select.make import plant_two, selection_of

IMAGE = np.random.default_rng(0).integers(0, 255, (20, 24)).astype(np.uint8)


def bytes_of(run: Path) -> NDArray[np.uint8]:
    found = Predictor.load(run).segment(IMAGE, (1.0, 1.0), probabilities=True).probabilities
    assert found is not None
    return found


def predict(results: Path, selection: Selection) -> Segmentation:
    predictor = Predictor.from_selection(Selected(results=results, selection=selection))
    return predictor.segment(IMAGE, (1.0, 1.0), probabilities=True)


def test_two_members_of_different_spacing_meet_on_the_images_grid(tmp_path: Path) -> None:
    results = plant_two(tmp_path, OVERLAPPING)
    runs = ("default/2d-default", "other/2d-default")
    one, two = (bytes_of(results / run).astype(float) for run in runs)
    mean = np.rint((one + two) / 2)
    thresholds = (int(np.median(mean[0])), int(np.quantile(mean[1], 0.8)))
    found = predict(
        results, selection_of(results, OVERLAPPING, *runs, thresholds=thresholds, cleanings=(Cleaning(), Cleaning(largest=True)))
    )
    np.testing.assert_array_equal(found.probabilities, mean)
    (_, first), (_, second) = found.masks()
    np.testing.assert_array_equal(first, mean[0] >= thresholds[0])
    np.testing.assert_array_equal(second, clean_mask(mean[1] >= thresholds[1], Cleaning(largest=True)))
    assert 0 < second.sum() < (mean[1] >= thresholds[1]).sum()


def test_without_a_spacing_the_finest_grid_of_the_members_is_taken(tmp_path: Path) -> None:
    """Of those that resample, by the size of a pixel: neither the first, nor one of 1 mm that takes images as they are."""
    results = plant_two(tmp_path, OVERLAPPING)
    plant_run(results / "tmp", replace(tiny_plan(OVERLAPPING, spacing=(0.5, 3.0)), name="third"), "3")
    (results / "tmp/default").rename(results / "third")
    runs = ("default/2d-default", "other/2d-default", "third/2d-default")
    predictor = Predictor.from_selection(Selected(results=results, selection=selection_of(results, OVERLAPPING, *runs)))

    def said(spacing: tuple[float, float] | None) -> NDArray[np.uint8]:
        found = predictor.segment(IMAGE, spacing, probabilities=True)
        assert found.geometry.shape == IMAGE.shape
        assert found.probabilities is not None
        return found.probabilities

    alone = said(None)
    np.testing.assert_array_equal(alone, said((0.5, 3.0)))
    assert (alone != said((2.0, 2.0))).any()
    assert (alone != said((1.0, 1.0))).any()


def test_one_member_with_a_threshold_of_its_own(tmp_path: Path) -> None:
    """Of five nets judged one is used; the others are not even loaded."""
    results = plant_two(tmp_path, OVERLAPPING)
    said = bytes_of(results / "other/2d-default")
    cut = tuple(int(np.quantile(plane, 0.9)) for plane in said)
    selection = selection_of(
        results, OVERLAPPING, "default/2d-default", "other/2d-default", thresholds=cut, cleanings=(Cleaning(min_size=12), Cleaning()),
        combination=Combination(kind="soft", weights=((0.0, 1.0),) * 2), ensemble="best member",
    )  # fmt: skip
    (results / "default").rename(results / "gone")
    first, second = (mask for _, mask in predict(results, selection).masks())
    expected = clean_mask(said[0] >= cut[0], Cleaning(min_size=12))
    # Bytes are rounded, the net's own probabilities are not: pixels on the very threshold apart.
    edge = np.abs(said.astype(int) - np.array(cut)[:, None, None]) <= 1
    np.testing.assert_array_equal(second[~edge[1]], (said[1] >= cut[1])[~edge[1]])
    assert (first != expected)[~edge[0]].mean() < 0.02
    assert selection.summary() == "other/2d-default, thresholds of 2 classes, post-processing of 1 class"


def test_exclusive_classes_of_one_and_of_two_members(tmp_path: Path) -> None:
    results = plant_two(tmp_path, EXCLUSIVE)
    cleanings = (Cleaning(min_size=6), Cleaning(fill_holes=True))
    alone = predict(results, selection_of(results, EXCLUSIVE, "default/2d-default", cleanings=cleanings)).map()
    plain = Predictor.load(results / "default/2d-default").segment(IMAGE, (1.0, 1.0)).map()
    heads = np.searchsorted([0, 7, 300], plain)
    np.testing.assert_array_equal(alone, np.array([0, 7, 300])[clean_map(heads, cleanings)])
    assert (alone != plain).any()
    both = predict(results, selection_of(results, EXCLUSIVE, "default/2d-default", "other/2d-default")).map()
    said = [bytes_of(results / run).astype(float) for run in ("default/2d-default", "other/2d-default")]
    mean = np.rint((said[0] + said[1]) / 2)
    expected = np.concatenate([255 - mean.sum(axis=0, keepdims=True), mean]).argmax(axis=0)
    np.testing.assert_array_equal(both, np.array([0, 7, 300])[expected])


@pytest.mark.parametrize("run", ["2d-default", "../2d-default", "/a/b", "a/b/c"])
def test_a_member_is_a_run_of_the_results(run: str) -> None:
    with pytest.raises(ValueError, match="run must be PLAN/CONFIG-TRAINER"):
        MemberRecord(run=run, folds={"0": "0"}, dice=0.5)
    with pytest.raises(ValueError, match="folds of p/r"):
        MemberRecord(run="p/r", folds={}, dice=0.5)


def test_a_size_in_mm_says_nothing_of_pixels() -> None:
    labels = LabelSpace(classes=("a",), exclusive=False)
    plane = np.zeros((1, 8, 8), np.uint8)
    plane[0, 1:3, 1:3] = 255
    selection = selection_of(Path(), labels, "p/r", unit="mm2", cleanings=(Cleaning(min_size=2.0),))

    def size_of(geometry: Geometry) -> int:
        return int(np.asarray(decide(selection, labels, geometry, [plane]).array).sum())

    grid = Geometry.pixels((8, 8))
    assert size_of(grid) == 4
    assert size_of(replace(grid, spacing=(0.5, 0.5), unit="mm")) == 0
    assert size_of(replace(grid, spacing=(0.8, 0.8), unit="mm")) == 4


def test_a_changed_net_is_noticed(tmp_path: Path) -> None:
    results = plant_two(tmp_path, OVERLAPPING)
    selection = selection_of(results, OVERLAPPING, "default/2d-default", thresholds=(128, 100))
    save_selection(results / "selection.json", selection)
    assert load_selection(results / "selection.json") == selection
    assert Predictor.load(results).team is not None
    assert Predictor.load(results / "default", selection=False).team is None
    plant_run(results / "tmp", tiny_plan(OVERLAPPING), "5")
    file = results / "default/2d-default/fold1/checkpoint_last.safetensors"
    (results / "tmp/default/2d-default/fold5/checkpoint_last.safetensors").replace(file)
    with pytest.raises(UsageError, match=r"fold1/checkpoint_last\.safetensors has changed since.*Choose again \(autoseg select\)"):
        Predictor.load(results)
    file.unlink()
    with pytest.raises(UsageError, match=r"uses fold 1 of .*2d-default, which is not there any more"):
        Predictor.load(results)


def test_a_damaged_selection_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "selection.json"
    selection = selection_of(tmp_path, OVERLAPPING, "p/r")
    save_selection(file, selection)
    file.write_text(file.read_text(encoding="utf-8").replace('"thresholds": [', '"thresholds": [300,'), encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"(?s)selection\.json.*thresholds must be.*--no-selection"):
        load_selection(file)
    save_selection(file, replace(selection, version=99))
    with pytest.raises(FileFormatError, match="newer than this autoseg"):
        load_selection(file)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (0, 128)}, "thresholds"),
        ({"cleanings": ()}, "cleanings"),
        ({"members": ()}, "members"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        selection_of(Path(), OVERLAPPING, "p/r", **changes)
