"""A model as one file: what it holds, that it predicts as the run does, and what does not go into it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle import contents as bundle_contents
from autoseg.bundle.contents import shared_plan
from autoseg.bundle.onnx_folder import write_onnx
from autoseg.bundle.write import write_bundle
from autoseg.checkpoint import load_checkpoint, save_checkpoint
from autoseg.errors import FileFormatError, UsageError
from autoseg.predictor import Predictor
from tests.bundle.make import CALIBRATION, chosen, contents, edit_json, pack, plant_cascade
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, images, plant_run, tiny_plan

IMAGE = np.random.default_rng(0).integers(0, 255, (20, 24)).astype(np.uint8)


def probabilities(predictor: Predictor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found = predictor.segment(IMAGE, probabilities=True).probabilities
    assert found is not None
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return plant_run(tmp_path / "results/Tiny", tiny_plan(OVERLAPPING), "0", "1")


def test_a_bundle_predicts_as_its_run_does(run: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_bundle(tmp_path / "a.zip", chosen(run), lambda *at: seen.append(at))
    assert seen == [(1, 2), (2, 2)]
    there, here = Predictor.load(tmp_path / "a.zip", device="cpu"), Predictor.load(run, device="cpu")
    np.testing.assert_array_equal(probabilities(there), probabilities(here))
    assert there.record() == here.record()  # so that a folder that one of them predicted into is finished for the other, too
    masks = there(IMAGE)
    assert isinstance(masks, dict)
    assert list(masks) == list(OVERLAPPING.classes)


def test_folds_of_a_bundle(run: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.zip", chosen(run))
    one = Predictor.load(tmp_path / "a.zip", ("1",), device="cpu")
    np.testing.assert_array_equal(probabilities(one), probabilities(Predictor.load(run, ("1",), device="cpu")))
    with pytest.raises(UsageError, match=r"--folds: not in .*a\.zip: 3; it holds 0, 1"):
        Predictor.load(tmp_path / "a.zip", ("3",), device="cpu")


def test_a_cascade_brings_its_first_stage(tmp_path: Path) -> None:
    run = plant_cascade(tmp_path / "results/Tiny", "0", "1")
    manifest = write_bundle(tmp_path / "a.zip", chosen(run))
    assert [(model.stage, list(model.nets)) for model in manifest.models] == [("2d", ["0", "1"]), ("2d_cascade", ["0", "1"])]
    expected = probabilities(Predictor.load(run, device="cpu"))
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(probabilities(Predictor.load(tmp_path / "a.zip", device="cpu")), expected)


def test_volumes_and_exclusive_classes(tmp_path: Path) -> None:
    run = plant_run(tmp_path / "Tiny", tiny_plan(EXCLUSIVE, num_axes=3), "2")
    write_bundle(tmp_path / "a.zip", chosen(run))
    volume = np.random.default_rng(0).integers(0, 255, (9, 20, 18)).astype(np.uint8)
    np.testing.assert_array_equal(Predictor.load(tmp_path / "a.zip", device="cpu")(volume), Predictor.load(run, device="cpu")(volume))


def test_equal_nets_give_equal_bytes(run: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_bundle(tmp_path / name, chosen(run))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_no_case_is_named_in_it(tmp_path: Path) -> None:
    """Names of cases may be patients' numbers: they stand in scores, weights of cases, options as typed, sentences, progress."""
    patient = "PAT-4711"
    plan = tiny_plan(OVERLAPPING)
    (stage,) = plan.stages.values()
    stage = replace(stage, recipe=replace(stage.recipe, case_weights={patient: 2.0}), reasons={"patch": f"because of {patient}"})
    plan = replace(plan, stages={stage.name: stage}, overrides=(f"recipe.case_weights.{patient}=2",), reasons={"labels": patient})
    run = plant_run(tmp_path, plan, "0")
    file = run / "fold0/checkpoint_last.safetensors"
    save_checkpoint(file, replace(load_checkpoint(file), progress={"worst": patient}, optimizer={"0.step": torch.ones(1)}))
    summary = {"mean": {"dice": 0.75}, "classes": {"bright": {"dice": 0.75}}, "cases": {patient: {"bright": {"dice": 0.75}}}}
    (run / "fold0/summary.json").write_text(json.dumps(summary))
    write_bundle(tmp_path / "a.zip", chosen(run))
    assert patient.encode() in file.read_bytes()
    assert patient.encode() not in (tmp_path / "a.zip").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "a.zip").read_bytes()
    metrics = json.loads(contents(tmp_path / "a.zip")["metrics.json"])["folds"]["0"]
    assert metrics == {"num_cases": 1, "mean": {"dice": 0.75}, "classes": {"bright": {"dice": 0.75}}}
    assert "optimizer" not in "".join(contents(tmp_path / "a.zip"))


def test_the_plan_keeps_what_predicts() -> None:
    plan = replace(tiny_plan(EXCLUSIVE), reasons={"a": "b"}, overrides=("x=1",))
    shared = shared_plan(plan, "2d")
    assert (shared.reasons, shared.overrides) == ({}, ())
    assert replace(shared, reasons=plan.reasons, overrides=plan.overrides) == plan


def test_the_expected_dice_comes_along(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_contents, "read_calibration", lambda run: CALIBRATION)
    write_bundle(tmp_path / "a.zip", chosen(run))
    predictor = Predictor.load(tmp_path / "a.zip", device="cpu")
    assert predictor.calibration == CALIBRATION
    assert Predictor.load(tmp_path / "a.zip", device="cpu", tta=False).calibration == CALIBRATION
    outcome = predictor.predict_files(images(tmp_path / "in", "hand"), tmp_path / "out")
    assert (outcome.done, (tmp_path / "out/confidence.csv").is_file()) == (["hand"], True)
    other = edit_json(contents(tmp_path / "a.zip"), "confidence.json", lambda content: content.update(classes=["a", "b"]))
    with pytest.raises(FileFormatError, match=r"confidence\.json in .* is of other classes"):
        Predictor.load(pack(tmp_path / "b.zip", other), device="cpu")


def test_an_export_that_fails_leaves_the_earlier_file(run: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.zip", chosen(run))
    before = (tmp_path / "a.zip").read_bytes()
    file = run / "fold1/checkpoint_last.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(FileFormatError, match="fold1"):
        write_bundle(tmp_path / "a.zip", chosen(run))
    assert (tmp_path / "a.zip").read_bytes() == before
    assert [path.name for path in tmp_path.glob(".tmp*")] == []


@pytest.mark.parametrize("write", [write_bundle, write_onnx])
def test_folds_that_predict_refuses_are_not_exported(write: Callable[..., object], tmp_path: Path) -> None:
    plant_run(tmp_path, tiny_plan(OVERLAPPING), "0")
    run = plant_run(tmp_path, tiny_plan(OVERLAPPING, patch=32), "1")
    with pytest.raises(UsageError, match="another plan than the folds before it") as predicting:
        Predictor.load(run, device="cpu")
    with pytest.raises(UsageError) as exporting:
        write(tmp_path / "a.zip", chosen(run))
    assert str(exporting.value) == str(predicting.value)
    assert not (tmp_path / "a.zip").exists()


def test_packed_anew_it_still_loads(run: Path, tmp_path: Path) -> None:
    """What the tests of strangers' bundles tamper with is whole to begin with."""
    write_bundle(tmp_path / "a.zip", chosen(run))
    predictor = Predictor.load(pack(tmp_path / "b.zip", contents(tmp_path / "a.zip")), device="cpu")
    np.testing.assert_array_equal(probabilities(predictor), probabilities(Predictor.load(run, device="cpu")))
