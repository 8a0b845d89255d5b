"""autoseg evaluate and autoseg compare, as a shell calls them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.evaluate import load_summary
from autoseg.io.json_files import save_json
from autoseg.planners.folds import Fold, Splits
from autoseg.workspace import CHECKPOINT, SUMMARY, Workspace
from tests.cli.conftest import Autoseg
from tests.io.make import make_handbone, make_masks, square, write_json, write_picture


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """raw/Two with four cases of two classes, and predictions of three of them and of a stranger, each shifted further."""
    make_masks(tmp_path / "raw/Two", cases=4)
    for k, case in enumerate(("case0", "case1", "case2", "stranger")):
        for name in "ab":
            write_picture(tmp_path / "out" / case / f"{name}.png", np.roll(square(value=255), k if name == "b" else 0, axis=1))
    return tmp_path


def test_predictions_against_a_data_set(data: Path, autoseg: Autoseg) -> None:
    done = autoseg("evaluate", data / "out", "-w", data)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("Data set Two (the only one in")
    # Class b: Dice 1, 1/2 and 0; the means of 1, 1/2 and 0.
    (b,) = [line.split() for line in lines if line.startswith("b ")]
    assert b[1] == "0.500"
    (mean,) = [line.split() for line in lines if line.startswith("mean ")]
    assert mean[1] == "0.750"
    assert "Distances in pixels; surface Dice at 1" in done.out
    assert lines[lines.index("Worst cases by mean Dice:") + 1] == "  case2: 0.500 (lowest: b 0.000)"
    assert "Not predicted, not scored: 1 case (case3)" in done.out
    assert "Without a truth, not scored: 1 case (stranger)" in done.out
    summary = load_summary(data / "out/summary.json")
    assert (summary.mean["dice"], summary.missing, summary.extra) == (0.75, ("case3",), ("stranger",))
    with (data / "out/metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["class"]) for row in rows[:3]] == [("case0", "a"), ("case0", "b"), ("case1", "a")]
    assert [float(row["hd95"]) for row in rows if row["class"] == "b"] == [0, 1, 2]


def test_against_a_folder_of_labels_with_a_tolerance_and_elsewhere(data: Path, autoseg: Autoseg) -> None:
    done = autoseg("evaluate", data / "out", data / "raw/Two/labelsTr", "--tolerance", 2, "-o", data / "scores")
    assert done.code == 0, done.err
    assert load_summary(data / "scores/summary.json").classes["b"]["nsd"] == 1
    assert not (data / "out/summary.json").exists()


def test_evaluating_again_gives_the_same(data: Path, autoseg: Autoseg) -> None:
    autoseg("evaluate", data / "out", "-w", data)
    first = (data / "out/summary.json").read_bytes()
    assert autoseg("evaluate", data / "out", "-w", data, "--workers", 1).code == 0
    assert (data / "out/summary.json").read_bytes() == first


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two folds on HandBone's files, predicted as they are drawn."""
    make_handbone(tmp_path / "raw/Hands")
    folder = tmp_path / "results/Hands/default/2d-default"
    for k, person in enumerate(("001", "002")):
        for side in "RL":
            for name in ("Radius", "Ulna"):
                shifted = np.roll(square(value=255), k, axis=1)
                write_picture(folder / f"fold{k}/validation/image{person}_{side}/{name}.png", shifted)
    return folder


def test_a_run_is_pooled_and_shown_by_fold_and_subgroup(run: Path, tmp_path: Path, autoseg: Autoseg) -> None:
    (tmp_path / "meta.csv").write_text("ID,Sex\nID001,F\nID002,M\n", encoding="utf-8")
    done = autoseg("evaluate", run, "-w", tmp_path, "-d", "Hands", "--groups", tmp_path / "meta.csv", "--by", "sex")
    assert done.code == 0, done.err
    summary = load_summary(run / "summary.json")
    assert summary.mean["dice"] == 0.75
    assert {fold: part.overall["dice"].mean for fold, part in summary.folds.items()} == {"0": 1.0, "1": 0.5}
    assert {value: part.overall["dice"].mean for value, part in summary.subgroups["sex"].items()} == {"F": 1.0, "M": 0.5}
    assert summary.groups["image001_L"] == "ID001"
    assert "drawn over 2 groups" in done.out
    assert [line.split()[:3] for line in done.out.splitlines() if line.startswith(("F ", "M "))] == [
        ["F", "2", "1.000"],
        ["M", "2", "0.500"],
    ]


