"""A data set that trains in seconds: ten images of 32 x 32 with two overlapping blobs, measured, planned and prepared."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.budget import Budget
from autoseg.fingerprint import measure
from autoseg.io.json_files import save_json
from autoseg.io.layouts import read_dataset
from autoseg.plan import Plan
from autoseg.planners import Request, make_plan
from autoseg.planners.folds import make_splits
from autoseg.preprocess.dataset import prepare_dataset
from autoseg.preprocess.store import PreparedStore, plan_key
from autoseg.workspace import Workspace
from tests import small
from tests.io.make import write_picture

NAME = "Blobs"
CASES = 10


def write_raw(folder: Path, size: int = 32, seed: int = 0) -> Path:
    """Our own layout: a bright blob, and a second one that overlaps it and brightens it further."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    for k in range(CASES):
        centre = rng.uniform(0.3, 0.7, 2) * size
        other = centre + rng.uniform(-0.12, 0.12, 2) * size
        masks = {
            "big one": np.hypot(y - centre[0], x - centre[1]) < 0.25 * size,
            "small/one": np.hypot(y - other[0], x - other[1]) < 0.15 * size,
        }
        image = 60 + 60 * masks["big one"] + 60 * masks["small/one"] + rng.normal(0, 8, (size, size))
        write_picture(folder / f"imagesTr/case{k}.png", image.clip(0, 255).astype(np.uint8))
        for name, mask in masks.items():
            write_picture(folder / f"labelsTr/case{k}" / f"{name.replace('/', '%2F')}.png", (255 * mask).astype(np.uint8))
    write_picture(folder / "imagesTs/new.png", np.full((size, size), 60, np.uint8))
    return folder


def plan_and_prepare(workspace: Path, *, hours: float | None = None) -> Plan:
    """What plan_and_preprocess does, for a processor; then a net small enough for a test."""
    place = Workspace(root=workspace)
    raw = read_dataset(write_raw(place.raw / NAME))
    fingerprint = measure(raw)
    save_json(place.fingerprint_file(NAME), fingerprint)
    save_json(place.splits_file(NAME), make_splits(fingerprint))
    budget = Budget(name="cpu", kind="cpu", memory_bytes=2**33, workers=2, hours=hours)
    plan = make_plan(fingerprint, budget, Request())
    stage = plan.stages["2d"]
    features = tuple(4 * (k + 1) for k in range(len(stage.network.features)))
    stage = replace(stage, network=replace(stage.network, features=features), batch=2, mirror_axes=(0, 1), rotation_degrees=30.0)
    stage = small.with_recipe(stage, optimizer="adamw", lr=0.01, schedule="cosine", warmup=0.05, weight_decay=0.01)
    plan = replace(plan, stages={"2d": stage})
    save_json(place.plan_file(NAME, "default"), plan)
    prepare_dataset(raw, plan, stage=stage, store=PreparedStore(place.store_folder(NAME, plan_key(plan, stage))))
    return plan
