"""What is read of two tools' epochs, and the exclusive version of overlapping masks."""

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.workspace import Workspace
from benchmarks.epochs import (
    NAME,
    SOURCE,
    Epochs,
    autoseg_folder,
    nnunet_folder,
    prepare,
    read_autoseg,
    read_nnunet,
    smallest_on_top,
    table,
    write_exclusive,
)
from benchmarks.side_by_side import Bench
from tests.benchmarks.nnunet_plans import Recorded, nnunet_plans

LINE = "2026-11-21 {}:{},{} INFO autoseg.trainers.fit: epoch {}, iteration {}: loss 1.5\n"


def write_autoseg_run(folder: Path) -> None:
    """Three epochs of 20 iterations; from the first one's end to the last one's 30 s and 31.5 s, of which 28 s and 29 s are steps."""
    folder.mkdir(parents=True)
    ends = (("05", "53:00", "250"), ("05", "53:30", "250"), ("05", "54:01", "750"))
    lines = [LINE.format(*end, epoch, 20 * (epoch + 1)) for epoch, end in enumerate(ends)]
    (folder / "log.txt").write_text("2026-11-21 05:52:30,000 INFO autoseg.x: something else\n" + "".join(lines), encoding="utf-8")
    rows = [{"iteration": 20, "step_s": 9.0}, {"iteration": 40, "step_s": 1.4}, {"iteration": 60, "step_s": 1.45}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_nnunet_run(folder: Path) -> None:
    """The first epoch took 200 s, the second 122 s, of which 2 s came after its last validation step."""
    folder.mkdir(parents=True)
    found = {"epoch_s": [200.0, 122.0], "fixed_s": [9.0, 2.0], "iterations": 20}
    (folder / "epochs.json").write_text(json.dumps(found), encoding="utf-8")


@pytest.mark.parametrize(("batch", "fails"), [(2, False), (3, True)])
def test_both_train_nnunets_net(tmp_path: Path, batch: int, fails: bool) -> None:
    bench = Recorded(place=Workspace(root=tmp_path))
    for name in (SOURCE, NAME):
        (bench.place.raw / name).mkdir(parents=True)
    theirs = tmp_path / "nnunet" / "preprocessed" / NAME / "nnUNetPlans.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(json.dumps(nnunet_plans(batch_size=batch)), encoding="utf-8")
    given = Namespace(rounds=1, epochs=2, iterations=10, size=16, people=4, cores=(0,))
    with pytest.raises(SystemExit, match="do not train the same net: batch") if fails else nullcontext():
        prepare(bench, given)
    text = " ".join(bench.given["plan"])
    assert "--set 2d.network.decoder_convs=2" in text
    assert "--set 2d.iterations=20" in text


def test_log_of_autoseg_gives_all_epochs_but_the_first(tmp_path: Path) -> None:
    write_autoseg_run(tmp_path / "fold0")
    found = read_autoseg(tmp_path / "fold0")
    assert found.epoch_s == pytest.approx((30.0, 31.5))
    assert found.fixed_s == pytest.approx((2.0, 2.5))
    assert found.iterations == 20


def test_first_epoch_of_nnunet_does_not_count(tmp_path: Path) -> None:
    write_nnunet_run(tmp_path / "results")
    assert read_nnunet(tmp_path / "results") == Epochs(epoch_s=(122.0,), fixed_s=(2.0,), iterations=20)


def test_longer_epochs_repeat_the_steps_and_not_the_rest() -> None:
    assert Epochs(epoch_s=(30.0, 42.0), fixed_s=(10.0, 2.0), iterations=25).full_s() == [210.0, 402.0]


def test_table_says_how_many_times_the_speed(tmp_path: Path) -> None:
    bench = Bench(place=Workspace(root=tmp_path))
    write_autoseg_run(autoseg_folder(bench, 0))
    write_nnunet_run(nnunet_folder(bench, 0))
    # A run without a summary is not finished.
    assert "times" not in table(bench, 2)
    (autoseg_folder(bench, 0) / "summary.json").touch()
    lines = table(bench, 2).splitlines()
    assert lines[2].startswith("| autoseg, 20 iterations | 2 | 30.8 |")
    assert lines[4].startswith("| nnunet, 20 iterations | 1 | 122.0 |")
    assert lines[-1].startswith(f"{122 / 30.75:.2f} times")


def test_the_smaller_mask_lies_on_top_whatever_the_order() -> None:
    large, small, apart = (np.zeros((4, 6), bool) for _ in range(3))
    large[:, :4], small[1:3, 2:5], apart[0, 5] = True, True, True
    expected = np.array([[1, 1, 1, 1, 0, 3], [1, 1, 2, 2, 2, 0], [1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 0, 0]])
    assert (smallest_on_top([large, small, apart]) == expected).all()
    swapped = np.array([0, 2, 1, 3])[expected]
    assert (smallest_on_top([small, large, apart]) == swapped).all()


def test_of_equal_masks_the_last_lies_on_top() -> None:
    mask = np.ones((2, 2), bool)
    assert (smallest_on_top([mask, mask]) == 2).all()


def test_exclusive_version_is_a_data_set_in_nnunets_layout(tmp_path: Path) -> None:
    source, target = tmp_path / "Overlapping", tmp_path / "Dataset502_Exclusive"
    masks = {"large": np.zeros((8, 8), np.uint8), "small": np.zeros((8, 8), np.uint8)}
    masks["large"][:5], masks["small"][4:7, 2:4] = 255, 255
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    (source / "imagesTr").mkdir(parents=True)
    for case in ("a", "b"):
        Image.fromarray(image).save(source / "imagesTr" / f"{case}.png")
        (source / "labelsTr" / case).mkdir(parents=True)
        for name, mask in masks.items():
            Image.fromarray(mask).save(source / "labelsTr" / case / f"{name}.png")
    write_exclusive(source, target)
    assert [file.name for file in sorted((target / "imagesTr").iterdir())] == ["a_0000.png", "b_0000.png"]
    dataset = read_dataset(target)
    assert dataset.classes == ("large", "small")
    loaded = read_case(dataset, dataset.train[1])
    assert loaded.labels is not None
    assert (loaded.image[0] == image).all()
    assert (loaded.labels.mask(1) == (masks["small"] > 0)).all()
    assert (loaded.labels.mask(0) == ((masks["large"] > 0) & (masks["small"] == 0))).all()
