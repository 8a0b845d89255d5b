"""Which trainings are wanted, in which order, and what the table says of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.evaluate import evaluate_case, save_summary, summarise
from autoseg.io.layouts import read_dataset
from autoseg.labels import encode_masks
from autoseg.workspace import Workspace
from benchmarks.accuracy import TASKS, Run, Task, link_raw, middle, prepare, runs, table, verdict
from benchmarks.side_by_side import Bench
from tests.benchmarks.nnunet_plans import Recorded


def test_all_runs_are_wanted_and_the_slower_tool_comes_first() -> None:
    wanted = list(runs(3))
    assert len(set(wanted)) == len(wanted) == 12
    assert [run.side for run in wanted] == ["nnunet"] * 6 + ["autoseg"] * 6


@pytest.mark.parametrize("task", TASKS)
def test_autoseg_is_given_nnunets_net(tmp_path: Path, task: Task) -> None:
    bench = Recorded(place=Workspace(root=tmp_path / "w"))
    (tmp_path / task.source).mkdir()
    (tmp_path / task.source / "dataset.json").write_text("{}", encoding="utf-8")
    prepare(bench, task, tmp_path, 2)
    text = " ".join(bench.given["plan"])
    assert f"--set {task.configuration}.network.decoder_convs=2" in text
    assert f"--set {task.configuration}.batch={task.batch}" in text
    assert [file.stem for file in bench.place.plan_files(task.name)] == ["seed-0", "seed-1"]


def test_each_run_has_folders_of_its_own(tmp_path: Path) -> None:
    bench = Bench(place=Workspace(root=tmp_path))
    for folder_of in (Run.scores, Run.predictions):
        assert len({folder_of(run, bench) for run in runs(3)}) == 12


@pytest.mark.parametrize(("ours", "says"), [(0.895, "held"), (0.885, "held"), (0.875, "missed")])
def test_bar_is_the_mean_minus_the_spread_of_seeds(ours: float, says: str) -> None:
    # Mean 0.89, standard deviation 0.01.
    assert says in verdict("Nuclei", [ours] * 3, [0.88, 0.89, 0.90])


def test_unfinished_runs_have_no_verdict() -> None:
    assert "not finished" in verdict("Nuclei", [0.9, None, 0.9], [0.9, 0.9, 0.9])


def test_mean_and_spread() -> None:
    mean, spread = middle([0.8, 0.9])
    assert mean == pytest.approx(0.85)
    assert spread == pytest.approx(math.sqrt(0.005))
    assert all(math.isnan(value) for value in middle([]))
    assert math.isnan(middle([0.8])[1])


def test_table_shows_finished_runs_and_dashes(tmp_path: Path) -> None:
    bench = Bench(place=Workspace(root=tmp_path))
    mask, half = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    half[:2] = True
    # Dice of 16 and 8 pixels that share 8: 16 / 24.
    scores = evaluate_case("a", [half], encode_masks([mask], mask.shape))
    file = Run(task=TASKS[0], side="autoseg", seed=1).scores(bench)
    file.parent.mkdir(parents=True)
    save_summary(file, summarise([scores], ("nucleus",)))
    lines = table(bench, 3).splitlines()
    assert "| Nuclei | autoseg | -, 0.6667, - | 0.6667 | nan |" in lines
    assert "| Nuclei | nnunet | -, -, - | nan | nan |" in lines


def test_colour_images_get_the_names_that_nnunet_wants(tmp_path: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / "Nuclei" / folder).mkdir(parents=True)
    rgba = np.full((8, 8, 4), 200, np.uint8)
    labels = np.eye(8, dtype=np.uint8)
    for k in range(2):
        Image.fromarray(rgba).save(tmp_path / "Nuclei" / "imagesTr" / f"n{k}.png")
        Image.fromarray(labels).save(tmp_path / "Nuclei" / "labelsTr" / f"n{k}.png")
    target = tmp_path / "raw" / "Dataset501_Nuclei"
    link_raw(tmp_path / "Nuclei", target)
    assert [file.name for file in sorted((target / "imagesTr").iterdir())] == ["n0_0000.png", "n1_0000.png"]
    dataset = read_dataset(target)
    assert [case.name for case in dataset.train] == ["n0", "n1"]
    assert dataset.classes == ("nucleus",)
    assert json.loads((target / "dataset.json").read_text(encoding="utf-8"))["channel_names"] == {"0": "R", "1": "G", "2": "B", "3": "A"}


def test_data_sets_in_nnunets_layout_are_linked_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "dataset.json").write_text("{}", encoding="utf-8")
    link_raw(tmp_path / "source", tmp_path / "raw" / "Dataset004_X")
    assert (tmp_path / "raw" / "Dataset004_X").resolve() == tmp_path / "source"
