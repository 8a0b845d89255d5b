"""Wrong input through the commands: one message, exit code 2, nothing already made is touched."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.cli.screen import Screen
from autoseg.io.json_files import load_json
from autoseg.plan import Plan
from autoseg.planners import PLANNERS
from tests.badinput.conftest import TRAIN
from tests.badinput.test_datasets import CASES, contents
from tests.cli.conftest import Autoseg, Done
from tests.io.make import write_picture

RUN = Path("results/HandBone/default/2d-default")
PLAN = Path("preprocessed/HandBone/plans/default.json")
SPLITS = Path("preprocessed/HandBone/splits.json")
TRAIN_0 = (*TRAIN, "fold0")
TRAIN_2 = (*TRAIN, "fold2")
ENSEMBLE = ("predict", "--ensemble", "--device", "cpu")


def assert_refused(done: Done, *said: str) -> None:
    """One message on stderr with all of `said`, exit code 2."""
    assert done.code == 2, done
    assert done.err.count("Error: ") == 1, done.err
    assert "Traceback" not in done.out + done.err
    assert [text for text in said if text not in done.err] == [], done.err
    # What a program says, not a person: half-printed types, seventeen digits, floats for whole numbers.
    assert not any(word in done.err for word in ("None", "PosixPath", "dataclass", "0000000", "kwarg"))


def check_refused(autoseg: Autoseg, workspace: Path, arguments: tuple[object, ...], *said: str) -> None:
    """The command is refused and no file of the workspace is changed, made or removed."""
    before = contents(workspace)
    assert_refused(autoseg(*arguments, "-w", workspace), *said)
    assert contents(workspace) == before


@pytest.mark.parametrize(("make", "file", "message"), CASES, ids=[case[0].__name__ for case in CASES])
def test_wrong_data(autoseg: Autoseg, tmp_path: Path, make: Callable[[Path], None], file: str, message: str) -> None:
    root = tmp_path / "raw" / "D"
    root.parent.mkdir()
    make(root)
    before = contents(root)
    assert_refused(autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", tmp_path), str(root / file), message)
    assert contents(root) == before
    assert not (tmp_path / "preprocessed").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("plan_and_preprocess --gpu nonsense", "--gpu nonsense is not known. Known are v100-32gb"),
        ("plan_and_preprocess --gpu cpu --configs nonsense", "--configs nonsense is not a configuration; there are 2d"),
        ("plan_and_preprocess --hours -1", "--hours must be positive, got -1"),
        ("plan_and_preprocess --hours nan", "--hours must be a finite number, got nan"),
        ("plan_and_preprocess --gpu-memory nan", "--gpu-memory must be a finite number, got nan"),
        ("plan_and_preprocess --gpu-memory -1", "--gpu-memory must be positive, got -1"),
        ("plan_and_preprocess --plan ../x", "--plan ../x: a plan's name becomes a file name"),
        ("plan_and_preprocess --plan predictions", "--plan predictions"),
        ("train 2d fold0 --plan a/b", "--plan a/b"),
        ("plan_and_preprocess -d Nothing", "-d Nothing: no such data set in"),
        ("train 2d fold0 --trainer nonsense", "--trainer nonsense is not known; there are default, sgd, adamw"),
        ("train 2d fold0 --loss dice", "--loss dice is not known; there are dice_ce, dice_bce, dice_focal"),
        ("train 2d fold0 --optimizer nadam", "--optimizer nadam is not known; there are sgd, adam, adamw, lion, rmsprop"),
        ("train 2d fold0 --schedule linear", "--schedule linear is not known; there are poly, cosine, step, constant, plateau"),
        ("train 2d fold0 --warmup 1", "--warmup is a share of the training, in [0, 1), got 1"),
        ("train 2d fold2 --loss dice_ce", "--loss dice_ce: the classes of plan default overlap; the same loss for them is --loss dice_bce"),
        ("train 2d nonsense", "nonsense names no folds; say fold0..4"),
        ("train 2d fold7", "there is no fold7: the data set is split into 5 folds, fold0..4"),
        ("train 2d fold4..0", "fold4..0 names no folds"),
        ("train 3d_fullres fold0", "3d_fullres is no configuration of plan default; it has 2d"),
        ("train 2d fold0 --hours inf", "--hours must be a finite number, got inf"),
        ("train 2d fold0 --lr nan", "--lr must be a finite number, got nan"),
        ("train 2d fold0 --lr 0", "--lr must be positive, got 0"),
        ("train 2d fold0 --seed -1", "-1 is not in the range x>=0"),
        ("train 2d fold0 --batch 0", "--batch must be at least 1, got 0"),
        ("train 2d fold2 --batch 1000000", "--batch 1000000 needs about"),
        ("train 2d fold0 --epochs 0", "--epochs must be at least 1, got 0"),
        ("train 2d fold0 --device tpu", "--device tpu is not understood; it is cpu, cuda, cuda:1"),
        ("predict", "holds 2 finished folds: 0, 1. Say --ensemble for all of them, or --folds fold0"),
        ("predict --step 2", "--step must lie above 0 and up to 1, got 2"),
        ("predict --step nan", "--step must lie above 0 and up to 1, got nan"),
        ("predict --folds fold2", "--folds: not finished in"),
        ("predict --folds fold7", "there is no fold7"),
        ("predict --folds ,", "names no folds"),
        ("predict --ensemble --device tpu", "--device tpu is not understood"),
        ("predict --ensemble --config 3d", "holds no run with --config 3d; trained are default/2d-default"),
        ("predict --ensemble -i nowhere.png", "-i nowhere.png: there is no such file or folder"),
        ("predict --ensemble --format masks,gif", "--format masks,gif: gif is not known; there are masks, map, rle, polygons, coco"),
        ("predict --ensemble --format ,", "--format ,: an empty name is not known"),
        ("predict --ensemble --format map", "--format map: the plan's classes overlap, and a map holds one class a pixel"),
        ("predict --ensemble --part 6/5", "--part 6/5: say which of how many, 2/5 for instance"),
        ("predict --ensemble --part 0/5", "--part 0/5: say which"),
        ("predict --ensemble --part 2", "--part 2: say which"),
    ],
)
def test_wrong_options(autoseg: Autoseg, trained: Path, arguments: str, said: str) -> None:
    check_refused(autoseg, trained, tuple(arguments.split()), said)


def test_options_of_the_recipe_are_differences(autoseg: Autoseg, trained: Path) -> None:
    arguments = ("train", "2d", "fold0", "--loss", "focal", "--optimizer", "lion", "--schedule", "step", "--warmup", 0.1)
    said = (
        "--loss: the plan's -> focal",
        "--optimizer: the plan's -> lion",
        "--schedule: the plan's -> step",
        "--warmup: the plan's -> 0.1",
    )
    check_refused(autoseg, trained, arguments, "fold0 holds a run with other settings", *said)


def test_a_weight_of_no_case(autoseg: Autoseg, workspace: Path) -> None:
    edit(workspace / PLAN, stage(recipe__case_weights={"nobody": 2}))
    check_refused(autoseg, workspace, TRAIN_2, "2d.recipe.case_weights of plan default names nobody, which is no case of")


def test_an_empty_name_is_not_the_current_folder(autoseg: Autoseg, trained: Path) -> None:
    check_refused(autoseg, trained, ("train", "2d", "0", "-d", ""), "-d is empty", "HandBone")


def test_nothing_trained_yet(autoseg: Autoseg, planned: Path) -> None:
    check_refused(autoseg, planned, ENSEMBLE, "results/HandBone", "Train first: autoseg train 2d fold0..4")


def test_no_plan_yet(autoseg: Autoseg, workspace: Path) -> None:
    (workspace / PLAN).unlink()
    check_refused(autoseg, workspace, TRAIN_2, "HandBone has no plan default", "autoseg plan_and_preprocess -d HandBone")


def test_other_options_are_listed_as_they_are_typed(autoseg: Autoseg, trained: Path) -> None:
    arguments = ("train", "2d", "fold0", "--epochs", 3, "--lr", 0.25, "--iterations-per-epoch", 1)
    check_refused(
        autoseg, trained, arguments, "fold0 holds a run with other settings", "--epochs: 1 -> 3", "--lr: the plan's -> 0.25", "--restart"
    )


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def stage(**values: Any) -> Callable[[dict[str, Any]], object]:
    """Sets keys of the plan's 2d stage; NETWORK__KEY reaches into its network."""

    def change(content: dict[str, Any]) -> None:
        target = content["stages"]["2d"]
        for key, value in values.items():
            *above, last = key.split("__")
            node = target
            for step in above:
                node = node[step]
            node[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(bogus=1), "bogus: unknown key"),
        (lambda d: d.pop("labels"), "labels: is missing"),
        (lambda d: d.update(stages={}), "stages: must hold at least one configuration"),
        (lambda d: d.update(dataset="Other"), "is the plan of the data set Other, not of HandBone"),
        (stage(patch=[50, 48]), "patch (50, 48) must be a multiple of"),
        (stage(patch=["x", 48]), "stages.2d.patch.0: must be a valid integer"),
        (stage(batch=0), "batch, iterations and iterations_per_epoch must be at least 1"),
        (stage(recipe__loss="dce"), "stages.2d.recipe.loss: must be 'dice_ce', 'dice_bce', 'dice_focal', 'focal', 'tversky', 'jaccard', "),
        (stage(recipe__loss="dice_ce"), "stages.2d: recipe.loss must not be 'dice_ce': the classes overlap"),
        (stage(recipe__class_weights={"Radius ": 2}), "stages.2d: recipe.class_weights must name classes of the plan, got 'Radius '"),
        (stage(recipe__loss_weights={"thumb": 2}), "stages.2d: recipe.loss_weights must name classes of the plan, got 'thumb'"),
        (stage(recipe__case_weights={"ID001": 0}), "stages.2d.recipe: case_weights must be positive, got 0.0 for ID001"),
        (stage(recipe__lr=-1), "lr must be positive, got -1.0"),
        (stage(priors=[0.1]), "stages.2d: priors must hold 29 numbers, one for each class, got 1"),
        (stage(network__num_heads=7), "stages.2d: network.num_heads must be 29, one for each class, got 7"),
        (stage(network__in_channels=3), "stages.2d: network.in_channels must be 1, one for each normalization, got 3"),
        (stage(spacing=[1.0]), "stages.2d: spacing must hold 2 numbers, one for each axis of the data, got 1"),
        (stage(name="3d"), "stages.2d: name must be '2d' like its key, got '3d'"),
    ],
)
def test_an_edited_plan(autoseg: Autoseg, workspace: Path, change: Callable[[dict[str, Any]], object], said: str) -> None:
    edit(workspace / PLAN, change)
    check_refused(autoseg, workspace, TRAIN_2, str(workspace / PLAN), said, "Mend it, or delete it and run plan_and_preprocess again")


