"""Which folds a prediction uses, and what it says where that is not clear."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autoseg.checkpoint import Checkpoint, save_checkpoint
from autoseg.errors import UsageError
from autoseg.infer.folds import choose_folds, find_folds, find_run
from tests import small


def plant(run: Path, *finished: str, started: tuple[str, ...] = ()) -> Path:
    for fold in (*finished, *started):
        folder = run / (f"fold{fold}" if fold.isdigit() else f"fold_{fold}")
        folder.mkdir(parents=True)
        (folder / "checkpoint_last.safetensors").touch()
        if fold in finished:
            (folder / "summary.json").touch()
    return run


def test_finished_folds_in_order(tmp_path: Path) -> None:
    run = plant(tmp_path / "default/2d-default", "3", "0", "all", started=("1",))
    assert list(find_folds(run)) == ["0", "3", "all"]
    assert find_folds(run)["all"] == run / "fold_all"


def test_a_copy_that_somebody_keeps_is_no_fold(tmp_path: Path) -> None:
    run = plant(tmp_path / "default/2d-default", "0")
    shutil.copytree(run / "fold0", run / "fold0_old")
    shutil.copytree(run / "fold0", tmp_path / "default/2d-kept/fold_all.old")
    assert find_folds(run) == {"0": run / "fold0"}
    assert choose_folds(run, ensemble=True).note == "fold 0"
    assert find_run(tmp_path) == run


def test_a_run_is_found_from_any_folder_above_it(tmp_path: Path) -> None:
    results = tmp_path / "HandBone"
    run = plant(results / "default/2d-default", "0")
    (results / "predictions/ensemble").mkdir(parents=True)
    for folder in (results, results / "default", run):
        assert find_run(folder) == run


def test_several_runs_are_listed(tmp_path: Path) -> None:
    plant(tmp_path / "default/2d-default", "0")
    plant(tmp_path / "default/2d-sgd", "0")
    plant(tmp_path / "default/2d-adam", started=("0",))
    with pytest.raises(UsageError, match="several trained runs: default/2d-default, default/2d-sgd"):
        find_run(tmp_path)


def plant_stage(results: Path, config: str, previous: str | None = None) -> Path:
    """A finished fold of a configuration, whose checkpoint says which stage comes before it."""
    plan = small.plan()
    channels = 1 + 2 * (previous is not None)
    stage = replace(small.stage(network=small.network(in_channels=channels)), name=config, previous=previous)
    run = plant(results / "default" / f"{config}-default", "0")
    checkpoint = Checkpoint(plan=replace(plan, stages={config: stage}), stage=config, fold="0", weights={"a": torch.zeros(1)})
    save_checkpoint(run / "fold0" / "checkpoint_last.safetensors", checkpoint)
    return run


def test_a_cascade_stands_for_both_of_its_stages(tmp_path: Path) -> None:
    lowres, cascade = plant_stage(tmp_path, "2d_lowres"), plant_stage(tmp_path, "2d_cascade", "2d_lowres")
    assert find_run(tmp_path) == cascade
    assert find_run(tmp_path, config="2d_lowres") == lowres
    plant_stage(tmp_path, "2d")
    with pytest.raises(UsageError, match="several trained runs: default/2d-default, default/2d_cascade-default, default/2d_lowres-default"):
        find_run(tmp_path)
    assert find_run(tmp_path, config="2d_cascade") == cascade


def test_nothing_trained_names_the_command(tmp_path: Path) -> None:
    run = plant(tmp_path / "default/2d_lowres-default", started=("0",))
    with pytest.raises(UsageError, match="autoseg train"):
        find_run(tmp_path)
    with pytest.raises(UsageError, match="autoseg train"):
        find_run(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"autoseg train 2d_lowres fold0\.\.4"):
        choose_folds(run)


def test_one_fold_needs_no_words(tmp_path: Path) -> None:
    run = plant(tmp_path / "2d-default", "2", started=("3",))
    choice = choose_folds(run)
    assert choice.folds == {"2": run / "fold2/checkpoint_last.safetensors"}
    assert choice.note == "fold 2"


def test_several_folds_need_a_word(tmp_path: Path) -> None:
    run = plant(tmp_path / "2d-default", "0", "2", "4", "all")
    with pytest.raises(UsageError, match=r"0, 2, 4, all.*--ensemble.*--folds fold0"):
        choose_folds(run)
    choice = choose_folds(run, ensemble=True)
    assert tuple(choice.folds) == ("0", "2", "4")
    assert choice.note == "3 of 5 folds"
    assert tuple(choose_folds(run, ["4", "0"]).folds) == ("0", "4")
    assert choose_folds(run, ["all"]).note == "fold all"


def test_a_fold_that_is_not_finished_is_named(tmp_path: Path) -> None:
    run = plant(tmp_path / "2d-default", "0", started=("1",))
    with pytest.raises(UsageError, match=r"not finished in .*: 1; finished are 0"):
        choose_folds(run, ["0", "1"])
