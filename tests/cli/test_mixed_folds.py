"""Folds of one run are of one plan and of the same folds of the data: train, select, export and predict see it alike."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoseg.cli.replaced import cut_off
from autoseg.io.json_files import load_json, save_json
from autoseg.io.locks import locked
from autoseg.plan import Plan
from autoseg.planners.folds import Fold, Splits
from autoseg.workspace import LOCK, Workspace
from tests.cli.conftest import Autoseg
from tests.trainers.make import NAME, plan_and_prepare

QUICK = ("--epochs", 1, "--iterations-per-epoch", 1)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold 0 is trained."""
    from click.testing import CliRunner

    from autoseg.cli import cli

    root = tmp_path_factory.mktemp("begun")
    plan_and_prepare(root)
    done = CliRunner().invoke(cli, [*map(str, ("train", "2d", "fold0", *QUICK, "-w", root))])
    assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def root(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "w", copy_function=shutil.copy2))


def replan(root: Path, **changes: Any) -> tuple[Path, Path]:
    """Another plan of the same name, the earlier one set aside."""
    file = Workspace(root=root).plan_file(NAME, "default")
    earlier = file.parent.with_name("plan_default_earlier.json")
    shutil.copy(file, earlier)
    plan = load_json(file, Plan)
    save_json(file, replace(plan, stages={"2d": replace(plan.stages["2d"], **changes)}))
    return file, earlier


def deal_anew(root: Path) -> None:
    """Folds 0 and 1 exchange a validation case."""
    file = Workspace(root=root).splits_file(NAME)
    splits = load_json(file, Splits)
    one, two, *others = splits.folds
    a, b = one.val[0], two.val[0]

    def exchanged(fold: Fold) -> Fold:
        other = {a: b, b: a}
        return replace(fold, **{part: tuple(other.get(name, name) for name in getattr(fold, part)) for part in ("train", "val")})

    save_json(file, replace(splits, folds=(exchanged(one), exchanged(two), *others)))


def test_a_fold_of_another_plan_is_refused_with_the_ways_out(autoseg: Autoseg, root: Path) -> None:
    file, earlier = replan(root, patch=(16, 16))
    done = autoseg("train", "2d", "fold1", *QUICK, "-w", root)
    assert done.code == 2, done.out
    assert "fold0 of" in done.err
    assert "patch (32, 32) -> (16, 16)" in done.err
    assert f"autoseg train 2d fold0 --epochs 1 --iterations-per-epoch 1 --restart -w {root}" in done.err
    assert f"copy {file} to {file.with_name('NAME.json')} and train that: --plan NAME" in done.err
    assert f"copy {earlier} to {file}" in done.err
    assert not (root / "results" / NAME / "default/2d-default/fold1").exists()
    # The ways out are open.
    assert autoseg("train", "2d", "fold0", *QUICK, "--restart", "-w", root).code == 0
    assert autoseg("train", "2d", "fold1", *QUICK, "-w", root).code == 0
    shutil.copy(earlier, file)
    done = autoseg("train", "2d", "fold1", *QUICK, "--restart", "-w", root)
    assert done.code == 2
    assert "autoseg train 2d fold0,1 " in done.err
    assert autoseg("train", "2d", "fold0,1", *QUICK, "--restart", "-w", root).code == 0


def test_the_earlier_plan_continues_its_run(autoseg: Autoseg, root: Path) -> None:
    file, earlier = replan(root, patch=(16, 16))
    done = autoseg("train", "2d", "fold0", *QUICK, "-w", root)
    assert done.code == 2
    assert "Give the settings" not in done.err
    assert f"{earlier} is its plan: copied to plans/default.json it continues the run." in done.err
    shutil.copy(earlier, file)
    assert autoseg("train", "2d", "fold0,1", *QUICK, "-w", root).code == 0


def test_another_length_is_no_other_plan(autoseg: Autoseg, root: Path) -> None:
    replan(root, iterations=17)
    done = autoseg("train", "2d", "fold1", *QUICK, "-w", root)
    assert done.code == 0, done.err
    assert "Warning" not in done.out


def test_the_same_decoder_in_other_words_is_no_other_plan(autoseg: Autoseg, root: Path) -> None:
    file = Workspace(root=root).plan_file(NAME, "default")

    def write(convs: int, up: int | None) -> None:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["stages"]["2d"]["network"] |= {"convs": convs, "decoder_convs": up}
        file.write_text(json.dumps(content), encoding="utf-8")

    write(2, None)
    assert autoseg("train", "2d", "fold0", *QUICK, "--restart", "-w", root).code == 0
    write(2, 2)
    done = autoseg("train", "2d", "fold0,1", *QUICK, "-w", root)
    assert done.code == 0, done.err
    write(2, 1)
    done = autoseg("train", "2d", "fold2", *QUICK, "-w", root)
    assert done.code == 2
    assert "(network.decoder_convs 2 -> 1)" in done.err


def test_folds_of_earlier_cases_are_told_of(autoseg: Autoseg, root: Path) -> None:
    deal_anew(root)
    again = f"autoseg train 2d fold0 --epochs 1 --iterations-per-epoch 1 --restart -w {root}"
    done = autoseg("train", "2d", "fold1..4", *QUICK, "-w", root)
    assert done.code == 0, done.err
    assert f"train again: {again}" in done.out
    status = autoseg("status", "-w", root).out
    assert status.count("on earlier cases than the fold has now") == 1
    assert f"Next: {again.replace(' -w', f' -d {NAME} -w')}" in status
    done = autoseg("select", "-w", root)
    assert done.code == 2, done.out
    assert "fold 0 was trained on other cases than splits.json has for it now" in done.err
    assert f"Train it again: {again}." in done.err
    done = autoseg("train", "2d", "fold0", *QUICK, "-w", root)
    assert "Give the settings" not in done.err
    assert "--restart discards it and begins anew on what is there now." in done.err
    assert autoseg(*again.split()[1:]).code == 0
    assert "Warning" not in autoseg("train", "2d", "fold0..4", *QUICK, "-w", root).out
    assert autoseg("select", "-w", root).code == 0


def test_a_plan_that_is_replaced_names_its_runs(root: Path) -> None:
    place = Workspace(root=root)
    plan = load_json(place.plan_file(NAME, "default"), Plan)
    stage = plan.stages["2d"]
    timed = replace(plan, stages={"2d": replace(stage, step_s=9.0, reasons={"a": "b"})})
    other = replace(plan, stages={"2d": replace(stage, patch=(16, 16))})
    assert cut_off(place, plan, timed) == ""
    assert cut_off(place, replace(plan, name="x"), replace(other, name="x")) == ""
    assert cut_off(place, plan, other) == "\n  Trained by the earlier plan, and not continued by this one: default/2d-default"
    assert cut_off(place, plan, replace(plan, fingerprint="other")) == cut_off(place, plan, other)
    with locked(place.fold_folder(NAME, "default", "2d", "default", "0") / LOCK, "trained"):
        assert "\n  In training right now, by the earlier plan: default/2d-default/fold0" in cut_off(place, plan, other)
