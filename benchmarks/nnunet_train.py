"""The other side of benchmarks/epochs.py and benchmarks/accuracy.py: nnU-Net's own training. Run by them, with its environment's Python.

    VENV/bin/python benchmarks/nnunet_train.py prepare FOLDER Dataset501_Nuclei --patch 128 128 --batch 4 --splits splits.json
    VENV/bin/python benchmarks/nnunet_train.py train FOLDER Dataset501_Nuclei --results DIR --epochs 40 --iterations 25 --seed 0

Imports nothing of autoseg. Fingerprint, plan, preprocessing, net, trainer and validation are nnU-Net's, unmodified; what is set are the
patch, the net that nnU-Net's own rule gives that patch, the batch, the folds, the length, and, as it has no seed of its own, the states of
the generators that it draws from. FOLDER is a workspace: raw data sets in FOLDER/raw, nnU-Net's files in FOLDER/nnunet.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

PLANS = "nnUNetPlans"
#: nnU-Net's own share of validation steps in an epoch: 50 behind 250.
STEPS_PER_VALIDATION_STEP = 5
#: ExperimentPlanner's: shortest edge of a feature map, features of the first stage and, by axes, at most, convolutions in a stage.
SHORTEST_EDGE, FEATURES, MAX_FEATURES, CONVOLUTIONS = 4, 32, {2: 512, 3: 320}, 2


def main() -> None:
    """Prepare a data set, or train fold 0 of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    prepared, trained = verbs.add_parser("prepare"), verbs.add_parser("train")
    for verb, does in ((prepared, prepare), (trained, train)):
        verb.add_argument("folder", type=Path)
        verb.add_argument("dataset", help="its folder's name, which begins with Dataset and three digits")
        verb.add_argument("--configuration", choices=("2d", "3d_fullres"), default="2d")
        verb.set_defaults(does=does, results=None, workers=1)
    prepared.add_argument("--patch", type=int, nargs="+", required=True)
    prepared.add_argument("--batch", type=int, required=True)
    prepared.add_argument("--splits", type=Path, required=True, help="autoseg's splits.json: the folds of both")
    prepared.add_argument("--slice-axis", type=int, help="of a volume, 0 to 2, cut into slices; equal spacings: nnU-Net takes 0")
    trained.add_argument("--results", type=Path, required=True)
    trained.add_argument("--epochs", type=int, required=True)
    trained.add_argument("--iterations", type=int, required=True, help="in an epoch")
    trained.add_argument("--seed", type=int, default=0)
    loading = "processes that load; none: every draw follows from the seed; -1: nnU-Net's own number"
    trained.add_argument("--workers", type=int, default=0, help=loading)
    trained.add_argument("--no-validation", action="store_true", help="of whole images, at the end")
    given = parser.parse_args()
    places(given.folder, given.results, given.workers)
    given.does(given)


def places(folder: Path, results: Path | None, workers: int) -> None:
    """nnU-Net reads its folders and its number of loading processes from the environment."""
    own = folder.resolve() / "nnunet"
    for name, path in (("raw", folder.resolve() / "raw"), ("preprocessed", own / "preprocessed"), ("results", results or own / "results")):
        path.mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(path)
    own_number = {} if workers < 0 else {"nnUNet_n_proc_DA": str(workers)}
    os.environ.update(nnUNet_def_n_proc="1", **own_number)


def preprocessed(given: argparse.Namespace) -> Path:
    """nnU-Net's folder of the data set."""
    return Path(given.folder.resolve() / "nnunet" / "preprocessed" / given.dataset)


def prepare(given: argparse.Namespace) -> None:
    """Measure, plan, set what both sides share, preprocess, and give nnU-Net the folds."""
    api = import_module("nnunetv2.experiment_planning.plan_and_preprocess_api")
    number = int(given.dataset.removeprefix("Dataset")[:3])
    api.extract_fingerprints([number], num_processes=1, check_dataset_integrity=False)
    api.plan_experiments([number])
    folder = preprocessed(given)
    file = folder / f"{PLANS}.json"
    plans = json.loads(file.read_text(encoding="utf-8"))
    topology = import_module("nnunetv2.experiment_planning.experiment_planners.network_topology").get_pool_and_conv_props
    if given.slice_axis is not None:
        plans.update(transposed(given.slice_axis))
    settle(plans["configurations"][given.configuration], given.patch, given.batch, topology)
    file.write_text(json.dumps(plans, indent=2), encoding="utf-8")
    folds = json.loads(given.splits.read_text(encoding="utf-8"))["folds"]
    splits = [{"train": fold["train"], "val": fold["val"]} for fold in folds]
    (folder / "splits_final.json").write_text(json.dumps(splits, indent=2), encoding="utf-8")
    api.preprocess([number], PLANS, [given.configuration], [1])


