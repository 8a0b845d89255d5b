"""summary.json: its exact form, its means, its statistics; and the files of earlier versions."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.case import Case
from autoseg.evaluate import (
    TABLE,
    CaseScores,
    evaluate_case,
    load_summary,
    measure_case,
    save_summary,
    summarise,
    summarise_fully,
    write_rows,
)
from autoseg.geometry import Geometry
from autoseg.labels import CodeMap, Mask, encode_masks
from autoseg.metrics.measure import Rules

FIRST_KEYS = {"mean", "classes", "cases"}


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
    content = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert {key: content[key] for key in FIRST_KEYS} == {
        "mean": {"dice": (0.75 + 0.5) / 2},
        "classes": {"손/finger": {"dice": 0.75}, "Ulna": {"dice": 0.5}},
        "cases": {
            "hand 1": {"손/finger": {"dice": 1.0}, "Ulna": {"dice": None}},
            "hand 2": {"손/finger": {"dice": 0.5}, "Ulna": {"dice": 0.5}},
        },
    }
    assert not any(content[key] for key in content.keys() - FIRST_KEYS)
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


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    content = {"mean": {"dice": 0.5}, "classes": {"x": {"dice": 0.5}}, "cases": {"a": {"x": {"dice": 0.5}}}}
    (tmp_path / "summary.json").write_text(json.dumps(content), encoding="utf-8")
    summary = load_summary(tmp_path / "summary.json")
    assert (summary.mean, summary.pooled, summary.worst) == ({"dice": 0.5}, None, ())


def full(case: str, *masks: Mask, there: tuple[Mask, ...], group: str | None = None, fold: str = "") -> CaseScores:
    whole = Case(name=case, images=(), group=group)
    return measure_case(whole, iter(masks), truth(*there), Geometry.pixels((1, 8)), Rules(), fold=fold)


def test_parts_and_worst_cases() -> None:
    scores = [
        full("a", row(0, 1), row(5), there=(row(0, 1), row(5)), group="ann", fold="0"),
        full("b", row(0, 1), row(5), there=(row(1, 2), row()), group="ann", fold="1"),
        full("c", row(0), row(), there=(row(0, 1), row(5)), group="bob", fold="1"),
    ]
    summary = summarise_fully(scores, ["x", "y"], Rules(), subgroups={"sex": {"a": "F", "b": "F", "d": "M"}}, missing=["e"])
    pooled = summary.pooled
    assert pooled is not None
    assert (pooled.num_cases, pooled.num_groups, summary.drawn) == (3, 2, "groups")
    assert pooled.classes["x"]["dice"].mean == summary.classes["x"]["dice"] == pytest.approx((1 + 0.5 + 2 / 3) / 3)
    assert (pooled.missed, pooled.invented) == ({"x": 0, "y": 1}, {"x": 0, "y": 1})
    assert pooled.classes["y"]["hd95"].n == 1
    assert {fold: part.num_cases for fold, part in summary.folds.items()} == {"0": 1, "1": 2}
    assert {value: part.num_cases for value, part in summary.subgroups["sex"].items()} == {"F": 2}
    assert [(worst.case, worst.dice, worst.lowest_class) for worst in summary.worst] == [
        ("b", 0.25, "y"), ("c", pytest.approx(1 / 3), "y"), ("a", 1.0, "x"),
    ]  # fmt: skip
    assert (summary.unit, summary.missing, summary.groups["c"]) == ("pixel", ("e",), "bob")


def test_a_fold_without_validation_cases_has_a_summary_too(tmp_path: Path) -> None:
    save_summary(tmp_path / "summary.json", summarise_fully([], ["x"], Rules()))
    summary = load_summary(tmp_path / "summary.json")
    assert summary.pooled is not None
    assert (summary.mean["dice"], summary.pooled.num_cases, summary.pooled.overall) == (None, 0, {})


def test_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / TABLE, [full("a,b", row(0, 1), row(), there=(row(0, 1), row()), fold="3")], ["left/손", "y"])
    with (tmp_path / TABLE).open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["case"], first["class"], first["fold"], first["dice"], first["hd95"]) == ("a,b", "left/손", "3", "1", "0")
    assert second["dice"] == second["hd95"] == ""
