"""A folder of ONNX files with what predicts with them: plan.json, and bundle.json, which names and measures every file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from autoseg import __version__
from autoseg.bundle.archive import check_files
from autoseg.bundle.contents import Progress, collect_all
from autoseg.bundle.limits import checked_plan
from autoseg.bundle.manifest import FORMAT, MANIFEST, BundledModel, FileFacts, Manifest, parse_manifest
from autoseg.bundle.onnx_export import check_export, export_net
from autoseg.bundle.onnx_net import OnnxNet
from autoseg.bundle.read import Bundle, join_models, join_previous
from autoseg.checkpoint import Checkpoint
from autoseg.errors import FileFormatError, UsageError
from autoseg.infer.case import Model
from autoseg.infer.folds import Choice
from autoseg.infer.load import Loaded
from autoseg.infer.nets import load_net, plan_window
from autoseg.infer.record import checksum, checksums
from autoseg.io.atomic import write_bytes
from autoseg.io.json_files import to_json
from autoseg.nets import UNet
from autoseg.select.selection import Selected


def is_onnx_folder(path: Path) -> bool:
    """True for a folder that `write_onnx` made."""
    return (path / MANIFEST).is_file()


def onnx_folder(choice: Choice) -> Path:
    """Where the ONNX files of some folds of a run lie if nobody says otherwise: RUN/onnx-fold0_1_2."""
    return choice.run / f"onnx-fold{'_'.join(choice.folds)}"


def is_current(folder: Path, choice: Choice) -> bool:
    """True if the folder holds these folds' nets as they are now, written by this version.

    A cascade's checkpoint names those of the stage before by their checksums: the last stage speaks for all.
    """
    if not is_onnx_folder(folder):
        return False
    try:
        manifest = read_manifest(folder)
    except FileFormatError:
        return False
    return manifest.made_by == __version__ and manifest.last.checkpoints == checksums(choice.folds)


def write_onnx(
    folder: Path, source: Choice | Selected, progress: Progress | None = None, *, overwrite: bool = False
) -> tuple[Manifest, float]:
    """Write the nets of a prediction, of a run or of all members of a selection, as ONNX files, each compared with torch.

    Nets that are there, from the same checkpoints, are kept; bundle.json comes last: with it the folder is whole.

    Returns
    -------
    Manifest
    float
        The largest difference from torch of a net that was written now, as `onnx_export.check_export` measures it.

    Raises
    ------
    UsageError
        If the folder holds other things, or what exports is not installed.
    FileFormatError
        If a net differs from torch.
    """
    earlier = _earlier(folder)
    writer = _Writer(folder, {} if overwrite or earlier is None else _nets_by_checkpoint(earlier))
    models, dataset = collect_all(source, writer.add, writer.add_net, progress)
    files = dict(sorted(writer.files.items()))
    manifest = Manifest(format=FORMAT, made_by=__version__, dataset=dataset, weights="onnx", models=models, files=files)
    write_bytes(folder / MANIFEST, to_json(manifest).encode())
    for name in (set() if earlier is None else earlier.files.keys()) - files.keys():
        (folder / name).unlink(missing_ok=True)  # of folds that are no longer part of it
    return manifest, writer.worst


class _Writer:
    """Writes files and notes their facts; `kept` are nets of an earlier export, by file and checkpoint."""

    def __init__(self, folder: Path, kept: dict[tuple[str, str], FileFacts]) -> None:
        self.folder, self.kept = folder, kept
        self.files: dict[str, FileFacts] = {}
        self.worst = 0.0

    def add(self, name: str, data: bytes) -> None:
        write_bytes(self.folder / name, data)
        self.files[name] = FileFacts(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def add_net(self, stem: str, checkpoint: Checkpoint, sha256: str) -> str:
        file = f"{stem}.onnx"
        there = self.kept.get((file, sha256))
        if there is not None and (self.folder / file).is_file() and checksum(self.folder / file) == there.sha256:
            self.files[file] = there
            return file
        network = checkpoint.settings.network
        net = cast(UNet, load_net(checkpoint, torch.device("cpu")))
        data = export_net(net, network.in_channels, network.multiple)
        self.worst = max(self.worst, check_export(data, net, network.in_channels, network.multiple))
        self.add(file, data)
        return file


def load_onnx(folder: Path, device: torch.device, *, folds: Sequence[str] | None = None, tta: bool = True, step: float = 0.5) -> Bundle:
    """What a folder of ONNX files holds; arguments and errors as of `read.load_bundle`.

    onnxruntime builds whatever graph the files hold: take them from people you trust.
    """
    manifest = read_manifest(folder)

    def load(model: BundledModel, chosen: dict[str, str], previous: Loaded | None) -> Loaded:
        return _load_model(folder, manifest, model, chosen, previous, device, tta=tta, step=step)

    return join_models(folder, manifest, lambda name: _read(folder, manifest, name).decode(), load, folds=folds)


def read_manifest(folder: Path) -> Manifest:
    """bundle.json of a folder whose files are there; FileFormatError if one is missing or of another size."""
    manifest = parse_manifest((folder / MANIFEST).read_bytes(), str(folder))
    there = {name: (folder / name).stat().st_size for name in manifest.files if (folder / name).is_file()}
    check_files(folder, manifest.files, there)
    return manifest


def _earlier(folder: Path) -> Manifest | None:
    """The manifest of an earlier export; UsageError if the folder holds something else."""
    if not folder.is_dir() or not any(path for path in folder.iterdir() if not path.name.startswith(".")):
        return None
    if not is_onnx_folder(folder):
        if {path.suffix for path in folder.rglob("*") if path.is_file()} <= {".onnx", ".json"}:
            return None  # an export that was stopped
        raise UsageError(f"{folder} is not empty and holds no export; name another folder (-o), a new or empty one.")
    try:
        return parse_manifest((folder / MANIFEST).read_bytes(), str(folder))
    except FileFormatError:
        return None


def _nets_by_checkpoint(manifest: Manifest) -> dict[tuple[str, str], FileFacts]:
    models = manifest.models if manifest.made_by == __version__ else ()
    return {(file, model.checkpoints[fold]): manifest.files[file] for model in models for fold, file in model.nets.items()}


def _load_model(
    folder: Path, manifest: Manifest, model: BundledModel, chosen: dict[str, str], previous: Loaded | None, device: torch.device,
    *, tta: bool, step: float,
) -> Loaded:  # fmt: skip
    plan = checked_plan(_read(folder, manifest, model.plan).decode(), model.stage, str(folder / model.plan))
    before = join_previous(plan, model.stage, previous, folder)
    nets: list[nn.Module] = []
    for file in chosen.values():
        try:
            nets.append(OnnxNet(_read(folder, manifest, file), device))
        except ValueError as error:
            raise FileFormatError(f"{folder / file}: {error}. Export it anew (autoseg export --onnx --overwrite).") from None
    window = replace(plan_window(plan, model.stage, device, tta=tta, step=step), precision="fp32")
    return Loaded(plan=plan, stage=model.stage, model=Model(labels=plan.labels, nets=tuple(nets), window=window, previous=before))


def _read(folder: Path, manifest: Manifest, name: str) -> bytes:
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest.files[name].sha256:
        advice = "Export it anew (autoseg export --onnx)."
        raise FileFormatError(f"{folder / name} is damaged or was altered: its checksum does not fit. {advice}")
    return data
