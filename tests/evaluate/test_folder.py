"""Predictions on disk against their truths: every form that predict writes, every layout of labels."""

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.case import Dataset
from autoseg.errors import DataError, UsageError
from autoseg.evaluate import CaseScores, folder
from autoseg.evaluate.folder import score_pairs
from autoseg.evaluate.predictions import Pair, check_classes, choose_truth, find_predictions, find_validation, pair_up
from autoseg.evaluate.truth_folder import read_truth_folder
from autoseg.io.layouts import read_dataset
from autoseg.io.truth import read_truth
from autoseg.metrics.measure import Rules
from tests.io.make import make_handbone, make_maps, make_masks, square, write_json, write_picture, write_volume


def predict_masks(out: Path, cases: tuple[str, ...] = ("case0", "case1"), classes: tuple[str, ...] = ("a", "b"), shift: int = 1) -> Path:
    for case in cases:
        for name in classes:
            write_picture(out / case / f"{name}.png", np.roll(square(value=255), shift, axis=1))
    return out


def scored(raw: Dataset, out: Path, **rules: float) -> list[CaseScores]:
    predictions = find_predictions(out)
    cases = choose_truth(raw, predictions, validation=False)
    check_classes(raw, predictions)
    return score_pairs(raw, pair_up(predictions, cases)[0], Rules(**rules))


def test_a_folder_of_masks_per_case(tmp_path: Path) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    write_json(tmp_path / "out/predict.json", {})
    first, second = scored(raw, predict_masks(tmp_path / "out"))
    assert (first.case, second.case, first.unit) == ("case0", "case1", "pixel")
    assert first.scores["dice"].tolist() == [0.5, 0.5]
    assert first.scores["hd95"].tolist() == [1, 1]


def test_a_map_per_case(tmp_path: Path) -> None:
    raw = read_dataset(make_maps(tmp_path / "raw", {"background": 0, "x": 1, "y": 3}))
    for k in range(3):
        write_picture(tmp_path / f"out/case{k}.png", square(value=1 if k < 2 else 3))
    found = scored(raw, tmp_path / "out")
    assert [score.scores["dice"][0] for score in found] == [1, 1, 0]
    assert found[2].counts.extra.tolist() == [0, 4]


def test_maps_of_classes_that_have_masks_count_from_one(tmp_path: Path) -> None:
    # What predict writes where masks never overlap: the plan numbers the classes in their order.
    raw = read_dataset(make_masks(tmp_path / "raw"))
    write_picture(tmp_path / "out/case1.png", square(value=2))
    (only,) = scored(raw, tmp_path / "out")
    assert only.scores["dice"].tolist() == [0, 1]


def test_a_class_without_a_file_is_empty(tmp_path: Path) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    predict_masks(tmp_path / "out")
    (tmp_path / "out/case1/b.png").unlink()
    assert scored(raw, tmp_path / "out")[1].scores["dice"].tolist() == [0.5, 0]


def test_volumes_are_measured_in_millimetres(tmp_path: Path) -> None:
    slab, other = np.zeros((2, 8, 6, 6), np.uint8)
    slab[2:4], other[3:5] = 1, 1
    for k, volume in enumerate((slab, slab)):
        write_volume(tmp_path / f"raw/imagesTr/v{k}.nii.gz", volume.astype(np.float32), spacing=(1, 1, 2.5))
        write_volume(tmp_path / f"raw/labelsTr/v{k}.nii.gz", volume, spacing=(1, 1, 2.5))
        write_volume(tmp_path / f"out/v{k}.nii.gz", other, spacing=(1, 1, 2.5))
    first, _ = scored(read_dataset(tmp_path / "raw"), tmp_path / "out", tolerance=2.5)
    assert (first.unit, first.scores["hd95"][0], first.scores["nsd"][0]) == ("mm", 2.5, 1)
    # dataset.json's spacing goes before the files'.
    write_json(tmp_path / "raw/dataset.json", {"labels": {"background": 0, "slab": 1}, "spacing": [1, 1, 1]})
    assert scored(read_dataset(tmp_path / "raw"), tmp_path / "out")[0].scores["hd95"][0] == 1


