"""What DICOM's Modality says of channels."""

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.io.layouts import dicom_tags, read_dataset
from autoseg.io.volumes import read_header
from tests.io.dicom import write_series
from tests.io.make import write_volume

VOLUME = np.random.default_rng(0).integers(0, 4000, (4, 5, 6)).astype(np.uint16)
MODALITY, PATIENT = 0x0008_0060, 0x0010_0020


def make(root: Path, *modalities: str, patient: str | None = None) -> Path:
    """A case of one series for each."""
    for k, modality in enumerate(modalities):
        write_series(root / f"imagesTr/case{k}", VOLUME, {MODALITY: modality, PATIENT: patient})
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


@pytest.mark.parametrize("modalities", [("CT", "CT"), ("CT", "MR", "CT")])
def test_each_header_is_read_once_for_modality_and_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modalities: tuple[str, ...]
) -> None:
    make(tmp_path, *modalities, patient="17")
    seen: list[Path] = []

    def counting(path: Path) -> object:
        seen.append(path)
        return read_header(path)

    monkeypatch.setattr(dicom_tags, "read_header", counting)
    dataset = read_dataset(tmp_path)
    (group,) = {case.group for case in dataset.train}
    assert group is not None
    assert sorted(path.parent.name for path in seen) == [f"case{k}" for k in range(len(modalities))]
