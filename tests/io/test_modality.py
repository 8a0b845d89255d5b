"""What DICOM's Modality says of channels."""

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.io.layouts import read_dataset
from tests.io.dicom import write_series
from tests.io.make import write_volume

VOLUME = np.random.default_rng(0).integers(0, 4000, (4, 5, 6)).astype(np.uint16)
MODALITY = 0x0008_0060


def make(root: Path, *modalities: str) -> Path:
    """A case of one series for each."""
    for k, modality in enumerate(modalities):
        write_series(root / f"imagesTr/case{k}", VOLUME, {MODALITY: modality})
        write_volume(root / f"labelsTr/case{k}.nii.gz", (VOLUME > 2000).astype(np.uint8), spacing=(0.4, 0.5, 2.5), origin=(-10, -20, 5))
    return root


@pytest.mark.parametrize(
    ("modalities", "channels"),
    [(("CT", "CT"), ("CT",)), (("MR", "MR"), ("MR",)), (("CT", "MR"), ()), (("DX",), ()), (("CT", ""), ())],
)  # fmt: skip
def test_channels_are_called_by_the_modality_of_all_cases(tmp_path: Path, modalities: tuple[str, ...], channels: tuple[str, ...]) -> None:
    assert read_dataset(make(tmp_path, *modalities)).channels == channels


def test_declared_names_win(tmp_path: Path) -> None:
    make(tmp_path, "CT")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "bright": 1}, "channel_names": {"0": "dose"}}))
    assert read_dataset(tmp_path).channels == ("dose",)


def test_a_nifti_says_nothing(tmp_path: Path) -> None:
    make(tmp_path, "CT")
    write_volume(tmp_path / "imagesTr/other.nii.gz", VOLUME, spacing=(0.4, 0.5, 2.5), origin=(-10, -20, 5))
    write_volume(tmp_path / "labelsTr/other.nii.gz", (VOLUME > 2000).astype(np.uint8), spacing=(0.4, 0.5, 2.5), origin=(-10, -20, 5))
    assert read_dataset(tmp_path).channels == ()
