"""One set of volumes, stored in several orientations: what is measured, decided, prepared, written and scored does not differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.evaluate import evaluate_case
from autoseg.fingerprint import measure
from autoseg.infer.export import write_segmentation
from autoseg.infer.segmentation import Segmentation
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.io.truth import read_truth
from autoseg.labels import LabelSpace
from autoseg.planners.pose import decide_pose
from autoseg.preprocess.prepare import prepare
from tests.io.make import write_json
from tests.preprocess.back import restore
from tests.preprocess.make import plan, stage

CASES = 12
# Centres of the organs in voxels (z, y, x) of a body of 24 x 20 x 28: the two lungs mirror each other, nothing else is on one side.
ORGANS = {"head": (3, 9, 14), "left lung": (10, 10, 6), "right lung": (10, 10, 22), "liver": (15, 5, 14), "bladder": (20, 14, 14)}
MIXED = ("LPS", "RAS", "PIR", "ASL", "IPR", "SAL")


def write_bodies(root: Path, codes: tuple[str, ...], *, tilt: float = 0.0) -> Path:
    """Nifti files of small bodies with blocks for organs, stored in these orientations in turn."""
    rng = np.random.default_rng(0)
    for k in range(CASES):
        labels = np.zeros((24, 20, 28), np.uint8)
        for value, centre in enumerate(ORGANS.values(), 1):
            z, y, x = np.round(np.array(centre) + rng.normal(0, 0.7, 3)).astype(int)
            labels[z - 2 : z + 2, y - 2 : y + 2, x - 2 : x + 2] = value
        pixels = 20 * labels.astype(np.int16) + rng.integers(0, 9, labels.shape).astype(np.int16)
        for folder, array, ending in (("imagesTr", pixels, "_0000"), ("labelsTr", labels, "")):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((1.0, 1.0, 2.0))
            c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
            image.SetDirection((1, 0, 0, 0, c, -s, 0, s, c))
            (root / folder).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.DICOMOrient(image, codes[k % len(codes)]), str(root / folder / f"case{k:02}{ending}.nii.gz"))
    names = {"background": 0} | {name: value for value, name in enumerate(ORGANS, 1)}
    write_json(root / "dataset.json", {"labels": names, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz"})
    return root


def test_fingerprints_are_equal(tmp_path: Path) -> None:
    found = [measure(read_dataset(write_bodies(tmp_path / code[0], code), "D")) for code in (("LPS",), ("RAS",), MIXED)]
    assert found[0].cases[0].shape == (24, 20, 28)
    assert {fingerprint.checksum() for fingerprint in found} == {found[0].checksum()}
    # The sets differ as files: read as they lie, the mixed one would have no order at all.
    assert len({fingerprint.identity for fingerprint in found}) == 3


def test_flips_mean_the_same_axis_in_every_case(tmp_path: Path) -> None:
    decision = decide_pose(measure(read_dataset(write_bodies(tmp_path, MIXED))))
    assert decision.mirror_axes == (2,)  # right to left
    assert decision.mirror_swap == (0, 2, 1, 3, 4)
    assert decision.rotation_degrees < 40


@pytest.mark.parametrize("tilt", [0.0, 20.0])
@pytest.mark.parametrize("target", [(2.0, 1.0, 1.0), (1.5, 1.5, 1.5)])
def test_predictions_overlay_their_input(tmp_path: Path, target: tuple[float, ...], tilt: float) -> None:
    dataset = read_dataset(write_bodies(tmp_path / "raw", MIXED, tilt=tilt))
    space = LabelSpace(classes=tuple(ORGANS), exclusive=True, values=(1, 2, 3, 4, 5))
    settings = plan(3, labels=space)
    for case in dataset.train[: len(MIXED)]:
        loaded = read_case(dataset, case, 1)
        wanted = stage(3, spacing=target, resample=target != (2.0, 1.0, 1.0))
        done = prepare(loaded, settings, stage=wanted)
        assert done.labels is not None
        heads = np.stack([done.labels.mask(k) for k in range(5)]).astype(np.float32)  # a net that knows
        on_grid = restore(heads, done.meta)
        array = np.where(on_grid.max(0) > 0.5, 1 + on_grid.argmax(0), 0).astype(np.uint8)
        path = write_segmentation(tmp_path / "out", case, Segmentation(labels=space, geometry=done.meta.geometry, array=array))
        assert case.truth is not None
        written, truth = sitk.ReadImage(str(path)), sitk.ReadImage(str(case.truth.files[0]))
        assert written.GetSize() == truth.GetSize()
        assert written.GetDirection() == truth.GetDirection()
        assert written.GetOrigin() == truth.GetOrigin()
        agree = sitk.GetArrayFromImage(written) == sitk.GetArrayFromImage(truth)
        assert agree.all() if not wanted.resample else agree.mean() > 0.97
        # As validation scores it: on the grid that was prepared, and again from the written file.
        scored = evaluate_case(case.name, (array == value for value in space.values), read_truth(dataset, case, done.meta.geometry))
        again = read_case(dataset, replace(case, truth=replace(case.truth, files=(path,))), 1)
        assert again.labels is not None
        rescored = evaluate_case(case.name, again.labels, read_truth(dataset, case, done.meta.geometry))
        np.testing.assert_array_equal(scored.counts.hit, rescored.counts.hit)
        assert (scored.counts.hit > 0).all()
