"""Volumes are turned to one orientation when read, and back when written."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import DataError
from autoseg.geometry import Geometry
from autoseg.io.cases import read_case
from autoseg.io.images import read_image
from autoseg.io.orientation import Orientation, orientation_of
from autoseg.io.truth import read_truth
from autoseg.io.writers import write_map, write_masks
from tests.io.make import RAMP, write_picture, write_volume

RNG = np.random.default_rng(0)
PHANTOM = RNG.integers(0, 200, (4, 5, 6)).astype(np.int16)
ORDERS = list(itertools.permutations("RAS")) + [tuple(o) for o in ("LPS", "LAS", "RPI", "PIR", "ASL", "IPR")]


def reoriented(code: str, array: NDArray[np.generic] = PHANTOM, *, tilt: NDArray[np.float64] | None = None) -> sitk.Image:
    """The phantom, voxels of 1 x 2 x 3 mm, stored with axes as `code` names them (SimpleITK's own filter turns it)."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((-10.0, 20.0, 5.0))
    stored: sitk.Image = sitk.DICOMOrient(image, code)
    if tilt is not None:
        stored.SetDirection((tilt @ np.reshape(stored.GetDirection(), (3, 3))).ravel().tolist())
    return stored


def turned_by(degrees: float, axis: int) -> NDArray[np.float64]:
    """A rotation of space about one of its axes."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = (k for k in range(3) if k != axis)
    matrix = np.eye(3)
    matrix[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
    return matrix


@pytest.mark.parametrize("suffix", ["nii.gz", "mha", "nrrd"])
@pytest.mark.parametrize("code", ["".join(order) for order in ORDERS])
def test_one_phantom_in_every_orientation(tmp_path: Path, code: str, suffix: str) -> None:
    path, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    stored = reoriented(code)
    sitk.WriteImage(stored, str(path))
    image = read_image([path])
    np.testing.assert_array_equal(image.array[0], PHANTOM)
    assert image.geometry.shape == (4, 5, 6)
    assert image.geometry.spacing == pytest.approx((3, 2, 1), rel=1e-6)
    assert image.geometry.origin == pytest.approx((-10, 20, 5), abs=1e-5)
    assert image.geometry.direction == pytest.approx(np.eye(3).ravel(), abs=1e-6)
    write_map(out, image.array[0], image.geometry, like=path)
    written = sitk.ReadImage(str(out))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(stored))
    given = sitk.ReadImage(str(path))
    assert geometry_of(written) == geometry_of(given)


@given(
    code=st.sampled_from(["RAS", "LPS", "PIR", "ASL"]),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    voxel=st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5)),
)
def test_every_voxel_keeps_its_place(code: str, angles: tuple[float, ...], voxel: tuple[int, ...]) -> None:
    tilt = turned_by(angles[0], 0) @ turned_by(angles[1], 1) @ turned_by(angles[2], 2)
    stored = reoriented(code, np.arange(120, dtype=np.int16).reshape(4, 5, 6), tilt=tilt)
    array, geometry = sitk.GetArrayFromImage(stored), geometry_of(stored)
    orientation = orientation_of(geometry)
    turned, grid = orientation.turn(array), orientation.turn_grid(geometry)
    place = np.array(np.unravel_index(int(np.flatnonzero(turned.ravel() == np.ravel_multi_index(voxel, (4, 5, 6)))[0]), grid.shape))
    direction = np.reshape(grid.direction, (3, 3))
    reached = np.array(grid.origin) + direction @ (np.array(grid.spacing) * place)[::-1]
    in_file = np.array(np.unravel_index(int(np.flatnonzero(array.ravel() == np.ravel_multi_index(voxel, (4, 5, 6)))[0]), array.shape))
    assert reached == pytest.approx(stored.TransformIndexToPhysicalPoint([int(i) for i in in_file[::-1]]), abs=1e-9)
    np.testing.assert_array_equal(orientation.inverse.turn(turned), array)
    # No other exchange or reversal of axes lies nearer to the frame; half a degree is the tie-breaker's.
    best = max(
        np.trace(direction[:, list(order)] * signs)
        for order in itertools.permutations(range(3))
        for signs in map(np.array, itertools.product((1, -1), repeat=3))
    )
    assert np.trace(direction) >= best - 3 * np.radians(0.5)


def geometry_of(image: sitk.Image) -> Geometry:
    return Geometry(
        shape=image.GetSize()[::-1], spacing=image.GetSpacing()[::-1], origin=image.GetOrigin(), direction=image.GetDirection()
    )  # fmt: skip


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("noise", [-1e-6, 1e-6])
def test_a_tilt_of_45_degrees_is_no_tie(axis: int, noise: float) -> None:
    exact = orientation_of(geometry_of(reoriented("RAS", tilt=turned_by(45, axis))))
    assert orientation_of(geometry_of(reoriented("RAS", tilt=turned_by(45 + noise, axis)))) == exact


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "mha", "nrrd"])
@pytest.mark.parametrize("code", ["RAS", "PIR", "LPS"])
def test_oblique_predictions_overlay_their_input(tmp_path: Path, code: str, suffix: str) -> None:
    path = tmp_path / f"in.{suffix}"
    sitk.WriteImage(reoriented(code, tilt=turned_by(28, 0) @ turned_by(-17, 2)), str(path))
    image = read_image([path])
    np.testing.assert_array_equal(image.array[0], PHANTOM)  # tilted by less than 45 degrees: to the nearest axes
    folder = write_masks(tmp_path, "c", [("x", image.array[0] > 100)], image.geometry, like=path, suffix=f".{suffix}")
    given, written = sitk.ReadImage(str(path)), sitk.ReadImage(str(folder / f"x.{suffix}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written) > 0, sitk.GetArrayFromImage(given) > 100)
    assert geometry_of(written) == geometry_of(given)
    if suffix.startswith("nii"):
        fields = [slice(76, 108), slice(252, 328)]  # nifti1.h: pixdim; qform_code to srow_z
        headers = [read_header_bytes(file) for file in (path, folder / f"x.{suffix}")]
        assert all(headers[0][field] == headers[1][field] for field in fields)


def read_header_bytes(path: Path) -> bytes:
    import gzip

    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)[:348]


def test_labels_of_another_orientation_than_their_image(tmp_path: Path) -> None:
    sitk.WriteImage(reoriented("RAS"), str(tmp_path / "image.nii.gz"))
    sitk.WriteImage(reoriented("PIR", (PHANTOM > 100).astype(np.uint8)), str(tmp_path / "labels.mha"))
    loaded = read_labelled(tmp_path / "image.nii.gz", tmp_path / "labels.mha")
    assert loaded.labels is not None
    np.testing.assert_array_equal(loaded.labels.mask(0), loaded.image[0] > 100)


@pytest.mark.parametrize("image_is_tif", [True, False])
def test_a_tif_lies_as_the_volume_beside_it(tmp_path: Path, image_is_tif: bool) -> None:
    import tifffile

    stored = reoriented("RAS")
    array = sitk.GetArrayFromImage(stored)
    labels = (array > 100).astype(np.uint8)
    if image_is_tif:
        tifffile.imwrite(tmp_path / "image.tif", array, photometric="minisblack")
        sitk.WriteImage(reoriented("RAS", (PHANTOM > 100).astype(np.uint8)), str(tmp_path / "labels.nii"))
        loaded = read_labelled(tmp_path / "image.tif", tmp_path / "labels.nii")
        np.testing.assert_array_equal(loaded.image[0], array)
    else:
        sitk.WriteImage(stored, str(tmp_path / "image.nii"))
        tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
        loaded = read_labelled(tmp_path / "image.nii", tmp_path / "labels.tif")
        np.testing.assert_array_equal(loaded.image[0], PHANTOM)
    assert loaded.labels is not None
    np.testing.assert_array_equal(loaded.labels.mask(0), loaded.image[0] > 100)


def read_labelled(image: Path, labels: Path, **changes: object):  # type: ignore[no-untyped-def]
    case = Case(name="c", images=(image,), truth=Truth(kind="map", files=(labels,)))
    return read_case(dataset(**changes), case)


def dataset(**changes: object) -> Dataset:
    return Dataset(name="d", root=Path("d"), layout="folders", classes=("a",), values={1: ("a",)}, **changes)  # type: ignore[arg-type]


def test_channels_lie_alike(tmp_path: Path) -> None:
    import tifffile

    for code, name in (("RAS", "a"), ("PIR", "b")):
        sitk.WriteImage(reoriented(code), str(tmp_path / f"{name}.nii"))
    image = read_image([tmp_path / "a.nii", tmp_path / "b.nii"])
    np.testing.assert_array_equal(image.array, np.stack([PHANTOM] * 2))
    tifffile.imwrite(tmp_path / "c.tif", PHANTOM, photometric="minisblack")
    with pytest.raises(DataError, match=r"a header of how it lies in space, the first channel, .*; convert all channels to one format"):
        read_image([tmp_path / "a.nii", tmp_path / "c.tif"])


def test_channels_in_a_fourth_axis(tmp_path: Path) -> None:
    channels = [reoriented("ASL"), reoriented("ASL", PHANTOM + 1000)]
    path = tmp_path / "in.nii.gz"
    sitk.WriteImage(sitk.JoinSeries(channels), str(path))
    image = read_image([path])
    np.testing.assert_array_equal(image.array, np.stack([PHANTOM, PHANTOM + 1000]))
    write_map(tmp_path / "out.nii.gz", image.array[0], image.geometry, like=path)
    written = sitk.ReadImage(str(tmp_path / "out.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(channels[0]))
    assert written.GetDirection() == pytest.approx(channels[0].GetDirection(), abs=1e-6)
    assert written.GetOrigin() == pytest.approx(channels[0].GetOrigin(), abs=1e-5)


def test_channels_of_each_voxel(tmp_path: Path) -> None:
    vectors = sitk.Compose([reoriented("PIR"), reoriented("PIR", PHANTOM + 1000)])
    path = tmp_path / "in.nrrd"
    sitk.WriteImage(vectors, str(path))
    image = read_image([path])
    np.testing.assert_array_equal(image.array, np.stack([PHANTOM, PHANTOM + 1000]))
    write_map(tmp_path / "out.nrrd", image.array[0], image.geometry, like=path)
    written = sitk.ReadImage(str(tmp_path / "out.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(reoriented("PIR")))
    assert written.GetDirection() == vectors.GetDirection()


def test_a_declared_spacing_follows_the_files_axes(tmp_path: Path) -> None:
    sitk.WriteImage(reoriented("PIR"), str(tmp_path / "image.nii.gz"))  # the file's z, y, x run along the phantom's x, z, y
    sitk.WriteImage(reoriented("PIR", np.ones_like(PHANTOM)), str(tmp_path / "labels.nii.gz"))
    loaded = read_labelled(tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz", spacing=(0.1, 0.3, 0.2))
    assert loaded.geometry.spacing == (0.3, 0.2, 0.1)
    # Validation reads the truth again, on the grid with the declared spacing.
    assert read_truth(dataset(spacing=(0.1, 0.3, 0.2)), loaded.case, loaded.geometry).mask(0).all()


def test_what_says_nothing_of_the_body_stays(tmp_path: Path) -> None:
    slice_ = sitk.GetImageFromArray(RAMP[None])
    slice_.SetDirection((-1, 0, 0, 0, 0, 1, 0, 1, 0))
    sitk.WriteImage(slice_, str(tmp_path / "one.nii.gz"))
    flat = sitk.GetImageFromArray(RAMP)
    flat.SetDirection((0, -1, 1, 0))
    sitk.WriteImage(flat, str(tmp_path / "flat.mha"))
    for path in (tmp_path / "one.nii.gz", tmp_path / "flat.mha", write_picture(tmp_path / "a.png", RAMP)):
        image = read_image([path])
        np.testing.assert_array_equal(image.array[0], RAMP)
        assert image.orientation is None
    assert read_image([write_volume(tmp_path / "plain.mha", PHANTOM)]).orientation is None


def test_a_prediction_of_another_shape_takes_the_given_grid(tmp_path: Path) -> None:
    sitk.WriteImage(reoriented("RAS"), str(tmp_path / "in.nii"))
    small = Geometry.pixels((2, 3, 4))
    write_map(tmp_path / "out.nii", np.ones((2, 3, 4), np.uint8), small, like=tmp_path / "in.nii")
    assert read_image([tmp_path / "out.nii"]).geometry.spacing == (1, 1, 1)


def test_turning_moves_leading_axes_along() -> None:
    orientation = Orientation(axes=(2, 0, 1), reversed=(False, True, False))
    array = RNG.integers(0, 9, (2, 3, 4, 5))
    turned = orientation.turn(array)
    assert turned.shape == (2, 5, 3, 4)
    assert turned[1, 4, 0, 3] == array[1, 2, 3, 4]
    np.testing.assert_array_equal(orientation.inverse.turn(turned), array)
