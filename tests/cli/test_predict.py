"""predict through the command line: formats and parts, DICOM in."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.io.submission import read_submission
from autoseg.predictor import Predictor
from tests.cli.conftest import Autoseg
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, plant_run, tiny_plan
from tests.io.dicom import write_dicom, write_series

PREDICT = ("predict", "-d", "Tiny", "--ensemble", "--device", "cpu", "--no-tta", "-i", "in", "-o", "out")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trained nets, without the data they were trained on, and five X-rays without suffix."""
    plant_run(tmp_path / "results/Tiny", tiny_plan(OVERLAPPING), "0", "1")
    for k in range(5):
        pixels = np.random.default_rng(k).integers(0, 255, (20, 24), np.uint16)
        write_dicom(tmp_path / f"in/1.2.{k}", pixels, {0x0028_0004: "MONOCHROME1", 0x0028_0101: 8, 0x0028_0102: 7})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_parts_with_formats(autoseg: Autoseg, workspace: Path) -> None:
    first = autoseg(*PREDICT, "--format", "masks,rle,overlay", "--part", "1/2")
    assert first.code == 0, first.err
    assert "Predicting 3 images of 5 (part 1/2) with 2d-default" in first.out
    assert "submission.csv holds 3 of 5 images so far; the other parts, or the same command without --part, add theirs" in first.out
    second = autoseg(*PREDICT, "--format", "masks,rle,overlay", "--part", "2/2")
    assert "so far" not in second.out
    assert len(read_submission(workspace / "out/submission.csv")) == 10
    assert {path.name for path in (workspace / "out").glob("*.overlay.png")} == {f"1.2.{k}.overlay.png" for k in range(5)}
    assert {path.name for path in (workspace / "out/1.2.3").iterdir()} == {"bright.png", "손%2Fany.png"}
    more = autoseg(*PREDICT, "--format", "polygons")
    assert "5 images predicted before: the formats that were missing were made from the masks" in more.out
    assert len(list((workspace / "out").glob("*.polygons.json"))) == 5


def test_a_part_without_images(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg(*PREDICT, "--part", "7/9")
    assert (done.code, "Part 7/9 holds no image: there are 5" in done.out) == (0, True)
    assert not (workspace / "out").exists()


def test_a_series_of_slices(autoseg: Autoseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of slices is one volume; its map is a NIfTI on the slices' grid."""
    plant_run(tmp_path / "results/Tiny", tiny_plan(EXCLUSIVE, num_axes=3, slice_axis=0), "0", "1")
    volume = np.random.default_rng(0).integers(0, 255, (4, 20, 24), np.uint16)
    write_series(tmp_path / "ct 1", volume)
    monkeypatch.chdir(tmp_path)
    done = autoseg(*PREDICT[:-4], "-i", "ct 1", "-o", "out", "--format", "map,masks,overlay")
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ct 1.nii.gz", "ct 1", "ct 1.overlay.png", "predict.json"}
    written = sitk.ReadImage(str(tmp_path / "out/ct 1.nii.gz"))
    assert written.GetSize() == (24, 20, 4)
    np.testing.assert_allclose(written.GetSpacing(), (0.4, 0.5, 2.5), rtol=1e-6)
    np.testing.assert_allclose(written.GetOrigin(), (-10, -20, 5))
    expected = Predictor.load(tmp_path / "results/Tiny", device="cpu", tta=False)(volume)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), expected)
