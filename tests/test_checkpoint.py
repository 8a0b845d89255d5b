"""A checkpoint is whole, or it is refused by name."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from autoseg import checkpoint as module
from autoseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from autoseg.errors import FileFormatError
from tests import small


def made(seed: int = 0) -> Checkpoint:
    generator = torch.Generator().manual_seed(seed)
    weights = {
        "a.weight": torch.randn((2, 3, 4, 4), generator=generator).to(memory_format=torch.channels_last),
        "a.bias": torch.randn(3, generator=generator, dtype=torch.float64),
        "half": torch.randn(5, generator=generator).bfloat16(),
        "count": torch.tensor(7),
    }
    optimizer = {"0.exp_avg": torch.randn((2, 3, 4, 4), generator=generator), "0.step": torch.tensor(3.0)}
    progress = {"iteration": 17, "best_dice": None, "loss_sum": 0.1 + 0.2, "scaler": {"scale": 65536.0}}
    return Checkpoint(plan=small.plan(), stage="2d", fold="all", weights=weights, optimizer=optimizer, progress=progress, previous="f" * 64)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


def test_a_checkpoint_survives_its_file(tmp_path: Path) -> None:
    sent = made()
    save_checkpoint(tmp_path / "new" / "c.safetensors", sent)
    got = load_checkpoint(tmp_path / "new" / "c.safetensors")
    assert (got.plan, got.stage, got.fold, got.progress, got.previous) == (sent.plan, "2d", "all", sent.progress, "f" * 64)
    assert got.settings == sent.plan.stages["2d"]
    assert same(got.weights, sent.weights)
    assert same(got.optimizer, sent.optimizer)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c.safetensors"]


def test_tensors_that_share_memory_are_saved_each(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    save_checkpoint(tmp_path / "c", replace(made(), weights={"a": base, "b": base[2:]}))
    assert load_checkpoint(tmp_path / "c").weights["b"].tolist() == [2, 3, 4, 5]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="none does not exist"):
        load_checkpoint(tmp_path / "none")


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, made())
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(FileFormatError, match=r"c\.safetensors"):
            load_checkpoint(path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_noticed(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, made())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(FileFormatError, match=r"c\.safetensors is damaged or no checkpoint .* Delete it and train the fold again"):
        load_checkpoint(path)


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no checkpoint, but long enough to have a header of eight bytes")
    with pytest.raises(FileFormatError, match="text is damaged or no checkpoint"):
        load_checkpoint(tmp_path / "text")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(FileFormatError, match="foreign is no checkpoint of this version of autoseg"):
        load_checkpoint(tmp_path / "foreign")
    save_file({"a": torch.zeros(1)}, tmp_path / "newer", {"format": "autoseg-checkpoint-99"})
    with pytest.raises(FileFormatError, match="newer is no checkpoint of this version of autoseg"):
        load_checkpoint(tmp_path / "newer")


FULL = OSError(28, "No space left on device")
#: In the words of safetensors 0.8.
FULL_IN_RUST = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("error", [FULL, FULL_IN_RUST])
@pytest.mark.parametrize("breaks", ["before writing", "after writing"])
def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: str, error: Exception) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, made(0))

    def failing(tensors: Any, file: Path, metadata: Any) -> None:
        if breaks == "after writing":
            shutil.copy(path, file)
        raise error

    monkeypatch.setattr(module, "save_file", failing)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(path, made(1))
    assert caught.value.errno == 28
    assert same(load_checkpoint(path).weights, made(0).weights)
    assert [file.name for file in tmp_path.iterdir()] == ["c"]
