"""A cascade from end to end: two stages trained by folds, and new images through both."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg import Predictor
from autoseg.case import Case, LoadedCase
from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.errors import RunError, UsageError
from autoseg.geometry import Geometry
from autoseg.infer.case import Model, segment
from autoseg.infer.nets import load_net, plan_window
from autoseg.infer.record import checksum
from autoseg.infer.segmentation import Segmentation
from autoseg.io.json_files import load_json
from autoseg.io.probabilities import read_probabilities
from autoseg.planners.folds import Splits
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.previous import prepare_previous
from autoseg.preprocess.previous_store import PreviousStore
from autoseg.preprocess.store import PreparedStore, plan_key
from autoseg.recipe import Augmentation
from autoseg.trainers import Interrupted
from autoseg.workspace import Workspace
from tests import small
from tests.trainers import cascade

CHECKPOINT = "checkpoint_last.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages, two folds each, a few steps; write nothing into it."""
    root = tmp_path_factory.mktemp("cascade")
    cascade.plan_and_prepare(root)
    for config in ("2d_lowres", "2d_cascade"):
        cascade.train(root, config, "fold0..1")
    return root


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "w", copy_function=shutil.copy2))


def fold(root: Path, config: str, number: str) -> Path:
    return Workspace(root=root).fold_folder(cascade.NAME, "default", config, "default", number)


def test_channels_are_the_out_of_fold_probabilities(trained: Path) -> None:
    splits = load_json(Workspace(root=trained).splits_file(cascade.NAME), Splits)
    (folder,) = (trained / "preprocessed" / cascade.NAME / "previous").iterdir()
    plan = load_checkpoint(fold(trained, "2d_cascade", "0") / CHECKPOINT).plan
    place = Workspace(root=trained).store_folder(cascade.NAME, plan_key(plan, plan.stages["2d_cascade"]))
    store = PreparedStore(place, PreviousStore(folder))
    for number, part in enumerate(splits.folds):
        for name in part.val:
            said = read_probabilities(fold(trained, "2d_lowres", str(number)) / "validation" / "probabilities" / f"{name}.prob")
            case = store.open(name)
            assert case.previous is not None
            np.testing.assert_array_equal(case.previous[:], said)  # neither cropped nor resampled
    assert len(list(folder.iterdir())) == cascade.CASES


def test_a_checkpoint_names_the_net_before_it(trained: Path) -> None:
    for number in ("0", "1"):
        before = fold(trained, "2d_lowres", number) / CHECKPOINT
        assert load_checkpoint(before).previous == ""
        assert load_checkpoint(fold(trained, "2d_cascade", number) / CHECKPOINT).previous == checksum(before)


def test_the_ensemble_is_one_first_stage_and_every_second(trained: Path) -> None:
    results = trained / "results" / cascade.NAME
    predictor = Predictor.load(results)
    assert predictor.stage == "2d_cascade"
    before = predictor.model.previous
    assert before is not None
    assert (before.stage, len(before.model.nets), len(predictor.model.nets)) == ("2d_lowres", 2, 2)
    image = cascade.picture(3, seed=2)[0]
    first = Predictor.load(results / "default" / "2d_lowres-default").segment(image, probabilities=True).probabilities
    assert first is not None
    # By hand: the mean of the first stage's folds is what each second net sees.
    expected = np.mean([second(trained, number, image, first) for number in ("0", "1")], axis=0)
    got = predictor.segment(image, probabilities=True).probabilities
    assert got is not None
    assert np.abs(got.astype(float) - expected).max() <= 1
    changed = np.mean([second(trained, number, image, np.zeros_like(first)) for number in ("0", "1")], axis=0)
    assert np.abs(changed - expected).max() > 5


def second(root: Path, number: str, image: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the second stage's net of a fold makes of an image and given probabilities."""
    result = behind(load_checkpoint(fold(root, "2d_cascade", number) / CHECKPOINT), image, before).probabilities
    assert result is not None
    return result.astype(np.float64)


def behind(checkpoint: Checkpoint, image: NDArray[np.uint8], before: NDArray[np.uint8]) -> Segmentation:
    plan, device = checkpoint.plan, small.CPU
    model = Model(labels=plan.labels, nets=(load_net(checkpoint, device),), window=plan_window(plan, checkpoint.stage, device))
    loaded = LoadedCase(case=Case(name="a", images=()), image=image[None], geometry=Geometry.pixels(image.shape), labels=None)
    prepared = prepare(loaded, plan, stage=checkpoint.settings)
    return segment(model, prepared.image, prepared.meta, previous=prepare_previous(before, prepared.meta), probabilities=True)


def test_predict_ensemble_on_the_command_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "--ensemble", "-w", str(copy), "--device", "cpu"]
    cli.main(command, standalone_mode=False)
    assert "2d_cascade-default, 2 of 2 folds" in capsys.readouterr().out
    out = copy / "results" / cascade.NAME / "predictions" / "ensemble"
    assert {path.name for path in (out / "new00").iterdir()} == {"left one.png", "right one.png"}
    assert json.loads((out / "predict.json").read_text(encoding="utf-8"))["stage"] == "2d_cascade"
    cli.main(command, standalone_mode=False)
    assert "2 images finished before" in capsys.readouterr().out
    cli.main([*command, "--config", "2d_lowres", "-o", str(copy / "out")], standalone_mode=False)
    assert "with 2d_lowres-default" in capsys.readouterr().out


