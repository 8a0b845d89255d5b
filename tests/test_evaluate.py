"""summary.json: its exact form and its means."""

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.evaluate import evaluate_case, load_summary, save_summary, summarise
from autoseg.labels import CodeMap, Mask, encode_masks


def row(*pixels: int) -> Mask:
    mask = np.zeros((1, 8), np.bool_)
    mask[0, list(pixels)] = True
    return mask


def truth(*masks: Mask) -> CodeMap:
    return encode_masks(masks, (1, 8))


def test_the_form_of_summary_json(tmp_path: Path) -> None:
    scores = [
        evaluate_case("hand 1", [row(0, 1), row()], truth(row(0, 1), row())),  # 1 and undefined
        evaluate_case("hand 2", [row(0, 1), row(5)], truth(row(1, 2), row(5, 6, 7))),  # 1/2 and 1/2
    ]
    save_summary(tmp_path / "summary.json", summarise(scores, ["손/finger", "Ulna"]))
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == {
        "mean": {"dice": (0.75 + 0.5) / 2},
        "classes": {"손/finger": {"dice": 0.75}, "Ulna": {"dice": 0.5}},
        "cases": {
            "hand 1": {"손/finger": {"dice": 1.0}, "Ulna": {"dice": None}},
            "hand 2": {"손/finger": {"dice": 0.5}, "Ulna": {"dice": 0.5}},
        },
    }
    assert load_summary(tmp_path / "summary.json") == summarise(scores, ["손/finger", "Ulna"])


def test_a_class_defined_nowhere_counts_nowhere() -> None:
    summary = summarise([evaluate_case("a", [row(0), row()], truth(row(0), row()))], ["x", "y"])
    assert summary.mean == {"dice": 1.0}
    assert summary.classes == {"x": {"dice": 1.0}, "y": {"dice": None}}


def test_nothing_to_average_is_none() -> None:
    assert summarise([], ["x"]).mean == {"dice": None}


def test_other_metrics_by_name() -> None:
    summary = summarise([evaluate_case("a", [row(0, 1)], truth(row(1, 2)))], ["x"], metrics=("dice", "iou", "recall"))
    assert summary.classes["x"] == {"dice": 0.5, "iou": pytest.approx(1 / 3), "recall": 0.5}


def test_code_maps_are_scored_too() -> None:
    scores = evaluate_case("a", truth(row(0, 1), row(5)), truth(row(1, 2), row(5, 6, 7)))
    assert summarise([scores], ["x", "y"]).cases["a"] == {"x": {"dice": 0.5}, "y": {"dice": 0.5}}
