"""An image that is read by region is predicted as the same image in memory is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from autoseg.case import Case, LoadedCase
from autoseg.infer.case import Model, segment
from autoseg.infer.nets import load_net, plan_window
from autoseg.io import tif, tif_regions
from autoseg.io.images import read_image
from autoseg.io.tif_regions import regions_of
from autoseg.plan import Normalization, Plan
from autoseg.preprocess.moments import moments_of_regions
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.prepared import Prepared
from tests.infer.plans import OVERLAPPING, random_checkpoint, tiny_plan
from tests.io.make import decoded


def loaded(path: Path, *, by_region: bool) -> LoadedCase:
    image = read_image([path], by_region=by_region)
    return LoadedCase(case=Case(name="a", images=(path,)), image=image.array, geometry=image.geometry, labels=None)


def prepared_twice(path: Path, plan: Plan) -> tuple[Prepared, Prepared]:
    regional, whole = (prepare(loaded(path, by_region=by_region), plan, stage=plan.stages["2d"]) for by_region in (True, False))
    return regional, whole


def draw(path: Path, *shape: int) -> None:
    image = np.random.default_rng(1).integers(0, 4000, shape, np.uint16)
    image[:3] = image[:, :5] = image[-4:] = 0
    tifffile.imwrite(path, image, compression="zlib", tile=(16, 16))


@pytest.mark.parametrize("shape", [(61, 40), (50, 9), (13, 70)])
@pytest.mark.parametrize("crop", [False, True])
def test_masks_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], crop: bool) -> None:
    monkeypatch.setattr(tif, "LARGE", 0)
    draw(tmp_path / "a.tif", *shape)
    plan = replace(tiny_plan(OVERLAPPING), crop_to_nonzero=crop)
    regional, whole = prepared_twice(tmp_path / "a.tif", plan)
    assert regions_of(regional.image) is not None
    assert regions_of(whole.image) is None
    assert regional.meta == whole.meta
    assert regional.meta.box[0] == ((3, shape[0] - 4) if crop else (0, shape[0]))
    window = plan_window(plan, "2d", torch.device("cpu"))
    model = Model(labels=OVERLAPPING, nets=(load_net(random_checkpoint(plan), torch.device("cpu")),), window=window)
    by_region, at_once = (segment(model, one.image, one.meta, probabilities=True).probabilities for one in (regional, whole))
    assert by_region is not None
    assert at_once is not None
    np.testing.assert_array_equal(by_region, at_once)
    assert len(np.unique(by_region)) > 5


@pytest.mark.parametrize("kind", ["clahe", "resampled"])
def test_what_needs_all_of_it_has_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(tif, "LARGE", 0)
    draw(tmp_path / "a.tif", 40, 32)
    plan = tiny_plan(OVERLAPPING)
    if kind == "clahe":
        plan = replace(plan, normalization=(Normalization(kind="clahe"),))
    else:
        plan = replace(plan, stages={"2d": replace(plan.stages["2d"], spacing=(2.0, 2.0), resample=True)})
    regional, whole = prepared_twice(tmp_path / "a.tif", plan)
    assert regional.meta == whole.meta
    np.testing.assert_array_equal(regional.image, whole.image)
    assert regions_of(regional.image) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_channels_are_measured_in_one_pass_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type[np.generic]) -> None:
    monkeypatch.setattr(tif, "LARGE", 0)
    monkeypatch.setattr(tif_regions, "KEPT_BYTES", 1)
    monkeypatch.setattr(tif_regions, "SLAB", 8 * 40)
    image = (np.random.default_rng(0).random((61, 40, 3)) * 250).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression="zlib", rowsperstrip=4)
    case = loaded(tmp_path / "a.tif", by_region=True)
    regions = regions_of(case.image)
    assert regions is not None
    alone = [moments_of_regions(regions.select([k]))[0] for k in range(3)]
    regions._segments.forget()
    numbers = decoded(regions)
    rules = (Normalization(kind="zscore"), Normalization(kind="ct", lower=0, upper=1, mean=0, std=1), Normalization(kind="zscore"))
    plan = replace(tiny_plan(OVERLAPPING), normalization=rules, channels=("r", "g", "b"))
    meta = prepare(case, plan, stage=plan.stages["2d"]).meta
    assert numbers == list(range(16))
    assert [(meta.lower[k], meta.upper[k], meta.mean[k], meta.std[k]) for k in (0, 2)] == [
        (one.low, one.high, one.mean, one.std) for one in (alone[0], alone[2])
    ]
    assert (meta.lower[1], meta.std[1]) == (0, 1)
    np.testing.assert_allclose(meta.mean[2], image[..., 2].mean(dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(meta.std[2], image[..., 2].std(dtype=np.float64), rtol=1e-12)
