"""From a file to a file: a prediction lies voxel by voxel on its input, however that lies in space."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.case import Case, LoadedCase
from autoseg.infer.case import Model, segment
from autoseg.infer.formats import FORMATS
from autoseg.infer.nets import plan_window
from autoseg.io.images import read_image
from autoseg.labels import LabelSpace
from autoseg.preprocess.prepare import prepare
from tests.infer.plans import tiny_plan

#: x to the left, y to the back, z to the head, tilted by 25 degrees about x and then by 15 about z.
A, B = np.radians(25), np.radians(15)
TILT = np.array([[np.cos(B), -np.sin(B), 0], [np.sin(B), np.cos(B), 0], [0, 0, 1]]) @ np.array(
    [[1, 0, 0], [0, np.cos(A), -np.sin(A)], [0, np.sin(A), np.cos(A)]]
)
BLOCK = LabelSpace(classes=("block",), exclusive=True, values=(3,))
SIZES = (1.0, 2.0, 3.0)


class Above(nn.Module):
    """The class wherever the image is above 100."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.cat([100 - x, x - 100], dim=1)]


def write_oblique(path: Path, code: str) -> NDArray[np.bool_]:
    """A block of 200 that lies in no middle, its axes stored as `code` says; where the file's voxels are bright."""
    array = np.zeros((10, 12, 14), np.int16)
    array[2:7, 3:6, 4:13] = 200
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SIZES)
    image.SetOrigin((-10.0, 20.5, 5.25))
    stored = sitk.DICOMOrient(image, code)
    stored.SetDirection((TILT @ np.reshape(stored.GetDirection(), (3, 3))).ravel().tolist())
    sitk.WriteImage(stored, str(path))
    return np.asarray(sitk.GetArrayFromImage(stored) > 100)


@pytest.mark.parametrize("code", ["LPS", "RAS", "PIR", "ASL"])
@pytest.mark.parametrize(
    "options",
    [{}, {"crop": True}, {"slice_axis": 1}, {"spacing": (1.5, 1.0, 0.5)}, {"spacing": (1.5, 1.0, 0.5), "crop": True, "slice_axis": 0}],
    ids=["as it is", "cropped", "sliced", "resampled", "all"],
)
def test_a_prediction_lies_on_its_input(tmp_path: Path, code: str, options: dict[str, object]) -> None:
    """Resampled: to voxels of half the size along each axis, where the block's edges stay."""
    path, out = tmp_path / "in.nii.gz", tmp_path / "in_out.nii.gz"
    inside = write_oblique(path, code)
    plan = tiny_plan(BLOCK, num_axes=3, patch=8, **options)  # type: ignore[arg-type]
    (stage,) = plan.stages
    case, image = Case(name="in", images=(path,)), read_image([path])
    prepared = prepare(LoadedCase(case=case, image=image.array, geometry=image.geometry, labels=None), plan, stage=plan.stages[stage])
    model = Model(labels=BLOCK, nets=(Above(),), window=plan_window(plan, stage, torch.device("cpu")))
    FORMATS["map"].write(out, case, segment(model, prepared.image, prepared.meta))
    written, given = sitk.ReadImage(str(out)), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), 3 * inside)
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(written, name)() == getattr(given, name)(), name
