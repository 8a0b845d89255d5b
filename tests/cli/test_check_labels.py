"""autoseg check --labels, as a shell calls it."""

from pathlib import Path

import numpy as np

from autoseg.evaluate.label_files import LabelCheck
from autoseg.io.json_files import load_json
from autoseg.io.probabilities import write_probabilities
from tests.cli.conftest import Autoseg
from tests.evaluate.runs import stored_run
from tests.io.make import make_masks, square, write_picture


def test_a_wrong_label_is_printed_and_written(tmp_path: Path, autoseg: Autoseg) -> None:
    run = stored_run(tmp_path, cases=12)
    done = autoseg("check", "-d", "Two", "-w", tmp_path, "--labels", "--workers", 1)
    assert done.code == 0, done.err
    assert "No label of 12 cases is contradicted." in done.out
    write_picture(tmp_path / "raw/Two/labelsTr/case3/b.png", np.zeros((6, 8), np.uint8))
    done = autoseg("check", "-d", "Two", "-w", tmp_path, "--labels", "--workers", 1)
    assert done.code == 0, done.err
    assert "Labels against the out-of-fold predictions of default/2d-default" in done.out
    (line,) = [line for line in done.out.splitlines() if line.startswith("   1  ")]
    assert line.split()[2] == "case3"
    assert line.endswith("prediction has b at x 2, y 2 (4 pixels), label is empty")
    assert (run / "label_check.csv").is_file()
    assert (run / "label_check.json").is_file()


def test_before_training_it_says_what_to_do(tmp_path: Path, autoseg: Autoseg) -> None:
    make_masks(tmp_path / "raw/Two")
    done = autoseg("check", "-d", "Two", "-w", tmp_path, "--labels")
    assert done.code == 2
    assert "Train first: autoseg train 2d fold0..4" in done.err


def test_options_of_a_run_belong_to_labels(tmp_path: Path, autoseg: Autoseg) -> None:
    make_masks(tmp_path / "raw/Two")
    done = autoseg("check", "-d", "Two", "-w", tmp_path, "--config", "2d")
    assert done.code == 2
    assert "--labels, which is not given" in done.err


def test_weak_nets_are_warned_of(tmp_path: Path, autoseg: Autoseg) -> None:
    run = stored_run(tmp_path, cases=12)
    done = autoseg("check", "-d", "Two", "-w", tmp_path, "--labels", "--workers", 1)
    assert "weak nets" not in done.out
    for case in range(8):  # b is not found in 8 of 12 cases
        said = np.stack([0.9 * square(), np.zeros((6, 8))])
        write_probabilities(run / f"fold{case % 2}/validation/probabilities/case{case}.prob", said)
    done = autoseg("check", "-d", "Two", "-w", tmp_path, "--labels", "--workers", 1)
    assert done.code == 0, done.err
    assert "Warning: weak nets: the median out-of-fold Dice is below 0.67 in 1 of 2 classes (b 0.00)." in done.out
    assert load_json(run / "label_check.json", LabelCheck).weak_classes == {"b": 0.0}
