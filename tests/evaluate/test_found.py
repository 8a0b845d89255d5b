"""Which files of a folder are predictions, and what lies around a folder of labels."""

from pathlib import Path

import numpy as np
import pytest

from autoseg.evaluate.predictions import find_predictions, find_validation
from autoseg.evaluate.truth_folder import read_truth_folder
from tests.io.make import write_json, write_picture

MASK = np.eye(8, dtype=np.uint8)


def found(folder: Path) -> list[tuple[str, int]]:
    """Case and how many masks, 0 for a map."""
    return [(one.case, len(one.classes)) for one in find_predictions(folder)]


def test_an_overlay_is_no_case(tmp_path: Path) -> None:
    for name in ("a.png", "a.overlay.png", "b.overlay.png"):
        write_picture(tmp_path / name, MASK)
    assert found(tmp_path) == [("a", 0)]


@pytest.mark.parametrize("record", ["predict.json", "predict-1-of-2.json"])
def test_of_masks_and_a_map_that_predict_wrote_the_masks_count(tmp_path: Path, record: str) -> None:
    for name in ("a.png", "a/left.png", "a/right.png", "b.png"):
        write_picture(tmp_path / name, MASK)
    assert sorted(found(tmp_path)) == [("a", 0), ("a", 2), ("b", 0)]  # by hand: somebody has to say which
    write_json(tmp_path / record, {})
    assert sorted(found(tmp_path)) == [("a", 2), ("b", 0)]


def test_a_copy_of_a_fold_is_not_evaluated(tmp_path: Path) -> None:
    for name in ("fold0", "fold_all", "fold0_old"):
        write_picture(tmp_path / name / "validation/a.png", MASK)
    assert [(one.case, one.fold) for one in find_validation(tmp_path)] == [("a", "0"), ("a", "all")]
    assert [one.case for one in find_validation(tmp_path / "fold0_old")] == ["a"]  # named by itself it is meant


def test_what_is_wrong_around_the_labels_is_no_fault_of_theirs(tmp_path: Path) -> None:
    for folder in ("imagesTr", "one", "two"):
        write_picture(tmp_path / folder / "a.png", MASK)
    for folder in ("labelsTr", "labelsTs"):
        write_picture(tmp_path / folder / "a.png", MASK)
    (tmp_path / "dataset.json").write_text("{", encoding="utf-8")
    predictions = tmp_path / "mine"
    write_picture(predictions / "a.png", MASK)
    truth = read_truth_folder(tmp_path / "labelsTs", find_predictions(predictions))
    assert [case.name for case in truth.test] == ["a"]