def test_a_newer_plan(autoseg: Autoseg, workspace: Path) -> None:
    edit(workspace / PLAN, lambda d: d.update(version=99, new_key=1))
    check_refused(
        autoseg, workspace, TRAIN_2, str(workspace / PLAN), "is of version 99, newer than this autoseg (version 2); update autoseg"
    )


@pytest.mark.parametrize("file", [PLAN, SPLITS])
def test_a_damaged_file_of_the_plan(autoseg: Autoseg, workspace: Path, file: Path) -> None:
    (workspace / file).write_text('{"a": ', encoding="utf-8")
    check_refused(autoseg, workspace, TRAIN_2, str(workspace / file), "JSON")
    check_refused(autoseg, workspace, ("plan_and_preprocess", "--gpu", "cpu", "--workers", 1), str(workspace / file), "JSON", "Mend it")


def test_splits_that_put_a_case_on_both_sides(autoseg: Autoseg, workspace: Path) -> None:
    edit(workspace / SPLITS, lambda d: d["folds"][2]["val"].append(d["folds"][2]["train"][0]))
    check_refused(autoseg, workspace, TRAIN_2, str(workspace / SPLITS), "folds.2: cases stand in train and val of one fold")


def test_a_mistyped_case_in_the_splits_is_refused(autoseg: Autoseg, workspace: Path) -> None:
    edit(workspace / SPLITS, lambda d: d["folds"][2]["train"].append("nobody"))
    check_refused(autoseg, workspace, TRAIN_2, "fold2: nobody is not prepared. Run plan_and_preprocess again")
    done = autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace)
    assert done.code == 2
    assert "splits.json: its folds name cases that HandBone does not hold: nobody. Mend it, or delete it" in done.err


