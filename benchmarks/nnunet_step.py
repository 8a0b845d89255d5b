"""The other side of benchmarks/step.py: nnU-Net's own training step. Run by it, with the Python of nnU-Net's own environment.

    VENV/bin/python benchmarks/nnunet_step.py FOLDER --patch 512 512 --batch 2 --classes 29

Imports nothing of autoseg. Trainer, network, loss and optimizer are nnU-Net's, made by its own code from plans of the form that it writes;
nothing of them is changed. Writes FOLDER/nnunet.npz (weights, an image, the outputs at all scales), prints what it is as one line of JSON,
then makes a step for every line that it reads, and prints its seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

#: nnU-Net's planner's: shortest edge of a feature map, and most features of a stage by number of axes.
SHORTEST_EDGE, MAX_FEATURES = 4, {2: 512, 3: 320}
CONFIGURATIONS = {2: "2d", 3: "3d_fullres"}


def main() -> None:
    """Serve steps until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patch", type=int, nargs="+", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--classes", type=int, required=True)
    given = parser.parse_args()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        # Read when nnU-Net is imported; its log goes there.
        os.environ[name] = str(given.folder)
    # The trainer looks what kind of files its data set has; it reads none.
    prepared = given.folder / "Dataset001_Random" / f"nnUNetPlans_{CONFIGURATIONS[len(given.patch)]}"
    prepared.mkdir(parents=True, exist_ok=True)
    (prepared / "case.npz").touch()
    # What nnU-Net prints must not mix with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.manual_seed(0)
    one = trainer(given.patch, given.batch, given.classes)
    images = torch.randn(given.batch, 1, *given.patch)
    shapes = [[n >> level for n in given.patch] for level in range(depth(given.patch) - 1)]
    labels = [torch.randint(0, given.classes + 1, (given.batch, 1, *shape)) for shape in shapes]
    one.network.train()
    print(json.dumps({**export(one.network, images, given.folder / "nnunet.npz"), **versions()}), file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        one.train_step({"data": images, "target": labels})
        print(time.perf_counter() - start, file=answers, flush=True)


def depth(patch: list[int]) -> int:
    """Stages of the net: it halves while the shortest edge stays at least `SHORTEST_EDGE`."""
    return int(np.log2(min(patch) // SHORTEST_EDGE)) + 1


def trainer(patch: list[int], batch: int, classes: int) -> Any:
    """nnU-Net's trainer, initialised on the CPU; its learning rate stays at that of the first epoch."""
    made = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
    dataset = {
        "channel_names": {"0": "X-ray"},
        "labels": {"background": 0} | {f"bone {k}": k for k in range(1, classes + 1)},
        "numTraining": 100,
        "file_ending": ".png",
    }
    one = made({**plans(patch, batch), "continue_training": False}, CONFIGURATIONS[len(patch)], 0, dataset, device=torch.device("cpu"))
    one.initialize()
    return one


def plans(patch: list[int], batch: int) -> dict[str, Any]:
    """Plans for a configuration as nnU-Net's default planner writes them (ExperimentPlanner, PlainConvUNet)."""
    axes, stages, name = len(patch), depth(patch), CONFIGURATIONS[len(patch)]
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [min(MAX_FEATURES[axes], 32 << level) for level in range(stages)],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [[3] * axes] * stages,
            "strides": [[1] * axes] + [[2] * axes] * (stages - 1),
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "data_identifier": f"nnUNetPlans_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": batch,
        "patch_size": patch,
        "spacing": [1.0] * axes,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": architecture,
        "batch_dice": axes == 2,
    }
    return {"dataset_name": "Dataset001_Random", "plans_name": "nnUNetPlans", "configurations": {name: configuration}}


def export(network: Any, images: torch.Tensor, file: Path) -> dict[str, Any]:
    """Write weights, images and outputs, and count parameters and floating-point operations of a forward pass."""
    counter = import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        outputs = network(images)
    arrays = {f"weight {name}": value.numpy() for name, value in network.state_dict().items()}
    np.savez(file, images=images.numpy(), **arrays, **{f"output {i}": y.numpy() for i, y in enumerate(outputs)})
    return {"parameters": sum(p.numel() for p in network.parameters()), "flops": counter.get_total_flops()}


def versions() -> dict[str, str]:
    """Of what is measured."""
    version = import_module("importlib.metadata").version
    return {name: version(name) for name in ("nnunetv2", "torch")}


if __name__ == "__main__":
    main()
