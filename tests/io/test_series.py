"""Folders of DICOM slices."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.case import Case
from autoseg.errors import DataError, UsageError
from autoseg.geometry import Geometry
from autoseg.io.cases import read_case
from autoseg.io.images import read_image
from autoseg.io.inputs import find_inputs, passed_over
from autoseg.io.layouts import read_dataset
from autoseg.io.pseudonyms import Salt
from autoseg.io.writers import output_suffix, write_map
from tests.io.dicom import write_dicom, write_series
from tests.io.make import RAMP, write_volume

VOLUME = np.random.default_rng(0).integers(0, 4000, (4, 5, 6)).astype(np.uint16)


def test_slices_stand_in_the_order_of_their_places(tmp_path: Path) -> None:
    image = read_image([write_series(tmp_path / "ct", VOLUME)])
    np.testing.assert_array_equal(image.array[0], VOLUME)
    assert image.geometry == Geometry(
        shape=(4, 5, 6), spacing=(2.5, 0.5, 0.4), origin=(-10, -20, 5), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)
    )  # fmt: skip


def test_slices_are_rescaled_each_by_its_own_header(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "pet", VOLUME)
    write_dicom_again(folder / "IM0004", {0x0028_1052: "0", 0x0028_1053: "0.5"})
    expected = VOLUME.astype(float)
    expected[0] *= 0.5
    np.testing.assert_array_equal(read_image([folder]).array[0], expected)


def write_dicom_again(path: Path, tags: dict[int, object]) -> None:
    """Slice 0 of the series, with other tags."""
    placed = {0x0028_0030: "0.5\\0.4", 0x0020_0032: "-10\\-20\\5", 0x0020_0037: "1\\0\\0\\0\\1\\0"}
    write_dicom(path, VOLUME[0], {**placed, **tags})


@pytest.mark.parametrize("directions", ["1\\0\\0\\0\\1\\0", "0\\1\\0\\0\\0\\-1", "-0.8\\0.6\\0\\0\\0\\-1"])
def test_the_grid_is_itks(tmp_path: Path, directions: str) -> None:
    """Axial, sagittal and oblique slices, put along their own normal; the prediction goes back to the slices' own order."""
    x, y = np.reshape([float(value) for value in directions.split("\\")], (2, 3))
    folder = tmp_path / "mr"
    for z, plane in enumerate(VOLUME):
        place = "\\".join(f"{value:g}" for value in np.array([3, 4, 5]) + 2 * z * np.cross(x, y))
        tags = {0x0020_0032: place, 0x0020_0037: directions, 0x0028_0030: "0.5\\0.4", 0x0008_0018: f"1.2.{z}"}
        write_dicom(folder / f"{z}.dcm", plane, {**tags, 0x0008_0016: "1.2.840.10008.5.1.4.1.1.4"})
    reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = read_image([folder])
    out = tmp_path / "out.nii.gz"
    write_map(out, image.array[0], image.geometry, like=folder)
    written = sitk.ReadImage(str(out))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(reference))
    for ours, theirs in zip(
        (written.GetSpacing(), written.GetOrigin(), written.GetDirection()),
        (reference.GetSpacing(), reference.GetOrigin(), reference.GetDirection()),
        strict=True,
    ):
        assert ours == pytest.approx(theirs, abs=1e-6)  # NIfTI's float32


def test_suffix_of_a_prediction() -> None:
    assert output_suffix(Case(name="a", images=(Path("ct"),)), 3, exclusive=True) == ".nii.gz"