def test_splits_of_other_cases_are_kept_aside(autoseg: Autoseg, workspace: Path) -> None:
    def leave(content: dict[str, Any]) -> None:  # as if the data set had held one case more
        content["folds"][2]["train"].append("nobody")
        content["groups"].append(["nobody"])

    edit(workspace / SPLITS, leave)
    mine = (workspace / SPLITS).read_bytes()
    done = autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace)
    assert done.code == 0
    assert "splits_earlier.json" in done.out
    assert (workspace / SPLITS).with_name("splits_earlier.json").read_bytes() == mine


def test_a_damaged_fingerprint_is_measured_again(autoseg: Autoseg, workspace: Path) -> None:
    file = workspace / "preprocessed/HandBone/fingerprint.json"
    content = json.loads(file.read_bytes())
    file.write_text("garbage", encoding="utf-8")
    assert autoseg(*TRAIN_2, "-w", workspace).code == 0  # training reads the plan alone
    assert autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace).code == 0
    assert json.loads(file.read_bytes()) == content


def prepared_case(workspace: Path) -> Path:
    return sorted((workspace / "preprocessed/HandBone/cases").glob("*/*"))[0]


def test_a_prepared_case_cut_short(autoseg: Autoseg, workspace: Path) -> None:
    case = prepared_case(workspace)
    os.truncate(case / "image.b2nd", 10)
    check_refused(autoseg, workspace, (*TRAIN, "all"), f"fold_all: {case.name} is not prepared. Run plan_and_preprocess again")
    assert "1 case in" in autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", workspace).out
    assert autoseg(*TRAIN, "all", "-w", workspace).code == 0