def test_missing_and_extra_cases_are_named(tmp_path: Path) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    predictions = find_predictions(predict_masks(tmp_path / "out", ("case1", "new")))
    pairs, missing, extra = pair_up(predictions, choose_truth(raw, predictions, validation=False))
    assert ([pair.case.name for pair in pairs], missing, extra) == (["case1"], ["case0"], ["new"])


def test_predictions_of_nothing_known_are_refused(tmp_path: Path) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    with pytest.raises(UsageError, match=r"predicted are new; labelled are case0, case1\. Name the folder"):
        choose_truth(raw, find_predictions(predict_masks(tmp_path / "out", ("new",))), validation=False)


def test_a_case_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    write_picture(predict_masks(tmp_path / "out") / "case0.png", square())
    with pytest.raises(UsageError, match="case0 is there twice"):
        pair_up(find_predictions(tmp_path / "out"), raw.train)


@pytest.mark.parametrize(
    ("classes", "message"), [(("a", "c"), "masks of c, which the truth does not have and no mask of b"), (("b",), "no mask of a")]
)
def test_other_classes_are_refused(tmp_path: Path, classes: tuple[str, ...], message: str) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    with pytest.raises(UsageError, match=rf"out: the predictions hold {message}\. The truth's classes are a, b"):
        check_classes(raw, find_predictions(predict_masks(tmp_path / "out", classes=classes)))


def test_wrong_grids_and_values_are_one_error(tmp_path: Path) -> None:
    raw = read_dataset(make_maps(tmp_path / "raw", {"background": 0, "x": 1}))
    write_picture(tmp_path / "out/case0.png", square((7, 8)))
    write_picture(tmp_path / "out/case1.png", square(value=9))
    write_picture(tmp_path / "out/case2.png", square())
    with pytest.raises(DataError, match="2 problems") as error:
        scored(raw, tmp_path / "out")
    assert "case0.png: has the shape (7, 8), its image (6, 8)" in str(error.value)
    assert "case1.png: holds the undeclared value 9" in str(error.value)
    assert str(error.value).endswith(folder.HINT)


