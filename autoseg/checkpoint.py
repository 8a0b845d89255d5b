"""One file that holds a trained net and all that is needed to predict with it, or to go on training: safetensors, JSON in its header."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autoseg.errors import FileFormatError
from autoseg.io.atomic import replacing
from autoseg.io.json_files import from_json, to_json
from autoseg.plan import Plan, Stage

FORMAT = "autoseg-checkpoint-1"
ADVICE = "Delete it and train the fold again, or predict with other folds (--folds)."
NET, TRAINED, OPTIMIZER = "net.", "trained.", "optimizer."


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A fold's net at one iteration boundary.

    Parameters
    ----------
    plan : Plan
    stage : str
        The configuration, a key of plan.stages.
    fold : str
        "0" .. "4" or "all".
    weights : dict of Tensor
        The net's state that predicts, on the CPU: the moving average of the weights, if the recipe has one.
    trained : dict of Tensor
        The net's state as the optimizer left it where that is another one; empty without an average.
    optimizer : dict of Tensor
        The optimizer's tensors, flat, by "INDEX.NAME"; empty in a checkpoint that only predicts.
    progress : dict
        Plain JSON: iteration, epoch, best Dice, seconds used, scaler, seed ...
    previous : str
        SHA-256 of the file of the previous stage's checkpoint of the same fold in a cascade; of all folds, comma-separated, for fold "all";
        empty without one.
    """

    plan: Plan
    stage: str
    fold: str
    weights: dict[str, Tensor]
    trained: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    previous: str = ""

    @property
    def settings(self) -> Stage:
        """The stage that was trained."""
        return self.plan.stages[self.stage]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically: an interrupted save leaves the earlier file as it was. The SHA-256 of all else travels in the header.

    The tensors must stay as they are while this runs; `detached` makes a checkpoint of copies.
    """
    groups = ((NET, checkpoint.weights), (TRAINED, checkpoint.trained), (OPTIMIZER, checkpoint.optimizer))
    tensors = _apart({prefix + name: _plain(value) for prefix, group in groups for name, value in group.items()})
    metadata = {
        "format": FORMAT,
        "plan": to_json(checkpoint.plan),
        "stage": checkpoint.stage,
        "fold": checkpoint.fold,
        "progress": json.dumps(checkpoint.progress),
        "previous": checkpoint.previous,
    }
    metadata["checksum"] = _checksum(tensors, metadata)
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise _of_system(error, path) from None


def detached(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with copies of its tensors in the CPU's memory: it stays as it is while the training goes on."""
    copies: dict[int, Tensor] = {}

    def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        # Buffers that the average does not hold stand in two of the dicts.
        for value in tensors.values():
            if id(value) not in copies:
                copies[id(value)] = value.detach().to("cpu", copy=True).contiguous()
        return {name: copies[id(value)] for name, value in tensors.items()}

    weights, trained, optimizer = checkpoint.weights, checkpoint.trained, checkpoint.optimizer
    return replace(checkpoint, weights=copied(weights), trained=copied(trained), optimizer=copied(optimizer))


def load_checkpoint(path: Path, *, advice: str = ADVICE) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Parameters
    ----------
    path : Path
    advice : str
        What to do about a file that is damaged or something else.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, altered, not a checkpoint or from another version.
    """
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} is damaged or no checkpoint ({error}). {advice}") from None
    if metadata.get("format") != FORMAT:
        raise FileFormatError(f"{path} is no checkpoint of this version of autoseg ({metadata.get('format', 'no format mark')})")
    if metadata.pop("checksum", "") != _checksum(tensors, metadata):
        raise FileFormatError(f"{path} is damaged or was altered: its checksum does not fit. {advice}")
    plan = from_json(metadata.get("plan", ""), Plan, source=f"the plan in {path}")
    try:
        stage, fold, previous, progress = (metadata[key] for key in ("stage", "fold", "previous", "progress"))
        known = json.loads(progress)
    except (KeyError, ValueError) as error:
        # The checksum is no signature: a stranger's file may fit its own and hold anything.
        raise FileFormatError(f"{path} is damaged or was altered: {error} in its header. {advice}") from None
    if stage not in plan.stages:
        raise FileFormatError(f"{path} is damaged or was altered: its plan has no configuration {stage}. {advice}")
    return Checkpoint(
        plan=plan,
        stage=stage,
        fold=fold,
        weights={name.removeprefix(NET): t for name, t in tensors.items() if name.startswith(NET)},
        trained={name.removeprefix(TRAINED): t for name, t in tensors.items() if name.startswith(TRAINED)},
        optimizer={name.removeprefix(OPTIMIZER): t for name, t in tensors.items() if name.startswith(OPTIMIZER)},
        progress=known,
        previous=previous,
    )


def read_previous_stage(path: Path) -> str | None:
    """The stage before the checkpoint's in a cascade, from the header alone; None if there is none, or the file is no checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        previous = json.loads(metadata["plan"])["stages"][metadata["stage"]]["previous"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None
    return previous if isinstance(previous, str) else None


def read_plan(path: Path) -> Plan:
    """The plan that a checkpoint was trained by, from the header alone; FileFormatError if the file is no checkpoint."""
    return _read_header(path)[0]


def read_trained(path: Path) -> tuple[Plan, str]:
    """The plan and the key of its stage that was trained, from the header alone; FileFormatError if the file is no checkpoint."""
    plan, stage = _read_header(path)
    if stage not in plan.stages:
        raise FileFormatError(f"{path} is damaged or was altered: its plan has no configuration {stage}. {ADVICE}")
    return plan, stage


def _read_header(path: Path) -> tuple[Plan, str]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} is damaged or no checkpoint ({error}). {ADVICE}") from None
    if metadata.get("format") != FORMAT:
        raise FileFormatError(f"{path} is no checkpoint of this version of autoseg ({metadata.get('format', 'no format mark')})")
    return from_json(metadata.get("plan", ""), Plan, source=f"the plan in {path}"), metadata.get("stage", "")


def _plain(value: Tensor) -> Tensor:
    # In standard layout: safetensors refuses channels_last.
    return value.detach().to("cpu").contiguous()


def _of_system(error: SafetensorError, path: Path) -> Exception:
    """What the system refused, a full disk for instance: safetensors says it in its own words."""
    found = re.search(r"os error (\d+)", str(error))
    return error if found is None else OSError(int(found[1]), os.strerror(int(found[1])), str(path))


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without two that share memory, which safetensors refuses: each but the first is copied."""
    seen: set[int] = set()
    result = {}
    for name, value in tensors.items():
        place = value.untyped_storage().data_ptr()
        result[name] = value.clone() if place in seen else value
        seen.add(place)
    return result


def _checksum(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        # The tensor's own memory, no copy: hashing it releases the interpreter's lock.
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
