"""Loading a bundle: nets, plan and where they come from. Nothing of the file is executed or written to the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from autoseg.bundle.archive import Archive, open_archive
from autoseg.bundle.limits import checked_plan
from autoseg.bundle.manifest import CONFIDENCE, SELECTION, BundledModel, Manifest
from autoseg.bundle.weights import check_size, decode_weights, net_shapes
from autoseg.checkpoint import Checkpoint
from autoseg.errors import FileFormatError, UsageError
from autoseg.infer.case import Model, Previous
from autoseg.infer.confidence import Calibration
from autoseg.infer.folds import fold_note
from autoseg.infer.load import Loaded, Origin
from autoseg.infer.nets import plan_window, ready_net
from autoseg.io.json_files import from_json
from autoseg.plan import Plan
from autoseg.select.selection import Selected, Selection


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A loaded bundle: its model, or of a selection its members, and where they come from."""

    members: tuple[Loaded, ...]
    origin: Origin
    selection: Selection | None = None


def load_bundle(path: Path, device: torch.device, *, folds: Sequence[str] | None = None, tta: bool = True, step: float = 0.5) -> Bundle:
    """A bundle's model on a device, one net after the other.

    Parameters
    ----------
    path : Path
        The zip file.
    device : torch.device
    folds : sequence of str, optional
        Such as ("0", "3"); all that it holds if not given. Of a cascade's first stage always all.
    tta, step
        As in `infer.nets.plan_window`.

    Raises
    ------
    FileFormatError
        If it is damaged, altered, no bundle, or unfit to predict with: its message names the file and what is wrong.
    UsageError
        If it has no such fold, or is a selection, whose weights hold for all its folds together.
    """
    with open_archive(path) as archive:
        manifest = archive.manifest
        if manifest.weights != "safetensors":
            raise FileFormatError(f"{path} holds {manifest.weights} files, which are read from a folder: unpack it and name the folder")

        def load(model: BundledModel, chosen: dict[str, str], previous: Loaded | None) -> Loaded:
            return _load_model(archive, model, chosen, previous, device, tta=tta, step=step)

        return join_models(path, manifest, archive.read_text, load, folds=folds)


def join_models(
    path: Path,
    manifest: Manifest,
    read_text: Callable[[str], str],
    load: Callable[[BundledModel, dict[str, str], Loaded | None], Loaded],
    *,
    folds: Sequence[str] | None,
) -> Bundle:
    """The models of an export as they predict together.

    Parameters
    ----------
    path : Path
        Of the export, for messages.
    manifest : Manifest
    read_text : callable(file) -> str
    load : callable(model, fold -> file, the model before it) -> Loaded
    folds : sequence of str, optional
        Of the last model; all if not given.

    Raises
    ------
    FileFormatError, UsageError
        As `load_bundle` raises them.
    """
    selection = None
    if SELECTION in manifest.files:
        selection = from_json(read_text(SELECTION), Selection, source=f"{SELECTION} in {path}")
        if folds is not None:
            raise UsageError(f"--folds: {path} is what autoseg select chose of several folds, which predict together; leave it out.")
    loaded: list[Loaded] = []
    ends: list[BundledModel] = []
    for model in manifest.models:
        chosen = choose_nets(model, folds if model is manifest.last else None, path)
        one = load(model, chosen, loaded[-1] if loaded else None)
        if one.model.previous is not None:  # the one before was its first stage
            loaded.pop()
            ends.pop()
        loaded.append(one)
        ends.append(model)
    if selection is not None:
        _check_members(selection, ends, path)
        return Bundle(members=tuple(loaded), origin=Selected(results=path, selection=selection).origin(), selection=selection)
    if len(loaded) > 1:
        raise FileFormatError(f"{path} holds {len(loaded)} models and no {SELECTION}, which says how they predict together")
    text = read_text(CONFIDENCE) if CONFIDENCE in manifest.files else None
    return Bundle(members=(one,), origin=origin_of(model, tuple(chosen), read_confidence(text, one.plan, path)))


def _check_members(selection: Selection, ends: Sequence[BundledModel], path: Path) -> None:
    wanted = [(member.run, member.folds) for member in selection.used]
    if [(model.run, model.checkpoints) for model in ends] != wanted:
        there = ", ".join(model.run for model in ends)
        raise FileFormatError(f"{path} holds the nets of {there}, and its {SELECTION} is of {', '.join(run for run, _ in wanted)}")


def choose_nets(model: BundledModel, folds: Sequence[str] | None, path: Path) -> dict[str, str]:
    """Fold -> file, of the wanted folds; UsageError if one is not there."""
    if folds is None:
        return model.nets
    if missing := [fold for fold in folds if fold not in model.nets] or (["none named"] if not folds else []):
        raise UsageError(f"--folds: not in {path}: {', '.join(missing)}; it holds {', '.join(model.nets)}.")
    return {fold: file for fold, file in model.nets.items() if fold in folds}


def origin_of(model: BundledModel, folds: Sequence[str], calibration: Calibration | None) -> Origin:
    """Where the nets come from, as the run itself would say it."""
    checkpoints = {fold: model.checkpoints[fold] for fold in folds}
    return Origin(run=model.run, folds=checkpoints, note=fold_note(folds, model.total), calibration=calibration)


def read_confidence(text: str | None, plan: Plan, path: Path) -> Calibration | None:
    """The calibration in an export's JSON, if it has one; FileFormatError if it is damaged or of other classes."""
    if text is None:
        return None
    calibration = from_json(text, Calibration, source=f"{CONFIDENCE} in {path}")
    if calibration.classes != plan.labels.classes:
        raise FileFormatError(f"{CONFIDENCE} in {path} is of other classes than its plan")
    return calibration


def join_previous(plan: Plan, stage: str, previous: Loaded | None, path: Path) -> Previous | None:
    """The stage before as `Model` holds it; FileFormatError unless the two fit each other."""
    before = plan.stages[stage].previous
    if before is None:
        return None
    if previous is None or previous.stage != before:
        raise FileFormatError(f"{path}: {stage} needs the stage {before} before it, and the bundle holds {previous and previous.stage}")
    if previous.plan.labels.classes != plan.labels.classes or previous.plan.num_axes != plan.num_axes:
        raise FileFormatError(f"{path}: the stages {previous.stage} and {stage} are of other classes or axes")
    return Previous(plan=previous.plan, stage=previous.stage, model=previous.model)


def _load_model(
    archive: Archive, model: BundledModel, chosen: dict[str, str], previous: Loaded | None, device: torch.device, *, tta: bool, step: float
) -> Loaded:
    plan = checked_plan(archive.read_text(model.plan), model.stage, f"{model.plan} in {archive.path}")
    before = join_previous(plan, model.stage, previous, archive.path)
    shapes = net_shapes(plan.stages[model.stage].network)
    nets: list[nn.Module] = []
    for fold, file in chosen.items():
        source = f"{file} in {archive.path}"
        check_size(archive.size(file), shapes, source)
        weights = decode_weights(archive.read(file), shapes, source)
        nets.append(ready_net(Checkpoint(plan=plan, stage=model.stage, fold=fold, weights=weights), device))
    window = plan_window(plan, model.stage, device, tta=tta, step=step)
    return Loaded(plan=plan, stage=model.stage, model=Model(labels=plan.labels, nets=tuple(nets), window=window, previous=before))
