"""Runs whose stored probabilities are known: labels against them, and the calibration made of them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DataError, UsageError
from autoseg.evaluate.calibration import FILE, make_calibration, read_calibration
from autoseg.evaluate.label_check import find_contradictions
from autoseg.evaluate.label_files import JSON, TABLE, LabelCheck, write_label_check
from autoseg.evaluate.out_of_fold import find_out_of_fold, weigh_cases
from autoseg.infer.certainty import Certainty
from autoseg.io.json_files import load_json
from autoseg.io.layouts import read_dataset
from tests.evaluate.runs import CLASSES, stored_run
from tests.io.make import make_masks, square, write_picture


def test_every_case_beside_its_own_fold(tmp_path: Path) -> None:
    run = stored_run(tmp_path)
    found = find_out_of_fold(run)
    assert {case: fold for case, (fold, _) in found.files.items()} == {"case0": "0", "case2": "0", "case1": "1", "case3": "1"}
    evidence, missing = weigh_cases(read_dataset(tmp_path / "raw/Two"), found)
    assert [(one.case, one.fold) for one in evidence] == [("case0", "0"), ("case1", "1"), ("case2", "0"), ("case3", "1")]
    assert all(np.diag(one.dice).tolist() == [1, 1] for one in evidence)
    assert missing == []
    assert find_contradictions(evidence, CLASSES) == []


def test_what_was_not_predicted_is_named(tmp_path: Path) -> None:
    run = stored_run(tmp_path)
    (run / "fold1/summary.json").unlink()  # still in training
    _, missing = weigh_cases(read_dataset(tmp_path / "raw/Two"), find_out_of_fold(run))
    assert missing == ["case1", "case3"]


def test_a_changed_label_is_found_and_its_file_named(tmp_path: Path) -> None:
    run, raw = stored_run(tmp_path, cases=12), tmp_path / "raw/Two"
    write_picture(raw / "labelsTr/case3/b.png", np.roll(square(value=255), 4, axis=1))
    dataset = read_dataset(raw)
    evidence, missing = weigh_cases(dataset, find_out_of_fold(run))
    check = LabelCheck(run="r", cases=12, not_looked_at=tuple(missing), findings=tuple(find_contradictions(evidence, CLASSES)))
    files = write_label_check(run, check, dataset.train)
    assert files == (run / JSON, run / TABLE)
    assert load_json(run / JSON, LabelCheck) == check
    with (run / TABLE).open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["rank"], row["case"], row["classes"], row["files"]) == ("1", "case3", "b", str(raw / "labelsTr/case3/b.png"))
    assert row["reason"] == "label of b lies 4.0 pixels off the prediction"


def test_mistakes_name_the_next_step(tmp_path: Path) -> None:
    run = stored_run(tmp_path)
    dataset = read_dataset(tmp_path / "raw/Two")
    found = find_out_of_fold(run)
    (run / "fold0/validation/probabilities/case0.prob").write_bytes(b"no")
    with pytest.raises(DataError, match=r"case0\.prob is no file of probabilities"):
        weigh_cases(dataset, found)
    strange = read_dataset(make_masks(tmp_path / "raw/Other", ("a", "c")))
    with pytest.raises(UsageError, match=r"was trained for the classes a, b, and .*Other has a, c\. Plan and train again"):
        weigh_cases(strange, found)
    for path in run.glob("fold*/validation/probabilities/*"):
        path.unlink()
    with pytest.raises(UsageError, match=r"Train again: autoseg train 2d fold0\.\.4 --restart"):
        find_out_of_fold(run)
    for path in run.glob("fold*/summary.json"):
        path.unlink()
    with pytest.raises(UsageError, match=r"Train first: autoseg train 2d fold0\.\.4"):
        find_out_of_fold(run)


def test_a_calibration_is_made_once_and_again_when_a_fold_changes(tmp_path: Path) -> None:
    run = stored_run(tmp_path, cases=12, value=0.8)
    assert read_calibration(run) is None
    made = make_calibration(run)
    assert made is not None
    assert (made.cases, made.folds, made.classes) == (12, 2, CLASSES)
    expected = made.expect(Certainty(area=np.full(2, 9.0), self_dice=np.full(2, 2 * 0.8 / 1.8), largest=np.ones(2), shared=np.ones(2)))
    # All look alike: the mean of 0.90 .. 0.79.
    assert expected.dice == pytest.approx([0.845, 0.845], abs=0.002)
    written = (run / FILE).stat().st_mtime_ns
    assert make_calibration(run) == made == read_calibration(run)
    assert (run / FILE).stat().st_mtime_ns == written
    (run / "fold1/metrics.csv").write_text("case,class,dice\n", encoding="utf-8")
    assert read_calibration(run) is None
    assert make_calibration(run) is None  # one fold is left
    assert (run / FILE).stat().st_mtime_ns != written