def test_prepared_cases_damaged_at_the_same_size(autoseg: Autoseg, workspace: Path) -> None:
    for file in (workspace / "preprocessed/HandBone/cases").rglob("codes.b2nd"):
        file.write_bytes(b"x" * file.stat().st_size)
    done = autoseg(*TRAIN_2, "-w", workspace)
    assert_refused(done, "codes.b2nd is damaged. Delete the folder", "run plan_and_preprocess again")


def test_prepared_cases_that_are_gone(autoseg: Autoseg, workspace: Path) -> None:
    for case in (workspace / "preprocessed/HandBone/cases").glob("*/*"):
        (case / "case.json").unlink()
    check_refused(autoseg, workspace, TRAIN_0, "9 other cases are not prepared. Run plan_and_preprocess again")


def cut(data: bytes) -> bytes:
    return data[:1000]


def flip(data: bytes) -> bytes:
    return data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:]


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_checkpoint(autoseg: Autoseg, workspace: Path, damage: Callable[[bytes], bytes]) -> None:
    file = workspace / RUN / "fold0/checkpoint_last.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    advice = "Delete it and train the fold again, or predict with other folds (--folds)"
    check_refused(autoseg, workspace, ENSEMBLE, str(file), "damaged", advice)
    assert autoseg("predict", "--folds", 1, "--device", "cpu", "-w", workspace).code == 0
    (file.parent / "summary.json").unlink()
    check_refused(autoseg, workspace, TRAIN_0, str(file), "damaged", advice)
    file.unlink()
    done = autoseg(*TRAIN_0, "-w", workspace)
    assert done.code == 0
    assert "fold0: patch" in done.out  # from the beginning


@pytest.mark.parametrize("name", ["run.json", "summary.json"])
def test_a_damaged_file_of_a_run(autoseg: Autoseg, workspace: Path, name: str) -> None:
    file = workspace / RUN / "fold0" / name
    file.write_text("{", encoding="utf-8")
    check_refused(autoseg, workspace, TRAIN_0, str(file), "is damaged or was edited wrongly")


def test_a_fold_without_its_net_is_not_finished(autoseg: Autoseg, workspace: Path) -> None:
    (workspace / RUN / "fold0/checkpoint_last.safetensors").unlink()
    assert "fold0: patch" in autoseg(*TRAIN_0, "-w", workspace).out


