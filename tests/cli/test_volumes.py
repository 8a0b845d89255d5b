"""Oblique, anisotropic volumes through all configurations, as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.cli.conftest import Autoseg
from tests.cli.make import write_oblique


def volumes(root: Path, cases: int) -> None:
    """A bright ball and a dark one in noise, in imagesTr and labelsTr; one more image in imagesTs."""
    rng = np.random.default_rng(0)
    grid = np.indices((12, 40, 40)).astype(np.float64) * np.array([5.0, 0.7, 0.7])[:, None, None, None]
    for i in range(cases + 1):
        centres = rng.uniform([18, 9, 9], [42, 19, 19], (2, 3))
        balls = [((grid - centre[:, None, None, None]) ** 2).sum(0) < 5.5**2 for centre in centres]
        labels = np.where(balls[0], 1, np.where(balls[1], 2, 0)).astype(np.uint8)
        image = (100 + 60 * (labels == 1) - 60 * (labels == 2) + rng.normal(0, 10, labels.shape)).astype(np.int16)
        if i == cases:
            write_oblique(root / "imagesTs" / "new.nii.gz", image, flipped=True)
        else:
            write_oblique(root / "imagesTr" / f"case{i}.nii.gz", image, flipped=i % 2 == 1)
            write_oblique(root / "labelsTr" / f"case{i}.nii.gz", labels, flipped=i % 2 == 1)


def test_all_configurations(autoseg: Autoseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    volumes(tmp_path / "raw" / "balls", 3)
    configs = "2d,3d_fullres,3d_cascade_fullres"
    done = autoseg("plan_and_preprocess", "-d", "balls", "--gpu", "cpu", "--workers", 1, "--configs", configs)
    assert done.code == 0, done.err
    assert "then autoseg train 3d_cascade_fullres fold0..2" in done.out
    plan = json.loads((tmp_path / "preprocessed/balls/plans/default.json").read_text(encoding="utf-8"))
    full, low = plan["stages"]["3d_fullres"], plan["stages"]["3d_lowres"]
    assert full["network"]["kernels"][0] == [1, 3, 3]  # 5 mm are not convolved with 0.7
    assert full["network"]["strides"][1] == [1, 2, 2]
    assert np.prod(low["image_shape"]) <= np.prod(full["image_shape"]) / 2
    assert plan["stages"]["2d"]["slice_axis"] == 0
    short = ["--epochs", 1, "--iterations-per-epoch", 2]
    for config, folds in (("2d", "0"), ("3d_fullres", "0"), ("3d_lowres", "fold0..2"), ("3d_cascade_fullres", "0")):
        done = autoseg("train", config, folds, *short)
        assert done.code == 0, done.err
        done = autoseg("predict", "--config", config, "--folds", "0", "-o", tmp_path / config, "--device", "cpu")
        assert done.code == 0, done.err
        made, given = (sitk.ReadImage(str(path)) for path in (tmp_path / config / "new.nii.gz", tmp_path / "raw/balls/imagesTs/new.nii.gz"))
        assert (made.GetSize(), made.GetSpacing(), made.GetOrigin()) == (given.GetSize(), given.GetSpacing(), given.GetOrigin())
        assert made.GetDirection() == given.GetDirection()
        assert set(np.unique(sitk.GetArrayFromImage(made))) <= {0, 1, 2}
