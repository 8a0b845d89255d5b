"""The Python API, and files in and out: what is written, skipped, done again and reported."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from autoseg.case import Case, Dataset
from autoseg.errors import UsageError
from autoseg.io.rle import decode_rle
from autoseg.io.submission import read_submission
from autoseg.predictor import Predictor
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, images, plant_run, tiny_plan


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


@pytest.fixture
def overlapping(tmp_path: Path) -> Predictor:
    plant_run(tmp_path / "Tiny", tiny_plan(OVERLAPPING), "0", "1")
    return Predictor.load(tmp_path / "Tiny", device="cpu")


def test_three_lines(overlapping: Predictor) -> None:
    masks = overlapping(noise(20, 24))
    assert isinstance(masks, dict)
    assert list(masks) == ["bright", "손/any"]
    assert all(mask.shape == (20, 24) and mask.dtype == np.bool_ for mask in masks.values())


def test_exclusive_classes_give_a_map(tmp_path: Path) -> None:
    plant_run(tmp_path, tiny_plan(EXCLUSIVE, num_axes=3, slice_axis=0), "3")
    result = Predictor.load(tmp_path)(noise(4, 20, 24))
    assert isinstance(result, np.ndarray)
    assert result.shape == (4, 20, 24)
    assert set(np.unique(result)) <= {0, 7, 300}


def test_the_ensemble_is_the_mean_of_its_folds(tmp_path: Path) -> None:
    run = plant_run(tmp_path, tiny_plan(OVERLAPPING), "0", "1")
    image = noise(16, 16)

    def bytes_of(*folds: str) -> NDArray[np.float64]:
        probabilities = Predictor.load(run, folds or None).segment(image, probabilities=True).probabilities
        assert probabilities is not None
        return probabilities.astype(np.float64)

    assert np.abs((bytes_of("0") + bytes_of("1")) / 2 - bytes_of()).max() <= 1


def test_a_spacing_is_heeded_where_the_plan_resamples(tmp_path: Path) -> None:
    plant_run(tmp_path, tiny_plan(EXCLUSIVE, spacing=(1.0, 1.0)), "0")
    predictor = Predictor.load(tmp_path)
    for spacing in (None, (0.5, 2.0)):
        result = predictor(noise(1, 30, 22), spacing)
        assert isinstance(result, np.ndarray)
        assert result.shape == (30, 22)


@pytest.mark.parametrize("image", [noise(3, 20, 24), noise(20), np.full((20, 24), np.nan), np.array("hand.png"), np.array(None)])
def test_a_wrong_image_is_named(overlapping: Predictor, image: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="image must"):
        overlapping(image)


def test_folds_of_different_plans_are_no_ensemble(tmp_path: Path) -> None:
    plant_run(tmp_path, tiny_plan(OVERLAPPING), "0")
    plant_run(tmp_path, tiny_plan(OVERLAPPING, patch=32), "1")
    with pytest.raises(UsageError, match="another plan"):
        Predictor.load(tmp_path)


def test_masks_and_the_submission_are_written(overlapping: Predictor, tmp_path: Path) -> None:
    cases = images(tmp_path / "in", "hand 1", "hand 2")
    dataset = Dataset(name="Tiny", root=tmp_path, layout="", classes=OVERLAPPING.classes, submission="rle-csv")
    seen: list[tuple[int, int]] = []
    outcome = overlapping.predict_files(cases, tmp_path / "out", dataset=dataset, progress=lambda *at: seen.append(at))
    assert (outcome.done, outcome.failures, seen) == (["hand 1", "hand 2"], {}, [(1, 2), (2, 2)])
    expected = overlapping(noise(20, 24, seed=1))
    assert isinstance(expected, dict)
    rows = {(row.image_name, row.class_name): row.rle for row in read_submission(tmp_path / "out/submission.csv")}
    assert len(rows) == 4
    for name, file in (("bright", "bright.png"), ("손/any", "손%2Fany.png")):
        with Image.open(tmp_path / "out/hand 2" / file) as picture:
            mask = np.asarray(picture)
        assert set(np.unique(mask)) <= {0, 255}
        np.testing.assert_array_equal(mask > 0, expected[name])
        np.testing.assert_array_equal(decode_rle(rows["hand 2.png", name], (20, 24)), expected[name])
    record = json.loads((tmp_path / "out/predict.json").read_text(encoding="utf-8"))
    assert (record["ensemble"], sorted(record["folds"]), record["run"]) == ("2 of 5 folds", ["0", "1"], "default/2d-default")


def test_a_map_is_written_for_exclusive_classes(tmp_path: Path) -> None:
    plant_run(tmp_path / "Tiny", tiny_plan(EXCLUSIVE), "0")
    predictor = Predictor.load(tmp_path / "Tiny", tta=False)
    assert predictor.predict_files(images(tmp_path / "in", "a"), tmp_path / "out").done == ["a"]
    with Image.open(tmp_path / "out/a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), predictor(noise(20, 24)))


def test_what_is_finished_is_skipped_and_what_changed_is_not(overlapping: Predictor, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", "a", "b", "c"), tmp_path / "out"
    dataset = Dataset(name="Tiny", root=tmp_path, layout="", classes=OVERLAPPING.classes, submission="rle-csv")
    overlapping.predict_files(cases, out, dataset=dataset)
    submission = (out / "submission.csv").read_bytes()
    (out / "submission.csv").unlink()
    assert overlapping.predict_files(cases, out, dataset=dataset).skipped == ["a", "b", "c"]
    assert (out / "submission.csv").read_bytes() == submission
    (out / "b" / "bright.png").unlink()
    Image.fromarray(noise(20, 24, seed=9)).save(cases[2].images[0])
    outcome = overlapping.predict_files(cases, out)
    assert (outcome.skipped, outcome.done) == (["a"], ["b", "c"])
    assert overlapping.predict_files(cases, out, overwrite=True).done == ["a", "b", "c"]


def test_another_model_or_option_predicts_again(tmp_path: Path) -> None:
    run = plant_run(tmp_path / "Tiny", tiny_plan(OVERLAPPING), "0", "1")
    cases, out = images(tmp_path / "in", "a"), tmp_path / "out"
    for folds, step in ((["0"], 0.5), (["0", "1"], 0.5), (["0", "1"], 0.25)):
        assert Predictor.load(run, folds, step=step).predict_files(cases, out).done == ["a"]
    assert Predictor.load(run, ["0", "1"], step=0.25).predict_files(cases, out).skipped == ["a"]
    (out / "predict.json").write_text("{broken")
    assert Predictor.load(run, ["0", "1"], step=0.25).predict_files(cases, out).done == ["a"]


def test_a_case_that_fails_stops_no_other(overlapping: Predictor, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", "a", "b", "c"), tmp_path / "out"
    overlapping.predict_files(cases, out)
    data = cases[1].images[0].read_bytes()
    cases[1].images[0].write_bytes(data[: len(data) // 2])
    outcome = overlapping.predict_files(cases, out)
    assert outcome.skipped == ["a", "c"]
    assert "b.png" in outcome.failures["b"]
    assert not (out / "b").exists()  # no mask of an image that is not there any more
    cases[1].images[0].write_bytes(data)
    assert overlapping.predict_files(cases, out).done == ["b"]


def test_images_of_one_name_spoil_the_submission_alone(overlapping: Predictor, tmp_path: Path) -> None:
    (first,), (second,) = images(tmp_path / "one", "hand"), images(tmp_path / "two", "hand")
    cases = [Case(name="one/hand", images=first.images), Case(name="two/hand", images=second.images)]
    dataset = Dataset(name="Tiny", root=tmp_path, layout="", classes=OVERLAPPING.classes, submission="rle-csv")
    outcome = overlapping.predict_files(cases, tmp_path / "out", dataset=dataset)
    assert outcome.done == ["one/hand", "two/hand"]
    assert "hand.png" in outcome.failures["submission.csv"]


def test_each_net_is_asked_whether_cudnn_can_compute_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("autoseg.infer.nets.warn_of_volumes", lambda *arguments: asked.append(arguments))
    Predictor.load(plant_run(tmp_path, tiny_plan(OVERLAPPING, num_axes=3), "0", "1"), device="cpu")
    assert asked == [(3, "fp32", torch.device("cpu"))] * 2


def test_several_devices_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = plant_run(tmp_path, tiny_plan(OVERLAPPING), "0")
    monkeypatch.setattr("autoseg.infer.devices.check_cuda", lambda device: None)
    with pytest.raises(UsageError, match="runs on one device"):
        Predictor.load(run, device="cuda:0,1")
    with pytest.raises(UsageError, match="--device gpu"):
        Predictor.load(run, device="gpu")


def test_nothing_to_predict_is_an_error(overlapping: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to predict"):
        overlapping.predict_files([], tmp_path / "out")