def transposed(axis: int) -> dict[str, list[int]]:
    """nnU-Net's fields of a plan that put an axis of a volume first: its 2D nets see slices across that one, and put it back."""
    forward = [axis, *(other for other in range(3) if other != axis)]
    return {"transpose_forward": forward, "transpose_backward": [forward.index(axis) for axis in range(3)]}


def settle(configuration: dict[str, Any], patch: list[int], batch: int, topology: Callable[..., Any]) -> None:
    """Set patch and batch of a configuration, and the net that nnU-Net's planner makes for such a patch.

    Parameters
    ----------
    configuration : dict
        Of nnU-Net's plans; changed.
    patch, batch : list of int, int
    topology : callable
        nnU-Net's get_pool_and_conv_props.

    Raises
    ------
    ValueError
        If the net cannot take the patch as it is.
    """
    _, strides, kernels, padded, _ = topology(configuration["spacing"], patch, SHORTEST_EDGE, 999999)
    if [int(n) for n in padded] != patch:
        raise ValueError(f"nnU-Net would pad the patch {patch} to {[int(n) for n in padded]}: choose that for both")
    stages = len(strides)
    configuration.update(patch_size=patch, batch_size=batch)
    configuration["architecture"]["arch_kwargs"].update(
        n_stages=stages,
        features_per_stage=[min(MAX_FEATURES[len(patch)], FEATURES << level) for level in range(stages)],
        kernel_sizes=kernels,
        strides=strides,
        n_conv_per_stage=[CONVOLUTIONS] * stages,
        n_conv_per_stage_decoder=[CONVOLUTIONS] * (stages - 1),
    )


def train(given: argparse.Namespace) -> None:
    """Train fold 0 as long as asked for, and write RESULTS/epochs.json: seconds of each epoch, all that belongs to it included."""
    folder = preprocessed(given)
    plans = json.loads((folder / f"{PLANS}.json").read_text(encoding="utf-8"))
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    random.seed(given.seed)
    np.random.seed(given.seed)
    torch.manual_seed(given.seed)
    made = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
    trainer = made({**plans, "continue_training": False}, given.configuration, 0, description, device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch = given.epochs, given.iterations
    trainer.num_val_iterations_per_epoch = max(1, given.iterations // STEPS_PER_VALIDATION_STEP)
    trainer.initialize()
    seconds = dict.fromkeys(("train_step", "validation_step", "run_training", "perform_actual_validation"), 0.0)
    for name in seconds:
        setattr(trainer, name, timed(getattr(trainer, name), name, seconds))
    trainer.run_training()
    save(trainer, given.results / "epochs.json", seconds)
    if not given.no_validation:
        trainer.perform_actual_validation()
        save(trainer, given.results / "epochs.json", seconds)


def timed(function: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """The same function; what its calls take is added to an entry of `seconds`."""

    def run(*args: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*args, **named)
        finally:
            seconds[name] += time.perf_counter() - begin

    return run


def save(trainer: Any, file: Path, seconds: dict[str, float]) -> None:
    """How long its epochs took, and its parts in all, and the size of its net."""
    begins = trainer.logger.get_value("epoch_start_timestamps", None)
    ends = trainer.logger.get_value("epoch_end_timestamps", None)
    # The trainer notes an epoch's end before it writes checkpoints and curves: what comes until the next begin. The last one has no next.
    found = {
        "epoch_s": [after - begin for begin, after in pairwise(begins)],
        "fixed_s": [after - end for end, after in zip(ends, begins[1:], strict=False)],
        "seconds": seconds,
        "iterations": trainer.num_iterations_per_epoch,
        "validation_iterations": trainer.num_val_iterations_per_epoch,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "versions": {name: import_module("importlib.metadata").version(name) for name in ("nnunetv2", "torch")},
    }
    file.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
