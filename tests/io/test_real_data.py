"""The real data sets of ../shared/data: pytest -m data."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.case import Dataset
from autoseg.io.cases import measure_case, read_case
from autoseg.io.check import check_dataset
from autoseg.io.images import common_num_channels, read_image
from autoseg.io.layouts import read_dataset
from autoseg.io.writers import write_map
from autoseg.labels import overlap_counts

pytestmark = pytest.mark.data


def channels_of(dataset: Dataset) -> int:
    facts = [measure_case(dataset, case)[1] for case in dataset.train]
    return common_num_channels([(fact.num, fact.is_grey) for fact in facts], len(dataset.channels) or None)


def test_vnc(shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "VNC")
    assert dataset.classes == ("membrane", "mitochondrion", "synapse")
    assert [case.name for case in dataset.train] == [f"{k:02d}" for k in range(20)]
    assert check_dataset(dataset).problems == ()
    assert channels_of(dataset) == 1
    for case in dataset.train:
        loaded = read_case(dataset, case, 1)
        assert loaded.image.shape == (1, 1024, 1024)
        assert loaded.geometry.unit == "pixel"
        assert loaded.labels is not None
        assert overlap_counts(loaded.labels)[0, 2] > 0  # synapse and membrane overlap in 20 of 20 sections


def test_nuclei(shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "Nuclei")
    assert len(dataset.train) == 100
    assert dataset.values == {1: ("class 1",)}
    assert check_dataset(dataset).problems == ()
    assert channels_of(dataset) == 3  # 23 of 100 are in colour, the others grey in RGBA
    assert {read_case(dataset, case, 3).image.shape[0] for case in dataset.train} == {3}


def test_hippocampus(shared_data: Path, tmp_path: Path) -> None:
    dataset = read_dataset(shared_data / "Dataset004_Hippocampus")
    assert (dataset.classes, dataset.channels) == (("Anterior", "Posterior"), ("MRI",))
    assert len(dataset.train) == 208
    assert check_dataset(dataset).problems == ()
    assert channels_of(dataset) == 1
    case = dataset.train[0]
    loaded = read_case(dataset, case, 1)
    assert loaded.geometry.num_axes == 3
    assert loaded.labels is not None
    write_map(tmp_path / "out.nii.gz", loaded.labels.codes, loaded.geometry, like=case.images[0])
    written = read_image([tmp_path / "out.nii.gz"])
    assert written.geometry == loaded.geometry
    np.testing.assert_array_equal(written.array[0], loaded.labels.codes)
    assert case.truth is not None
    original, overlay = (sitk.ReadImage(str(path)) for path in (case.truth.files[0], tmp_path / "out.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(overlay), sitk.GetArrayFromImage(original))  # 0, 1, 2 are their own codes
    assert overlay.GetDirection() == sitk.ReadImage(str(case.images[0])).GetDirection()