def test_a_plan_for_a_gpu_without_a_gpu(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    edit(workspace / PLAN, lambda d: d["budget"].update(name="v100-32gb", kind="cuda"))
    check_refused(autoseg, workspace, TRAIN_2, "is for v100-32gb, and there is no GPU here", "--gpu cpu", "--device cpu")


def test_a_corrupt_image_among_those_to_predict(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    good = sorted((workspace / "raw/HandBone/test").rglob("*.png"))[0].read_bytes()
    images.mkdir()
    for name, data in (("a good one", good), ("cut", good[:200]), ("empty", b""), ("text", b"hello")):
        (images / f"{name}.png").write_bytes(data)
    write_picture(images / "colour.png", np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8))
    before = contents(images)
    done = autoseg(*ENSEMBLE, "-i", images, "-o", out, "-w", workspace)
    assert done.code == 1
    for name, why in (("cut", "truncated"), ("empty", "is empty"), ("text", "no image"), ("colour", "has 3 colour channels")):
        assert f"Failed: {name}: {images / f'{name}.png'}: " in done.err
        assert why in done.err
    assert f"Predictions of 1 image in {out}, 4 failed" in done.out
    assert len(list((out / "a good one").iterdir())) == 29
    assert len((out / "submission.csv").read_text(encoding="utf-8").splitlines()) == 1 + 29
    assert contents(images) == before
    assert "1 image finished before" in autoseg(*ENSEMBLE, "-i", images, "-o", out, "-w", workspace).out


def test_a_folder_without_images(autoseg: Autoseg, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_refused(autoseg, trained, (*ENSEMBLE, "-i", tmp_path / "empty"), "empty: the folder holds no image (.png")


def test_predictions_never_land_among_other_files(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_picture(images / "x.png", np.zeros((20, 30), np.uint8))
    check_refused(autoseg, workspace, (*ENSEMBLE, "-i", images, "-o", images), "lies in the folder of the images to predict")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-i", images, "-o", images / "out"), "lies in the folder of the images to predict")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-o", workspace / "raw/HandBone"), "is not empty and holds no predictions")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-i", images / "x.png", "-o", images), "is not empty and holds no predictions")
    assert [path.name for path in images.iterdir()] == ["x.png"]


def test_what_an_ensemble_of_some_folds_says(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg(*ENSEMBLE, "-w", workspace)
    assert done.code == 0
    assert "2 of 5 folds" in done.out
    record = json.loads((workspace / "results/HandBone/predictions/ensemble/predict.json").read_text(encoding="utf-8"))
    assert record["ensemble"] == "2 of 5 folds"
    assert list(record["folds"]) == ["0", "1"]
    assert "\r" not in done.out + done.err
    assert "\x1b" not in done.out + done.err


def test_a_place_that_cannot_be_written(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-o", file), str(file), "Check that it may be read and written, or use another folder")
    check_refused(autoseg, workspace, (*ENSEMBLE, "-o", file / "deeper"), str(file), "Check that it may be read and written")
    assert file.read_text(encoding="utf-8") == "mine"
    os.rename(workspace / "results", workspace / "results elsewhere")
    (workspace / "results").write_text("", encoding="utf-8")
    check_refused(autoseg, workspace, TRAIN_2, str(workspace / "results"), "Check that it may be read and written")


def test_a_name_that_another_folder_has(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "HandBone"
    other.mkdir(parents=True)
    check_refused(autoseg, workspace, ("plan_and_preprocess", "-d", other), "the name HandBone is taken by", "rename one of them")


def test_several_data_sets_are_listed(autoseg: Autoseg, workspace: Path) -> None:
    (workspace / "raw/Second").mkdir()
    (workspace / "preprocessed/last_planned.txt").unlink()
    check_refused(autoseg, workspace, TRAIN_2, "holds several data sets: HandBone, Second. Name one: -d HandBone")


@pytest.mark.parametrize(("restart", "said"), [((), "continues from there.\n"), (("--restart",), "Leave out --restart then")])
def test_a_stop_is_no_error(
    autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch, restart: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(Screen, "step", lambda *arguments: signal.raise_signal(signal.SIGINT))
    done = autoseg(*TRAIN_2, *restart, "-w", workspace)
    assert done.code == 130
    assert done.err.startswith("Stopped at iteration 1; ")
    assert done.err.endswith(said) or said in done.err


def test_a_second_training_names_all_finished_folds_for_the_next_command(autoseg: Autoseg, workspace: Path) -> None:
    assert "Next: autoseg predict --ensemble (or first" in autoseg(*TRAIN_2, "-w", workspace).out
    assert "Next: autoseg predict --folds all" in autoseg(*TRAIN, "all", "-w", workspace).out


def test_a_copied_workspace_is_a_workspace(autoseg: Autoseg, workspace: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(workspace, tmp_path / "copy", copy_function=shutil.copy2)
    done = autoseg("plan_and_preprocess", "--gpu", "cpu", "--workers", 1, "-w", copy)
    assert done.code == 0, done.err
    assert "Fingerprint: unchanged" in done.out
    assert "all 10 cases are there" in done.out


def test_another_plan_of_the_same_name_is_announced(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_json(workspace / PLAN, Plan)
    twice = replace(plan.stages["2d"], batch=plan.stages["2d"].batch * 2)
    monkeypatch.setitem(PLANNERS, "default", lambda facts, budget, request: replace(plan, budget=budget, stages={"2d": twice}))
    done = autoseg("plan_and_preprocess", "--gpu-memory", 4, "--workers", 1, "-w", workspace)
    assert f"Plan: {workspace / PLAN} replaces the one for cpu; --plan NAME keeps both" in done.out
    check_refused(autoseg, workspace, (*TRAIN_0, "--device", "cpu"), "holds a run with other settings", "--restart", "--plan NAME")


def test_a_raw_case_that_is_gone(autoseg: Autoseg, workspace: Path) -> None:
    prepared = prepared_case(workspace).name
    for file in (workspace / "raw/HandBone/train").rglob(f"{prepared}.*"):
        file.unlink()
    check_refused(autoseg, workspace, (*TRAIN, "all"), f"fold_all: {prepared} is no longer in", "Run plan_and_preprocess again")
