"""Oblique DICOM series in, NIfTI out, and back: to train on, to predict, and its prediction as the truth of the same series."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from autoseg.evaluate import load_summary
from autoseg.labels import LabelSpace
from tests.cli.conftest import Autoseg
from tests.infer.plans import plant_run, tiny_plan
from tests.io.dicom import CT, write_dicom

SHAPE, STEP, PIXEL = (8, 24, 20), 3.0, "0.8\\0.7"
SLOPE, INTERCEPT = 2, -1024
ONE = LabelSpace(classes=("1",), exclusive=True, values=(1,))
#: Rows and columns of slices that lie in none of the body's planes.
DIRECTIONS = "0.8\\0.6\\0\\-0.36\\0.48\\-0.8"


def write_oblique(folder: Path, hounsfield: NDArray[np.int16], patient: str) -> None:
    """Slices (z, y, x) along their normal, stored as whole numbers that the header rescales to Hounsfield units."""
    x, y = np.reshape([float(value) for value in DIRECTIONS.split("\\")], (2, 3))
    for z, plane in enumerate((hounsfield - INTERCEPT) // SLOPE):
        place = "\\".join(f"{value:.10g}" for value in np.array([-12.5, 30.25, 7]) + STEP * z * np.cross(x, y))
        tags: dict[int, object] = {
            0x0008_0016: CT, 0x0008_0060: "CT", 0x0008_0018: f"1.2.{z + 1}", 0x0010_0020: patient, 0x0020_0013: z + 1,
            0x0020_0032: place, 0x0020_0037: DIRECTIONS, 0x0028_0030: PIXEL, 0x0028_1052: INTERCEPT, 0x0028_1053: SLOPE,
        }  # fmt: skip
        write_dicom(folder / f"slice{len(hounsfield) - z}.dcm", plane.astype(np.uint16), tags)


def as_nifti(folder: Path, path: Path) -> sitk.Image:
    """The series as ITK converts it."""
    image = sitk.Cast(sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))), sitk.sitkInt16)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return sitk.ReadImage(str(path))


def draw(seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A bright block in noise, even Hounsfield units."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    z, y, x = rng.integers(1, (3, 12, 10))
    labels[z : z + 5, y : y + 9, x : x + 8] = 1
    return (2 * (rng.normal(20, 10, SHAPE) + 60 * labels).astype(np.int16)), labels


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three series with labels, and a new one."""
    raw = tmp_path / "raw" / "Scans"
    for case in range(4):
        image, labels = draw(case)
        write_oblique(raw / ("imagesTs/new" if case == 3 else f"imagesTr/case{case}"), image, f"patient {case}")
        if case < 3:
            reference = as_nifti(raw / f"imagesTr/case{case}", tmp_path / "unused.nii.gz")
            made = sitk.GetImageFromArray(labels)
            made.CopyInformation(reference)
            (raw / "labelsTr").mkdir(exist_ok=True)
            sitk.WriteImage(made, str(raw / f"labelsTr/case{case}.nii.gz"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_series_are_planned_as_ct(autoseg: Autoseg, workspace: Path) -> None:
    """Nothing but the headers says CT; the foreground of all cases decides what values are clipped to."""
    done = autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "--configs", "3d_fullres")
    assert done.code == 0, done.err
    plan = json.loads((workspace / "preprocessed/Scans/plans/default.json").read_text(encoding="utf-8"))
    foreground = np.concatenate([image[labels == 1] for image, labels in map(draw, range(3))])
    (rule,) = plan["normalization"]
    assert (plan["channels"], rule["kind"]) == (["CT"], "ct")
    assert [rule["lower"], rule["upper"]] == pytest.approx(np.percentile(foreground, [0.5, 99.5]).tolist(), abs=2)
    assert [rule["mean"], rule["std"]] == pytest.approx([foreground.mean(), foreground.std()], rel=1e-3)


def test_series_in_nifti_out_and_back(autoseg: Autoseg, workspace: Path) -> None:
    plant_run(workspace / "results/Scans", tiny_plan(ONE, num_axes=3, spacing=(2.0, 1.0, 1.0), patch=8), "0")
    series, as_file = workspace / "raw/Scans/imagesTs/new", workspace / "nifti/new.nii.gz"
    reference = as_nifti(series, as_file)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(reference), draw(3)[0])
    written = []
    for given, out in ((series, "from_dicom"), (as_file, "from_nifti")):
        done = autoseg("predict", "--ensemble", "--device", "cpu", "-i", given, "-o", out)
        assert done.code == 0, done.err
        written.append(sitk.ReadImage(str(workspace / out / "new.nii.gz")))
        for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(written[-1], name)() == getattr(reference, name)(), name  # to the last bit
    first, second = (sitk.GetArrayFromImage(image) for image in written)
    np.testing.assert_array_equal(first, second)
    assert 0 < first.mean() < 1
    # The prediction is a truth of the series that it was made of.
    shutil.copytree(series, workspace / "raw/Checked/imagesTr/new")
    (workspace / "raw/Checked/labelsTr").mkdir()
    shutil.copy(workspace / "from_dicom/new.nii.gz", workspace / "raw/Checked/labelsTr/new.nii.gz")
    done = autoseg("check", "-d", "Checked")
    assert done.code == 0, done.err
    done = autoseg("evaluate", "from_nifti", "-d", "Checked")
    assert done.code == 0, done.err
    assert load_summary(workspace / "from_nifti/summary.json").mean["dice"] == 1