def test_a_series_as_input(tmp_path: Path) -> None:
    write_series(tmp_path / "study/ann/ct", VOLUME)
    write_series(tmp_path / "study/bob/ct", VOLUME, {0x0020_000E: "1.2.3.5"})
    (tmp_path / "study/ann/ct/DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert find_inputs(tmp_path / "study/ann/ct") == [Case(name="ct", images=(tmp_path / "study/ann/ct",))]
    assert passed_over(tmp_path / "study/ann/ct", find_inputs(tmp_path / "study/ann/ct")) == []
    assert passed_over(tmp_path / "study", find_inputs(tmp_path / "study")) == []
    assert [case.name for case in find_inputs(tmp_path / "study")] == ["ann_ct", "bob_ct"]


def test_xrays_of_one_series_are_images(tmp_path: Path) -> None:
    for name in ("lateral", "frontal.dcm"):
        write_dicom(tmp_path / "study" / name, VOLUME[0])
    assert [case.name for case in find_inputs(tmp_path / "study")] == ["frontal", "lateral"]
    assert [case.name for case in find_inputs(tmp_path / "study/lateral")] == ["lateral"]


def test_a_series_to_train_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_series(tmp_path / f"imagesTr/{name}", VOLUME, {0x0010_0020: f"patient of {name}"})
        labels = (VOLUME > 2000).astype(np.uint8)
        write_volume(tmp_path / f"labelsTr/{name}.nii.gz", labels, spacing=(0.4, 0.5, 2.5), origin=(-10, -20, 5))
    salt = Salt(tmp_path / "salt")
    dataset = read_dataset(tmp_path, salt=salt)
    assert [(case.name, case.images, case.group) for case in dataset.train] == [
        ("a", (tmp_path / "imagesTr/a",), salt.hashed("patient of a")),
        ("b", (tmp_path / "imagesTr/b",), salt.hashed("patient of b")),
    ]
    labels_read = read_case(dataset, dataset.train[0]).labels
    assert labels_read is not None
    np.testing.assert_array_equal(labels_read.mask(0), VOLUME > 2000)


def missing(folder: Path) -> None:
    (folder / "IM0003").unlink()


def twice(folder: Path) -> None:
    shutil.copy(folder / "IM0003", folder / "IM0009")


def turned(folder: Path) -> None:
    write_dicom_again(folder / "IM0004", {0x0020_0037: "0\\1\\0\\0\\0\\-1"})


def smaller(folder: Path) -> None:
    write_dicom(folder / "IM0003", VOLUME[1, :3], {0x0020_0032: "-10\\-20\\7.5", 0x0020_0037: "1\\0\\0\\0\\1\\0"})


def shifted(folder: Path) -> None:
    for z, plane in enumerate(VOLUME):
        place = f"{z}\\0\\{2 * z}"
        write_dicom(folder / f"IM{4 - z:04d}", plane, {0x0020_0032: place, 0x0020_0037: "1\\0\\0\\0\\1\\0", 0x0028_0030: "1\\1"})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (missing, "IM0002: lies 5 mm behind IM0004, other slices 2.5 mm apart; a slice is missing"),
        (twice, "IM0009: lies at the same place as IM0003"),
        (turned, "lies in another direction than"),
        (smaller, "IM0003: is a slice of the shape (1, 3, 6), the first one of (1, 5, 6)"),
        (shifted, "ct: holds slices that are shifted against each other"),
    ],
)  # fmt: skip
def test_a_broken_series(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    folder = write_series(tmp_path / "ct", np.concatenate([VOLUME, VOLUME]) if harm is missing else VOLUME)
    harm(folder)
    with pytest.raises(DataError) as caught:
        read_image([folder])
    assert said in str(caught.value)


def test_several_series_in_a_folder(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", VOLUME, {0x0008_103E: "thin"})
    write_dicom(
        folder / "scout", RAMP, {0x0020_000E: "1.2.8", 0x0020_0032: "0\\0\\0", 0x0020_0037: "1\\0\\0\\0\\0\\-1", 0x0008_103E: "scout"}
    )
    said = r"ct: holds the slices of 2 series: number unknown with IM0001 \(4 files\), number unknown with scout \(1 files\); put each"
    with pytest.raises(DataError, match=said):
        find_inputs(folder)


def test_a_folder_without_a_series(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder that holds no series of DICOM slices"):
        read_image([tmp_path])
    with pytest.raises(UsageError, match="the folder holds no image"):
        find_inputs(tmp_path)