def test_a_finished_cascade_is_left_alone_and_a_retrained_first_stage_is_reported(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cascade.train(copy, "2d_cascade", "fold0")
    said = capsys.readouterr().out
    assert "fold0: is done" in said
    assert "Preparing" not in said  # all channels were there
    cascade.train(copy, "2d_lowres", "fold1", "--restart", "--seed", "7")
    with pytest.raises(RunError, match=r"fold0 was trained behind other nets of 2d_lowres.*--restart trains this fold anew"):
        cascade.train(copy, "2d_cascade", "fold0")
    results = copy / "results" / cascade.NAME
    assert Predictor.load(results, ["0"]).model.previous is not None
    with pytest.raises(
        UsageError, match=r"fold 1 of 2d_cascade-default needs fold 1 .*fold1/checkpoint_last.safetensors has changed since"
    ):
        Predictor.load(results)
    cascade.train(copy, "2d_cascade", "fold1", "--restart")
    assert Predictor.load(results).source.note == "2 of 5 folds"


def test_a_net_that_is_gone_is_named(copy: Path) -> None:
    shutil.rmtree(fold(copy, "2d_lowres", "0"))
    with pytest.raises(
        UsageError, match=r"2d_lowres-default/fold0/checkpoint_last.safetensors is missing.*train 2d_cascade fold0 --restart"
    ):
        Predictor.load(copy / "results" / cascade.NAME, ["0", "1"])


def test_fold_all_stands_behind_all_folds(copy: Path) -> None:
    cascade.train(copy, "2d_cascade", "all")
    checkpoint = load_checkpoint(fold(copy, "2d_cascade", "all") / CHECKPOINT)
    assert checkpoint.previous.split(",") == [checksum(fold(copy, "2d_lowres", number) / CHECKPOINT) for number in ("0", "1")]
    predictor = Predictor.load(copy / "results" / cascade.NAME, ["all"])
    assert predictor.model.previous is not None
    assert (len(predictor.model.nets), len(predictor.model.previous.model.nets)) == (1, 2)


def test_the_second_stage_believes_the_first(tmp_path: Path) -> None:
    # A patch holds the disc and not the mark: only the channels say which class the disc is.
    plan = cascade.plan_and_prepare(tmp_path, iterations=160, iterations_per_epoch=80)
    cascade.plant_lowres(tmp_path, plan)
    cascade.train(tmp_path, "2d_cascade", "fold0", "--lr", "0.03")
    summary = json.loads((fold(tmp_path, "2d_cascade", "0") / "summary.json").read_text(encoding="utf-8"))
    assert summary["mean"]["dice"] > 0.8
    checkpoint = load_checkpoint(fold(tmp_path, "2d_cascade", "0") / CHECKPOINT)
    image, truth = cascade.picture(0)
    for k, before in enumerate((cascade.oracle("case00"), cascade.oracle("case00")[::-1])):
        masks = np.asarray(behind(checkpoint, image, before).array)
        assert dice(masks[k], truth) > 0.8
        assert masks[1 - k].sum() < 0.1 * truth.sum()


def test_a_cascade_that_was_stopped_ends_in_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Everything of the previous channels' own augmentation is on.
    changed = small.recipe(augmentation=Augmentation(previous_morphology_p=1.0, previous_removal_p=1.0))
    plan = cascade.plan_and_prepare(tmp_path / "a", recipe=changed, iterations=7, mirror_axes=(1,), mirror_swap=(1, 0))
    cascade.plant_lowres(tmp_path / "a", plan)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy2)
    cascade.train(tmp_path / "a", "2d_cascade", "fold0")
    steps = 0

    def step(self: Screen, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Screen, "step", step)
        with pytest.raises(Interrupted, match="Stopped at iteration 3"):
            cascade.train(tmp_path / "b", "2d_cascade", "fold0")
    cascade.train(tmp_path / "b", "2d_cascade", "fold0")
    ours, theirs = (load_checkpoint(fold(tmp_path / name, "2d_cascade", "0") / CHECKPOINT) for name in "ab")
    assert ours.previous == theirs.previous != ""
    assert [name for name in ours.weights if not torch.equal(ours.weights[name], theirs.weights[name])] == []


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
