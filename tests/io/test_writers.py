import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image as Pillow

from autoseg.case import Case
from autoseg.geometry import Geometry
from autoseg.io.images import read_image
from autoseg.io.nifti import HEADER_BYTES
from autoseg.io.writers import output_suffix, prediction_output_name, write_map, write_masks
from tests.io.make import RAMP, square, write_volume

GRID = Geometry.pixels((6, 8))


def case(file: str) -> Case:
    return Case(name="a/b", images=(Path(file),))


@pytest.mark.parametrize(
    ("file", "axes", "exclusive", "expected"),
    [
        ("a.jpg", 2, True, "a%2Fb.png"),
        ("a.dcm", 2, True, "a%2Fb.png"),
        ("a.nii.gz", 2, True, "a%2Fb.nii.gz"),
        ("a.mha", 3, True, "a%2Fb.mha"),
        ("a.tif", 3, True, "a%2Fb.nii.gz"),
        ("a.png", 2, False, "a%2Fb"),
        ("a.nii", 3, False, "a%2Fb"),
    ],
)
def test_names_of_predictions(file: str, axes: int, exclusive: bool, expected: str) -> None:
    assert prediction_output_name(case(file), axes, exclusive=exclusive) == expected


def test_suffixes_of_masks() -> None:
    assert output_suffix(case("a.nii.gz"), 2, exclusive=False) == ".png"
    assert output_suffix(case("a.mha"), 3, exclusive=False) == ".mha"
    assert output_suffix(case("a.tif"), 3, exclusive=False) == ".nii.gz"


def test_masks_are_a_file_per_class(tmp_path: Path) -> None:
    mask = square().astype(bool)
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "old.png").touch()
    folder = write_masks(tmp_path, "case", [("left/right", mask), ("손", ~mask)], GRID)
    assert folder == tmp_path / "case"
    assert sorted(path.name for path in folder.iterdir()) == ["left%2Fright.png", "손.png"]
    with Pillow.open(folder / "left%2Fright.png") as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.array(picture), square(value=255))


def test_masks_of_volumes(tmp_path: Path) -> None:
    mask = square((3, 6, 8)).astype(bool)
    source = write_volume(tmp_path / "in.nii.gz", square((3, 6, 8)), spacing=(0.3, 0.4, 0.5))
    geometry = read_image([source]).geometry
    folder = write_masks(tmp_path, "c", [("x", mask)], geometry, like=source, suffix=".nii.gz")
    assert [path.name for path in folder.iterdir()] == ["x.nii.gz"]
    written = read_image([folder / "x.nii.gz"])
    assert written.geometry == geometry
    np.testing.assert_array_equal(written.array[0], mask * 255)


def test_an_error_leaves_the_earlier_masks(tmp_path: Path) -> None:
    write_masks(tmp_path, "c", [("x", square().astype(bool))], GRID)
    with pytest.raises(ValueError, match="takes 300 bytes"):
        write_masks(tmp_path, "c", [("y", square().astype(bool)), ("x" * 300, square().astype(bool))], GRID)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["c", "c/x.png"]


@pytest.mark.parametrize(("highest", "dtype"), [(255, np.uint8), (256, np.uint16)])
@pytest.mark.parametrize("suffix", ["png", "nii.gz", "mha"])
def test_maps_take_the_smallest_dtype(tmp_path: Path, suffix: str, highest: int, dtype: type[np.generic]) -> None:
    array = square().astype(np.int64) * highest
    path = tmp_path / f"a.{suffix}"
    write_map(path, array, GRID)
    written = read_image([path])
    assert written.array.dtype == dtype
    np.testing.assert_array_equal(written.array[0], array)


def test_maps_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 to 65535, got 0 to 65536"):
        write_map(tmp_path / "a.png", square().astype(np.int64) * 65536, GRID)
    with pytest.raises(ValueError, match=r"array has the shape \(6, 8\), its geometry \(6, 9\)"):
        write_map(tmp_path / "a.png", square(), Geometry.pixels((6, 9)))
    with pytest.raises(ValueError, match=r"cannot write \.jpg"):
        write_map(tmp_path / "a.jpg", square(), GRID)
    assert list(tmp_path.iterdir()) == []


def tilted(seed: int) -> sitk.Image:
    """An image on a grid whose numbers no rounding keeps."""
    generator = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    image = sitk.GetImageFromArray(generator.integers(0, 99, (3, 4, 5)).astype(np.int16))
    image.SetSpacing(generator.uniform(0.1, 3, 3).tolist())
    image.SetOrigin(generator.normal(size=3).tolist())
    image.SetDirection((basis * np.sign(np.linalg.det(basis))).ravel().tolist())
    return image


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "mha"])
def test_geometry_is_kept_to_the_last_bit(tmp_path: Path, suffix: str, seed: int) -> None:
    source, path = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    sitk.WriteImage(tilted(seed), str(source))
    given = read_image([source])
    write_map(path, given.array[0] % 3, given.geometry, like=source)
    assert read_image([path]).geometry == given.geometry


def test_the_other_byte_order_is_turned(tmp_path: Path) -> None:
    source, swapped = tmp_path / "in.nii", tmp_path / "swapped.nii"
    sitk.WriteImage(tilted(1), str(source))
    data = source.read_bytes()
    header = swap_nifti_header(data[:HEADER_BYTES])
    swapped.write_bytes(header + data[HEADER_BYTES:352] + np.frombuffer(data[352:], "i2").byteswap().tobytes())
    given, turned = read_image([source]), read_image([swapped])
    assert turned.geometry == given.geometry
    write_map(tmp_path / "out.nii", turned.array[0] % 3, turned.geometry, like=swapped)
    assert read_image([tmp_path / "out.nii"]).geometry == given.geometry


def swap_nifti_header(header: bytes) -> bytes:
    """nifti1.h field by field."""
    layout = "i10s18sihcB8h3f4h8f3fhcB4f2i80s24s2h6f4f4f4f16s4s"
    return struct.pack(f">{layout}", *struct.unpack(f"<{layout}", header))


def test_a_third_axis_of_length_one_is_kept(tmp_path: Path) -> None:
    source = write_volume(tmp_path / "in.nii.gz", RAMP[None], spacing=(0.3, 0.4, 7), origin=(1, 2, 3))
    given = read_image([source])
    write_map(tmp_path / "out.nii.gz", square(), given.geometry, like=source)
    written, original = (sitk.ReadImage(str(path)) for path in (tmp_path / "out.nii.gz", source))
    assert written.GetSize() == original.GetSize() == (8, 6, 1)
    assert written.GetSpacing() == original.GetSpacing()
    assert written.GetOrigin() == original.GetOrigin()


def test_equal_maps_are_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        write_map(tmp_path / f"{name}.nii.gz", square(), GRID)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
