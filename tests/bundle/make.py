"""Trained runs to export, and bundles that somebody tampered with."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoseg.bundle.manifest import MANIFEST
from autoseg.checkpoint import save_checkpoint
from autoseg.infer.confidence import Calibration, Curve
from autoseg.infer.folds import Choice, choose_folds
from autoseg.infer.record import checksum
from autoseg.plan import Plan
from tests.infer.plans import OVERLAPPING, plant_run, random_checkpoint, tiny_plan

Contents = dict[str, bytes]

CALIBRATION = Calibration(
    classes=OVERLAPPING.classes,
    cases=20,
    folds=2,
    curve=Curve(
        usual_largest=(1.0, 1.0),
        usual_shared=(0.0, 0.0),
        weights=(1.0, 0.0, 0.0, 0.0),
        knots=(0.0, 1.0),
        values=(0.0, 1.0),
        offsets=(0.0, 0.1),
    ),
    scales=(1.0, 1.0),
    places=(0.0, 1.0),
    low=(-0.1, -0.1),
    high=(0.1, 0.1),
    absent=(0.5, 0.5),
)


def cascade_plan() -> Plan:
    """Two stages on one grid; the second sees the two classes of the first behind the image."""
    plan = tiny_plan(OVERLAPPING)
    (first,) = plan.stages.values()
    second = replace(first, name="2d_cascade", previous=first.name, network=replace(first.network, in_channels=3))
    return replace(plan, stages={first.name: first, second.name: second})


def plant_cascade(results: Path, *folds: str) -> Path:
    """The run of a cascade's second stage, its folds trained behind those of the first."""
    plan = cascade_plan()
    first = plant_run(results, replace(plan, stages={"2d": plan.stages["2d"]}), *folds)
    run = first.parent / "2d_cascade-default"
    for fold in folds:
        net = random_checkpoint(replace(plan, stages={"2d_cascade": plan.stages["2d_cascade"]}), fold, seed=9 + int(fold))
        before = checksum(first / f"fold{fold}" / "checkpoint_last.safetensors")
        save_checkpoint(run / f"fold{fold}" / "checkpoint_last.safetensors", replace(net, plan=plan, previous=before))
        (run / f"fold{fold}" / "summary.json").write_text('{"mean": {"dice": 0.5}, "classes": {}, "cases": {}}')
    return run


def chosen(run: Path, *folds: str) -> Choice:
    """These folds of a run, or all."""
    return choose_folds(run, folds or None, ensemble=not folds)


def contents(path: Path) -> Contents:
    """The files of a bundle."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, files: Contents, *, compression: int = zipfile.ZIP_STORED, facts: bool = True) -> Path:
    """A bundle of these files; with `facts` bundle.json says their true sizes and checksums, as a careful stranger's would."""
    files = dict(files)
    if facts:
        manifest = json.loads(files[MANIFEST])
        manifest["files"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items() if name != MANIFEST
        }
        files[MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def edit_json(files: Contents, name: str, change: Callable[[dict[str, Any]], object]) -> Contents:
    """The files with one JSON changed in place."""
    content = json.loads(files[name])
    change(content)
    return {**files, name: json.dumps(content).encode()}


def zipped(**options: Any) -> bytes:
    """The bytes of a zip file of one member, made with the options of ZipInfo."""
    stream = io.BytesIO()
    info = zipfile.ZipInfo(options.pop("filename", "x"))
    for name, value in options.items():
        setattr(info, name, value)
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(info, b"0" * 5000)
    return stream.getvalue()