def test_a_fold_misses_its_own_cases_only(data: Path, autoseg: Autoseg) -> None:
    names = tuple(f"case{k}" for k in range(4))
    folds = (Fold(train=names[2:], val=names[:2]), Fold(train=names[:2], val=names[2:]))
    save_json(Workspace(root=data).splits_file("Two"), Splits(rule="cases", seed=0, groups=tuple((n,) for n in names), folds=folds))
    fold = data / "results/Two/default/2d-default/fold0"
    write_picture(fold / "validation/case0/a.png", square())
    write_picture(fold / "validation/case0/b.png", square())
    write_json(fold / "run.json", {})
    done = autoseg("evaluate", fold, "-w", data)
    assert done.code == 0, done.err
    assert "Not predicted, not scored: 1 case (case1)" in done.out
    # A summary.json in its folder would say that the fold is trained to its end.
    assert (fold / "validation/summary.json").is_file()
    assert not (fold / "summary.json").exists()
    assert "is the folder of a training" in autoseg("evaluate", fold, "-w", data, "-o", fold).err
    assert autoseg("evaluate", fold.parent, "-w", data).code == 0
    assert (fold.parent / "summary.json").is_file()


def test_groups_of_the_splits_are_drawn(data: Path, autoseg: Autoseg) -> None:
    names = tuple(f"case{k}" for k in range(4))
    blocks = (names[:2], names[2:])
    folds = (Fold(train=blocks[0], val=blocks[1]), Fold(train=blocks[1], val=blocks[0]))
    save_json(Workspace(root=data).splits_file("Two"), Splits(rule="blocks", seed=0, groups=blocks, folds=folds))
    assert autoseg("evaluate", data / "out", "-w", data).code == 0
    assert load_summary(data / "out/summary.json").groups == {"case0": "group 1", "case1": "group 1", "case2": "group 2"}


def test_two_runs_are_compared(data: Path, autoseg: Autoseg) -> None:
    for case in ("case0", "case1", "case3"):
        for name in "ab":
            write_picture(data / "better" / case / f"{name}.png", square(value=255))
    for folder in ("out", "better"):
        autoseg("evaluate", data / folder, "-w", data)
    done = autoseg("compare", data / "out", data / "better")
    assert done.code == 0, done.err
    (b,) = [line.split() for line in done.out.splitlines()[:6] if line.startswith("b ")]
    assert b[:5] == ["b", "2", "0.7500", "1.0000", "+0.2500"]
    assert "Only in a, not compared: 1 case (case2)" in done.out
    assert "Only in b, not compared: 1 case (case3)" in done.out
    found = json.loads(autoseg("compare", data / "out", data / "better", "--json").out)
    assert found["classes"]["dice"]["b"]["difference"] == 0.25
    assert found["only_b"] == ["case3"]


def test_a_mistake_is_one_message_and_code_2(data: Path, autoseg: Autoseg) -> None:
    def fails(*arguments: object) -> str:
        done = autoseg(*arguments)
        assert done.code == 2
        assert "Traceback" not in done.err
        return done.err

    out = data / "out"
    assert "no such folder of predictions" in fails("evaluate", data / "nowhere", "-w", data)
    assert "holds no predictions" in fails("evaluate", data / "raw", "-w", data)
    meant, results = data / "results/Squares/predictions/ensemble", data / "results/Squares"
    meant.mkdir(parents=True)
    assert f"no such folder of predictions; there is {meant}." in fails("evaluate", "ensemble", "-w", data)
    run = results / "default/2d-default"
    (run / "fold0").mkdir(parents=True)
    for file in (CHECKPOINT, SUMMARY):
        (run / "fold0" / file).touch()
    assert f"nor a run's folds; there are {run}, {meant}." in fails("evaluate", results, "-w", data)
    assert "belong together" in fails("evaluate", out, "-w", data, "--by", "sex")
    assert "--tolerance must be" in fails("evaluate", out, "-w", data, "--tolerance", "-1")
    assert "holds no summary.json" in fails("compare", out, out)
    write_picture(out / "case1/a.png", square((7, 8), 255))
    assert "case1/a.png: has the shape (7, 8)" in fails("evaluate", out, "-w", data)
    assert not (out / "summary.json").exists()
    write_picture(out / "case1/c.png", square(value=255))
    assert "masks of c, which the truth does not have" in fails("evaluate", out, "-w", data)
