"""select, and predict --ensemble with what it chose."""

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli.selected import print_selection
from autoseg.infer.expected import read_expected
from autoseg.io.json_files import save_json
from autoseg.io.names import escape_name
from autoseg.io.probabilities import write_probabilities
from autoseg.metrics.paired import Paired
from autoseg.planners.folds import Fold, Splits
from tests.cli.conftest import Autoseg
from tests.infer.plans import OVERLAPPING, plant_run, tiny_plan
from tests.io.make import write_picture
from tests.select.make import selection_of

NAMES = [f"p{n}{side}" for n in range(8) for side in "lr"]
PREDICT = ("predict", "--ensemble", "-i", "new", "-o", "out", "--no-tta", "--device", "cpu")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight persons' hands, and two runs: one finds the first class with stray pixels, the other nothing."""
    results, rng = tmp_path / "results/Tiny", np.random.default_rng(0)
    plant_run(results, tiny_plan(OVERLAPPING), "0", "1")
    plant_run(results / "blind", tiny_plan(OVERLAPPING), "0", "1")
    (results / "blind/default").rename(results / "blank")
    (results / "blind").rmdir()
    halves = NAMES[:8], NAMES[8:]
    groups = tuple((NAMES[k], NAMES[k + 1]) for k in range(0, 16, 2))
    folds = tuple(Fold(train=tuple(halves[1 - k]), val=tuple(halves[k])) for k in (0, 1))
    save_json(tmp_path / "preprocessed/Tiny/splits.json", Splits(rule="groups", seed=0, groups=groups, folds=folds))
    for fold, names in enumerate(halves):
        for name in names:
            masks = np.zeros((2, 20, 24), bool)
            masks[0, 2:8, 3:9] = masks[1, 10:16, 4 : 6 + rng.integers(1, 9)] = True
            write_picture(tmp_path / f"raw/Tiny/imagesTr/{name}.png", rng.integers(0, 255, (20, 24)).astype(np.uint8))
            said = np.where(masks, 0.9, 0.0)
            said[0, 15, 20] = 0.9
            for label, mask in zip(OVERLAPPING.classes, masks, strict=True):
                write_picture(tmp_path / f"raw/Tiny/labelsTr/{name}/{escape_name(label)}.png", mask.astype(np.uint8) * 255)
            for run, values in ((results / "default", said), (results / "blank", said * 0)):
                write_probabilities(run / f"2d-default/fold{fold}/validation/probabilities/{name}.prob", values)
    write_picture(tmp_path / "new/x.png", rng.integers(0, 255, (20, 24)).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_select_and_predict(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg("select", "--workers", "1")
    assert done.code == 0, done.err
    assert "Judged on 8 groups of 16 cases" in done.out
    assert "largest component  bright" in done.out
    assert "Chosen: default/2d-default, post-processing of 1 class" in done.out
    assert done.out.splitlines()[-1] == "Next: autoseg predict --ensemble"
    chosen = json.loads((workspace / "results/Tiny/selection.json").read_text(encoding="utf-8"))
    assert chosen["combination"]["weights"] == [[0.0, 1.0], [0.0, 1.0]]
    assert [member["run"] for member in chosen["members"]] == ["blank/2d-default", "default/2d-default"]
    predicted = autoseg(*PREDICT)
    assert predicted.code == 0, predicted.err
    assert "Predicting 1 image with default/2d-default, post-processing of 1 class (selection.json), on cpu" in predicted.out
    record = json.loads((workspace / "out/predict.json").read_text(encoding="utf-8"))
    assert record["selection"]
    assert record["run"] == "default/2d-default"
    assert (workspace / "out/x/bright.png").is_file()
    again = autoseg(*PREDICT)
    assert "1 image finished before" in again.out


def test_what_is_chosen_has_an_expected_dice(autoseg: Autoseg, workspace: Path) -> None:
    assert autoseg("select", "--workers", "1").code == 0
    flipped = [word for word in PREDICT if word != "--no-tta"]
    predicted = autoseg(*flipped)
    assert "Expected Dice: mean " in predicted.out
    (expected,) = read_expected(workspace / "out/confidence.csv").values()
    # The nets are not those whose probabilities were planted: what they say is empty or unlike it, and lies in the interval's bounds.
    assert tuple(expected) == OVERLAPPING.classes
    assert all(0 <= low <= dice <= high <= 1 for dice, low, high in expected.values())
    file = workspace / "results/Tiny/selection.json"
    chosen = json.loads(file.read_text(encoding="utf-8"))
    assert chosen["calibration"]["cases"] == 16
    file.write_text(json.dumps(chosen | {"calibration": None}), encoding="utf-8")
    without = autoseg(*flipped, "--overwrite")
    assert "No expected Dice: selection.json holds no calibration" in without.out
    assert not (workspace / "out/confidence.csv").exists()


def test_predict_without_the_selection(autoseg: Autoseg, workspace: Path) -> None:
    assert autoseg("select", "--workers", "1", "--members", "default/2d-default").code == 0
    several = autoseg(*PREDICT, "--no-selection")
    assert several.code == 2
    assert "several trained runs" in several.err
    named = autoseg(*PREDICT, "--plan", "blank")
    assert named.code == 0, named.err
    assert "selection.json is not used: --plan asks for one run" in named.out
    with_it = autoseg(*PREDICT)
    assert "1 image finished before" not in with_it.out, "they were made with other nets"
    assert "Not judged" not in with_it.out, "blank was left out by a person"


def test_a_run_that_was_trained_since_is_named(autoseg: Autoseg, workspace: Path) -> None:
    assert autoseg("select", "--workers", "1").code == 0
    plant_run(workspace / "results/Tiny/late", tiny_plan(OVERLAPPING), "0", "1")
    (workspace / "results/Tiny/late/default").rename(workspace / "results/Tiny/new")
    done = autoseg(*PREDICT)
    assert "selection.json: new/2d-default; autoseg select would" in done.out


def test_a_run_of_classes_that_the_data_set_has_no_more(autoseg: Autoseg, workspace: Path) -> None:
    for folder in (workspace / "raw/Tiny/labelsTr").iterdir():
        (folder / "bright.png").rename(folder / "dark.png")
    done = autoseg("select", "--workers", "1")
    assert done.code == 2
    assert "blank/2d-default was trained for other classes, or for the same ones in another order, than" in done.err
    again = "autoseg plan_and_preprocess --plan NAME -d Tiny, then autoseg train 2d fold0..1 --plan NAME -d Tiny."
    assert f"bright, 손/any and dark, 손/any. Plan and train again: {again}" in done.err
    assert not (workspace / "results/Tiny/selection.json").exists()


def test_what_a_vote_gains_is_said_to_be_of_single_nets(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = workspace / "results/Tiny"
    for runs, is_said in ((("default/2d-default", "blank/2d-default"), True), (("default/2d-default",), False)):
        chosen = selection_of(results, OVERLAPPING, *runs, total_of_class=dict.fromkeys(OVERLAPPING.classes, Paired(n=0, units=0)))
        print_selection(chosen)
        assert ("Here each member was one net" in capsys.readouterr().out) == is_said


def test_mistakes(autoseg: Autoseg, workspace: Path) -> None:
    unknown = autoseg("select", "--members", "2d")
    assert (unknown.code, "--members: 2d is not trained" in unknown.err) == (2, True)
    (workspace / "results/Tiny/default/2d-default/fold1/validation/probabilities/p4l.prob").write_bytes(b"")
    damaged = autoseg("select")
    assert damaged.code == 2
    assert "p4l.prob is no file of probabilities" in damaged.err
    assert not (workspace / "results/Tiny/selection.json").exists()
    (workspace / "preprocessed/Tiny/splits.json").unlink()
    unplanned = autoseg("select")
    assert (unplanned.code, "splits.json does not exist" in unplanned.err) == (2, True)


def test_a_run_that_is_chosen_alone_predicts_as_it_is(autoseg: Autoseg, workspace: Path) -> None:
    """It says nothing, so that nothing can be cut or cleaned: the files are those of the run itself."""
    assert autoseg("select", "--workers", "1", "--members", "blank/2d-default").code == 0
    done = autoseg(*PREDICT)
    assert "selection.json says: blank/2d-default alone, without thresholds or post-processing" in done.out
    assert json.loads((workspace / "out/predict.json").read_text(encoding="utf-8"))["selection"] == ""
    assert "1 image finished before" in autoseg(*PREDICT, "--no-selection", "--plan", "blank").out
