"""Where the seconds of a training went, and the bars; without nnU-Net."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.evaluate import evaluate_case, save_summary, summarise
from autoseg.io.json_files import save_json
from autoseg.labels import encode_masks
from autoseg.workspace import Workspace
from benchmarks.accuracy import Task
from benchmarks.fullres import TASK, of_autoseg, of_nnunet, refuse_other_nets, runs, tables
from benchmarks.side_by_side import NNUNETS_NET, Bench
from tests import small
from tests.benchmarks.nnunet_plans import nnunet_plans

NNUNET = {"train_step": 60.0, "validation_step": 10.0, "run_training": 75.0, "perform_actual_validation": 20.0}


def log_line(second: float, text: str) -> str:
    return f"2026-11-21 09:00:{second:06.3f}".replace(".", ",") + f" INFO autoseg.trainers: {text}"


ROWS = [{"iteration": 4, "step_s": 2.0, "data_wait_s": 0.5}, {"iteration": 8, "step_s": 1.0, "data_wait_s": 0.25}]
LOG = [log_line(10, "epoch 0, iteration 4"), log_line(16, "epoch 1, iteration 8"), log_line(19, "2 cases validated; ...")]


def test_parts_of_nnunet_are_what_its_methods_took() -> None:
    found = of_nnunet(100.0, NNUNET)
    assert (found.steps, found.checks, found.waiting, found.last) == (60, 10, 5, 20)
    # 100 - 75 - 20 are start and end.
    assert found.row("nnunet").startswith("| nnunet | 100 | 60 | 5 | 10 | 20 | 5 |")


def test_parts_of_autoseg_are_read_from_metrics_and_log() -> None:
    found = of_autoseg(30.0, ROWS, LOG)
    assert (found.steps, found.waiting) == (4 * 2 + 4 * 1, 4 * 0.5 + 4 * 0.25)
    # 6 s from one epoch's end to the next, 4 of them steps; two epochs.
    assert found.checks == 4
    assert found.last == 3
    # Waiting is part of the steps: 30 - 12 - 4 - 3 are start and end.
    assert found.row("autoseg").startswith("| autoseg | 30 | 12 | 3 | 4 | 3 | 11 |")


@pytest.mark.parametrize(("wall", "time"), [(33.0, "held"), (34.0, "missed")])
@pytest.mark.parametrize(("rows", "dice"), [(5, "held"), (2, "missed")])
def test_both_bars(tmp_path: Path, wall: float, time: str, rows: int, dice: str) -> None:
    bench = Bench(place=Workspace(root=tmp_path))
    theirs, ours = runs(1)
    truth = np.ones((10, 10), bool)
    for run, height, seconds in ((theirs, 5, 100.0), (ours, rows, wall)):
        predicted = np.arange(10)[:, None] < height
        scores = evaluate_case("a", [predicted & truth], encode_masks([truth], truth.shape))
        run.scores(bench).parent.mkdir(parents=True)
        save_summary(run.scores(bench), summarise([scores], ("Anterior",)))
        run.scores(bench).with_name("wall.json").write_text(json.dumps(seconds), encoding="utf-8")
    theirs.nnunet_results(bench).mkdir(parents=True)
    (theirs.nnunet_results(bench) / "epochs.json").write_text(json.dumps({"seconds": NNUNET}), encoding="utf-8")
    folder = ours.fold(bench)
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    (folder / "log.txt").write_text("\n".join(LOG), encoding="utf-8")
    assert f"Dice {dice}" in tables(bench, 1)
    assert f"wall time {time}" in tables(bench, 1)


SAME = replace(TASK, changed=NNUNETS_NET)
THEIRS = {"n_conv_per_stage": [2] * 3, "n_conv_per_stage_decoder": [2] * 2}


@pytest.mark.parametrize(
    ("up", "changes", "task", "said"),
    [
        (1, {}, TASK, ""),  # as each plans
        (2, {}, SAME, ""),
        (1, {}, SAME, "the two do not train the same net: decoder: "),
        (2, {}, TASK, "has another decoder than a processor's"),
        (1, {"batch_size": 3}, TASK, "the two do not train the same net: batch: "),
        (2, {"batch_size": 3}, SAME, "the two do not train the same net: batch: "),
    ],
)
def test_other_nets_are_refused_but_for_the_planned_decoder(
    tmp_path: Path, up: int, changes: dict[str, Any], task: Task, said: str
) -> None:
    bench = Bench(place=Workspace(root=tmp_path))
    here = small.plan(stages={"3d_fullres": small.stage(network=small.network(convs=2, decoder_convs=up))})
    save_json(bench.place.plan_file(task.name, "seed-0"), here)
    theirs = {"configurations": {"3d_fullres": nnunet_plans(**THEIRS, **changes)["configurations"]["2d"]}}
    file = tmp_path / "nnunet" / "preprocessed" / task.name / "nnUNetPlans.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(theirs), encoding="utf-8")
    if not said:
        refuse_other_nets(bench, task)
        return
    with pytest.raises(SystemExit, match=said):
        refuse_other_nets(bench, task)


def test_volumes_are_trained_in_three_axes() -> None:
    assert (TASK.configuration, len(TASK.patch), TASK.batch) == ("3d_fullres", 3, 2)