def test_a_file_that_cannot_be_read_has_no_hint_about_grids(tmp_path: Path) -> None:
    raw = read_dataset(make_maps(tmp_path / "raw", {"background": 0, "x": 1}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/case0.png").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"case0\.png") as error:
        scored(raw, tmp_path / "out")
    assert "lies on the grid" not in str(error.value)


def test_cases_are_read_measured_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is kept of a case is its row of scores: the truth of one is gone before that of the next is read.
    raw = read_dataset(make_masks(tmp_path / "raw", cases=6))
    out = predict_masks(tmp_path / "out", tuple(f"case{k}" for k in range(6)))
    truths: list[weakref.ref[object]] = []

    def watched(*given: object) -> object:
        assert all(truth() is None for truth in truths)
        found = read_truth(*given)  # type: ignore[arg-type]
        truths.append(weakref.ref(found.codes))
        return found

    monkeypatch.setattr(folder, "read_truth", watched)
    assert len(scored(raw, out)) == 6
    assert len(truths) == 6


def test_a_run_s_folds_are_pooled(tmp_path: Path) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    for k in range(2):
        predict_masks(tmp_path / f"run/fold{k}/validation", (f"case{k}",))
        (tmp_path / f"run/fold{k}/validation/probabilities").mkdir()
    (tmp_path / "run/fold_all/validation").mkdir(parents=True)
    predictions = find_validation(tmp_path / "run")
    scores = score_pairs(raw, pair_up(predictions, raw.train)[0], Rules())
    assert [(score.case, score.fold) for score in scores] == [("case0", "0"), ("case1", "1")]
    assert find_validation(tmp_path / "run/fold1") == predictions[1:]
    assert find_validation(tmp_path / "raw") == []


def test_a_case_of_two_folds_is_named_after_them_and_stays_one_unit(tmp_path: Path) -> None:
    raw = read_dataset(make_masks(tmp_path / "raw"))
    for k in range(2):
        predict_masks(tmp_path / f"run/fold{k}/validation", ("case0",), shift=k)
    scores = score_pairs(raw, pair_up(find_validation(tmp_path / "run"), raw.train)[0], Rules())
    assert [(score.case, score.group) for score in scores] == [("case0 (fold0)", "case0"), ("case0 (fold1)", "case0")]


def test_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoseg.io import parallel

    raw = read_dataset(make_masks(tmp_path / "raw", cases=4))
    predictions = find_predictions(predict_masks(tmp_path / "out", tuple(f"case{k}" for k in range(4))))
    pairs = pair_up(predictions, raw.train)[0]
    alone = score_pairs(raw, pairs, Rules())
    monkeypatch.setattr(parallel, "pool_pays", lambda *given: True)
    together = score_pairs(raw, pairs, Rules(), workers=2)
    assert [score.case for score in together] == [score.case for score in alone]
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.scores["dice"], two.scores["dice"])


def pairs_of(truth: Path, out: Path, like: Dataset | None = None) -> tuple[Dataset, list[Pair]]:
    predictions = find_predictions(out)
    raw = read_truth_folder(truth, predictions, like)
    return raw, pair_up(predictions, choose_truth(raw, predictions, validation=False))[0]


def test_a_folder_of_mask_labels(tmp_path: Path) -> None:
    make_masks(tmp_path / "raw")
    (tmp_path / "raw/labelsTr").rename(tmp_path / "labels")
    raw, pairs = pairs_of(tmp_path / "labels", predict_masks(tmp_path / "out"))
    assert raw.classes == ("a", "b")
    assert score_pairs(raw, pairs, Rules())[0].scores["dice"].tolist() == [0.5, 0.5]


def test_a_folder_of_maps_beside_dataset_json(tmp_path: Path) -> None:
    make_maps(tmp_path / "raw", {"background": 0, "lung": 1, "heart": 2})
    write_picture(tmp_path / "raw/labelsTs/new.png", square(value=2))
    write_picture(tmp_path / "out/new.png", square(value=2))
    raw, pairs = pairs_of(tmp_path / "raw/labelsTs", tmp_path / "out")
    (only,) = score_pairs(raw, pairs, Rules())
    assert raw.classes == ("lung", "heart")
    np.testing.assert_array_equal(only.scores["dice"], [np.nan, 1])


def test_a_folder_of_maps_alone_shows_its_values(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 4)):
        write_picture(tmp_path / f"labels/{name}.png", square(value=value))
        write_picture(tmp_path / f"out/{name}.png", square(value=4))
    raw, pairs = pairs_of(tmp_path / "labels", tmp_path / "out")
    assert raw.classes == ("class 1", "class 4")
    assert [score.scores["dice"][1] for score in score_pairs(raw, pairs, Rules())] == [0, 1]


@pytest.mark.parametrize("described", [False, True])
def test_a_folder_of_polygons(tmp_path: Path, described: bool) -> None:
    raw = read_dataset(make_handbone(tmp_path / "raw"))
    (tmp_path / "raw/train/outputs_json").rename(tmp_path / "truth")
    write_json(tmp_path / "truth/notes.json", {"seed": 0})
    predict_masks(tmp_path / "out", ("image001_R", "image002_L"), ("Radius", "Ulna"), shift=0)
    truth, pairs = pairs_of(tmp_path / "truth", tmp_path / "out", replace(raw, train=()) if described else None)
    assert [case.name for case in truth.test] == (["image001_R", "image002_L"])
    # The polygon covers x 2 to 3, y 1 to 2: the square.
    assert score_pairs(truth, pairs, Rules())[1].scores["dice"].tolist() == [1, 1]


def test_folders_without_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no labels: neither a raw data set nor"):
        read_truth_folder(tmp_path / "empty", [])
    with pytest.raises(UsageError, match="no such folder"):
        read_truth_folder(tmp_path / "nowhere", [])
