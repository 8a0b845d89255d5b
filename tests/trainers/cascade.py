"""A data set that only a cascade solves in small patches: which of two classes a disc is, a mark in a far corner says."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.budget import Budget
from autoseg.checkpoint import Checkpoint, save_checkpoint
from autoseg.cli import cli
from autoseg.fingerprint import measure
from autoseg.io.json_files import load_json, save_json
from autoseg.io.layouts import read_dataset
from autoseg.io.probabilities import write_probabilities
from autoseg.labels import LabelSpace
from autoseg.nets import NETS
from autoseg.plan import Normalization, Plan, Stage
from autoseg.planners.folds import Fold, Splits
from autoseg.preprocess.dataset import prepare_dataset
from autoseg.preprocess.store import PreparedStore, plan_key
from autoseg.trainers.options import TrainOptions
from autoseg.trainers.run import RunFolder, RunRecord
from autoseg.workspace import Workspace
from tests import small
from tests.io.make import write_picture

NAME, CASES, SIZE = "Far", 16, 40
LABELS = LabelSpace(classes=("left one", "right one"), exclusive=False)
RIGHT = CASES // 2  # cases before this one are marked on the left


def picture(number: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A case's image, and the disc in it: 16 pixels and more below the mark, so that no patch of 16 about the disc holds both."""
    rng = np.random.default_rng([seed, number])
    y, x = np.mgrid[:SIZE, :SIZE]
    disc = np.hypot(y - rng.uniform(29, 32), x - rng.uniform(17, 22)) < 6
    image = 60 + 100 * disc + rng.normal(0, 5, (SIZE, SIZE))
    image[:8, slice(28, 38) if number >= RIGHT else slice(2, 12)] += 140
    return image.clip(0, 255).astype(np.uint8), disc


def write_raw(folder: Path) -> None:
    for number in range(CASES):
        image, disc = picture(number)
        name = LABELS.classes[number >= RIGHT]
        write_picture(folder / f"imagesTr/case{number:02}.png", image)
        write_picture(folder / f"labelsTr/case{number:02}" / f"{name}.png", (255 * disc).astype(np.uint8))
    for number in (0, RIGHT):
        write_picture(folder / f"imagesTs/new{number:02}.png", picture(number, seed=1)[0])


def stages(**changes: Any) -> dict[str, Stage]:
    """The whole image at half its resolution, and patches of 16 behind it; "2d" prepares as the cascade does."""
    common: dict[str, Any] = {
        "image_shape": (SIZE, SIZE), "mirror_axes": (), "rotation_degrees": 0.0, "batch": 4, "priors": (0.2, 0.2),
        "recipe": small.recipe(lr=0.03, warmup=0.05, foreground_share=0.5), "iterations": 20, "iterations_per_epoch": 10, **changes,
    }  # fmt: skip
    features = (8, 16, 24)
    lowres = small.stage(
        **common, name="2d_lowres", resample=True, spacing=(2.0, 2.0), patch=(20, 20), network=small.network(features=features)
    )
    cascade = small.stage(**common, name="2d_cascade", previous="2d_lowres", network=small.network(features=features, in_channels=3))
    return {"2d_lowres": lowres, "2d_cascade": cascade}


def plan_and_prepare(root: Path, **changes: Any) -> Plan:
    """A workspace with two folds, planned by hand and prepared."""
    place = Workspace(root=root)
    write_raw(place.raw / NAME)
    raw = read_dataset(place.raw / NAME)
    names = tuple(sorted(case.name for case in raw.train))
    parts = names[::2], names[1::2]
    folds = (Fold(train=parts[1], val=parts[0]), Fold(train=parts[0], val=parts[1]))
    save_json(place.splits_file(NAME), Splits(rule="cases", seed=0, groups=tuple((name,) for name in names), folds=folds))
    fingerprint = measure(raw)
    save_json(place.fingerprint_file(NAME), fingerprint)
    plan = small.plan(
        LABELS, name="default", dataset=NAME, fingerprint=fingerprint.checksum(), stages=stages(**changes),
        normalization=(Normalization(kind="zscore"),), budget=Budget(name="cpu", kind="cpu", memory_bytes=2**33, workers=1),
    )  # fmt: skip
    save_json(place.plan_file(NAME, "default"), plan)
    for stage in plan.stages.values():
        store = PreparedStore(place.store_folder(NAME, plan_key(plan, stage)))
        prepare_dataset(raw, plan, stage=stage, store=store)
    return plan


def oracle(name: str) -> NDArray[np.uint8]:
    """A case's true masks as probabilities, (K, y, x): what a perfect stage before says, which sees the mark."""
    number = int(name.removeprefix("case"))
    said = np.zeros((2, SIZE, SIZE), np.uint8)
    said[int(number >= RIGHT)] = 250 * picture(number)[1]
    return said


def save_net(path: Path, plan: Plan, seed: int) -> None:
    """The checkpoint of a net with random weights."""
    torch.manual_seed(seed)
    weights = dict(NETS["unet"](plan.stages["2d_lowres"].network).state_dict())
    save_checkpoint(path, Checkpoint(plan=plan, stage="2d_lowres", fold=str(seed), weights=weights))


def plant_lowres(root: Path, plan: Plan, *, trainer: str = "default") -> Path:
    """A finished run of 2d_lowres whose validation wrote the oracle's probabilities; its nets were never trained."""
    place = Workspace(root=root)
    splits = load_json(place.splits_file(NAME), Splits)
    for number, fold in enumerate(splits.folds):
        folder = RunFolder(path=place.fold_folder(NAME, plan.name, "2d_lowres", trainer, str(number)))
        stage = plan.stages["2d_lowres"]
        save_json(
            folder.path / "run.json",
            RunRecord(plan=plan.name, config="2d_lowres", fold=str(number), fingerprint=plan.fingerprint, cases="", options=TrainOptions(),
                      planned=stage, stage=stage),
        )  # fmt: skip
        save_net(folder.last, plan, number)
        folder.summary.write_text("{}")
        for name in fold.val:
            write_probabilities(folder.validation / "probabilities" / f"{name}.prob", oracle(name))
    return place.run_folder(NAME, plan.name, "2d_lowres", trainer)


def train(root: Path, *arguments: str) -> None:
    """`autoseg train ARGUMENTS`, in this process; errors are raised."""
    cli.main(["train", *arguments, "-w", str(root), "--device", "cpu"], standalone_mode=False)
