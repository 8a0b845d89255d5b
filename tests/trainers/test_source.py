"""--from: a fold starts from another one's weights; what was taken is said, written down, and held to."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autoseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from autoseg.cli import cli
from autoseg.cli.screen import Screen
from autoseg.errors import FileFormatError, RunError, UsageError
from autoseg.infer.record import checksum
from autoseg.io.interrupt import Interrupted
from autoseg.trainers.source import find_source
from tests import small
from tests.trainers.make import NAME

COMMAND = ["train", "2d", "--iterations-per-epoch", "2", "--epochs", "2"]


def train(workspace: Path, fold: str, *options: str) -> None:
    cli.main([*COMMAND, fold, *options, "-w", str(workspace)], standalone_mode=False)


def folder(workspace: Path, fold: int = 0) -> Path:
    return workspace / "results" / NAME / "default" / "2d-default" / f"fold{fold}"


def record(workspace: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder(workspace) / "run.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with folds 0 and 1; write nothing into it."""
    workspace = tmp_path_factory.mktemp("trained") / "w"
    shutil.copytree(prepared, workspace)
    train(workspace, "fold0,1")
    return workspace


def first_weights(monkeypatch: pytest.MonkeyPatch, workspace: Path, *options: str) -> Checkpoint:
    """The fold after one step at a rate so small that nothing changes."""

    def step(self: Screen, *arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Screen, "step", step)
        with pytest.raises(Interrupted):
            train(workspace, "0", "--lr", "1e-12", *options)
    return load_checkpoint(folder(workspace) / "checkpoint_last.safetensors")


def close(a: Checkpoint, b: Checkpoint) -> bool:
    return all(torch.allclose(a.weights[name], b.weights[name], atol=1e-6) for name in a.weights)


def test_a_fold_starts_from_the_same_fold_of_results(
    trained: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = load_checkpoint(folder(trained) / "checkpoint_last.safetensors")
    started = first_weights(monkeypatch, workspace, "--from", str(trained / "results" / NAME), "--ema", "0.5")
    assert close(started, source)
    assert close(replace(started, weights=started.trained), source)
    output = capsys.readouterr().out
    assert f"starts from {folder(trained)}" in output
    assert f"2d of {NAME}, fold 0" in output
    assert "100.0% of the weights" in output
    assert "will look better" not in output
    assert "tensors are kept" in (folder(workspace) / "log.txt").read_text(encoding="utf-8")
    written = record(workspace)["source"]
    assert written["checksum"] == checksum(folder(trained) / "checkpoint_last.safetensors")
    assert set(written["kept"]) == source.weights.keys()
    assert (written["adapted"], written["anew"]) == ([], [])
    # It goes on from its own checkpoint, and the record stays; another source, or none, is another run.
    options = ("--lr", "1e-12", "--ema", "0.5")
    with pytest.raises(RunError, match=r"the checkpoint of --from: \w+ -> none"):
        train(workspace, "0", *options)
    with pytest.raises(RunError, match=r"the checkpoint of --from: (\w+) -> (?!\1)\w+"):
        train(workspace, "0", *options, "--from", str(folder(trained, 1)))
    train(workspace, "0", *options, "--from", str(folder(trained)))
    assert record(workspace)["source"] == written
    assert "fold0: continues at iteration 1" in capsys.readouterr().out


def test_a_net_that_knows_the_validation_images_is_warned_of(
    trained: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_weights(monkeypatch, workspace, "--from", str(folder(trained, 1) / "checkpoint_best.safetensors"))
    assert "its validation will look better than it is" in capsys.readouterr().out


def test_the_own_folder_is_no_source(trained: Path, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(trained, tmp_path / "w"))
    with pytest.raises(UsageError, match="which this very command continues or discards"):
        train(workspace, "0", "--restart", "--from", str(folder(workspace)))
    assert (folder(workspace) / "checkpoint_last.safetensors").is_file()


def test_which_checkpoint_is_meant(trained: Path, tmp_path: Path) -> None:
    file = folder(trained, 1) / "checkpoint_last.safetensors"
    for given in (file, folder(trained, 1), folder(trained).parent, trained / "results" / NAME):
        assert find_source(given, "1").path == str(file)
    with pytest.raises(UsageError, match="fold 3 is not finished in 2d-default; name one of its folders: fold0, fold1"):
        find_source(folder(trained).parent, "3")
    for name in ("a", "b"):
        shutil.copytree(folder(trained), tmp_path / "NAME" / name / "2d-sgd" / "fold0")
    with pytest.raises(UsageError, match=r"several trained runs; name one of a/2d-sgd, b/2d-sgd"):
        find_source(tmp_path / "NAME", "0")
    # The only fold serves all.
    assert find_source(tmp_path / "NAME" / "a", "4").path.endswith("a/2d-sgd/fold0/checkpoint_last.safetensors")
    with pytest.raises(UsageError, match=r"it holds no finished fold. --from takes a checkpoint_last"):
        find_source(trained / "raw", "0")
    with pytest.raises(UsageError, match="there is no such file or folder"):
        find_source(tmp_path / "nothing", "0")


def test_other_files_are_refused(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"PK not a checkpoint of this kind")
    with pytest.raises(FileFormatError, match=r"no checkpoint .*--from takes a checkpoint_last.safetensors of autoseg"):
        train(workspace, "0", "--from", str(tmp_path / "model.pth"))
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(FileFormatError, match="no checkpoint of this version of autoseg"):
        train(workspace, "0", "--from", str(tmp_path / "foreign.safetensors"))
    volumes = small.plan(axes=3)
    save_checkpoint(tmp_path / "3d", Checkpoint(plan=volumes, stage="3d_fullres", fold="0", weights={"a": torch.zeros(1)}))
    with pytest.raises(UsageError, match=r"it is a 3D net .3d_fullres., and 2d is 2D. Name a checkpoint of a 2D configuration"):
        train(workspace, "0", "--from", str(tmp_path / "3d"))
    alien = Checkpoint(plan=small.plan(), stage="2d", fold="0", weights={"encoder.0.0.conv.weight": torch.zeros(1, 1, 1, 1)})
    save_checkpoint(tmp_path / "alien", alien)
    with pytest.raises(UsageError, match="nothing of it fits, features are"):
        train(workspace, "0", "--from", str(tmp_path / "alien"))
    assert not (folder(workspace) / "checkpoint_last.safetensors").exists()
