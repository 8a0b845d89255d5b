"""select among a 2D and a 3D configuration of oblique volumes, and predict with both: neither alone finds all, their mean does."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from autoseg.io.json_files import save_json
from autoseg.io.probabilities import read_probabilities, write_probabilities
from autoseg.planners.folds import Fold, Splits
from tests.cli.conftest import Autoseg
from tests.cli.make import write_oblique
from tests.infer.plans import EXCLUSIVE, plant_run, tiny_plan

NAMES = tuple(f"case{k}" for k in range(8))
SHAPE = (8, 20, 24)
SURE, UNSURE = 0.9, 0.2


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs with two folds each: 2d is sure in even slices, 3d_fullres in odd ones."""
    rng, results = np.random.default_rng(0), tmp_path / "results/Tiny"
    runs = {
        "2d": plant_run(results, tiny_plan(EXCLUSIVE, num_axes=3, slice_axis=0), "0", "1"),
        "3d_fullres": plant_run(results, tiny_plan(EXCLUSIVE, num_axes=3, patch=8), "0", "1"),
    }
    halves = NAMES[:4], NAMES[4:]
    folds = tuple(Fold(train=halves[1 - k], val=halves[k]) for k in (0, 1))
    splits = Splits(rule="cases", seed=0, groups=tuple((name,) for name in NAMES), folds=folds)
    save_json(tmp_path / "preprocessed/Tiny/splits.json", splits)
    raw = tmp_path / "raw/Tiny"
    for number, name in enumerate(NAMES):
        labels = np.zeros(SHAPE, np.uint16)
        y, x = rng.integers(1, 8, 2)
        labels[:, y : y + 6, x : x + 7], labels[2:6, y + 2 : y + 9, x + 9 : x + 14] = 7, 300
        write_oblique(raw / f"imagesTr/{name}.nii.gz", rng.integers(0, 255, SHAPE).astype(np.int16), flipped=False)
        write_oblique(raw / f"labelsTr/{name}.nii.gz", labels, flipped=False)
        truth = np.stack([on_canonical_grid(raw / f"labelsTr/{name}.nii.gz") == value for value in EXCLUSIVE.values])
        for parity, run in enumerate(runs.values()):
            said = truth * UNSURE
            said[:, parity::2] = truth[:, parity::2] * SURE
            write_probabilities(run / f"fold{int(number >= 4)}/validation/probabilities/{name}.prob", said)
    (raw / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "bright": 7, "middle": 300}}), encoding="utf-8")
    write_oblique(tmp_path / "new/x.nii.gz", rng.integers(0, 255, SHAPE).astype(np.int16), flipped=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def on_canonical_grid(path: Path) -> NDArray[np.uint16]:
    """A file's array as `read_image` turns it: the axes of tests/cli/test_volumes.py run along LPS already."""
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def test_both_together_are_chosen_and_predict(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg("select", "-d", "Tiny", "--workers", "1")
    assert done.code == 0, done.err
    chosen = json.loads((workspace / "results/Tiny/selection.json").read_text(encoding="utf-8"))
    assert [member["run"] for member in chosen["members"]] == ["default/2d-default", "default/3d_fullres-default"]
    # Each alone finds half of the slices: Dice 2/3.
    assert [member["dice"] for member in chosen["members"]] == pytest.approx([2 / 3, 2 / 3], abs=0.01)
    assert chosen["combination"] == {"kind": "soft", "weights": [[0.5, 0.5]] * 2}
    common = ("-i", "new", "--format", "map,probabilities", "--device", "cpu")
    both = autoseg("predict", "--ensemble", *common, "-o", "both")
    assert both.code == 0, both.err
    assert "Predicting 1 image with soft vote of 2 members (selection.json), on cpu" in both.out
    alone = []
    for config in ("2d", "3d_fullres"):
        made = autoseg("predict", "--folds", "0,1", "--config", config, *common, "-o", config)
        assert made.code == 0, made.err
        alone.append(read_probabilities(only(workspace / config, "*.prob")).astype(float))
    mean = read_probabilities(only(workspace / "both", "*.prob"))
    assert np.abs(mean - (alone[0] + alone[1]) / 2).max() <= 1
    assert np.abs(alone[0] - alone[1]).max() > 10
    map_file, image = (sitk.ReadImage(str(path)) for path in (only(workspace / "both", "*.nii.gz"), workspace / "new/x.nii.gz"))
    assert (map_file.GetSize(), map_file.GetSpacing(), map_file.GetOrigin()) == (image.GetSize(), image.GetSpacing(), image.GetOrigin())
    assert map_file.GetDirection() == image.GetDirection()


def only(folder: Path, pattern: str) -> Path:
    """The one file of a folder that is called so."""
    (found,) = folder.rglob(pattern)
    return found
