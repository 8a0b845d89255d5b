"""The other side of benchmarks/step.py: nnU-Net's own training step. Run by it, with the Python of nnU-Net's own environment.

    VENV/bin/python benchmarks/nnunet_step.py FOLDER --edge 512 --batch 2 --classes 29

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

DEPTH, MAX_FEATURES = 8, 512


def main() -> None:
    """Serve steps until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--edge", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--classes", type=int, required=True)
    given = parser.parse_args()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        # Read when nnU-Net is imported; its log goes there.
        os.environ[name] = str(given.folder)
    # The trainer looks what kind of files its data set has; it reads none.
    prepared = given.folder / "Dataset001_Random" / "nnUNetPlans_2d"
    prepared.mkdir(parents=True, exist_ok=True)
    (prepared / "case.npz").touch()
    # What nnU-Net prints must not mix with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.manual_seed(0)
    one = trainer(given.edge, given.batch, given.classes)
    images = torch.randn(given.batch, 1, given.edge, given.edge)
    labels = [torch.randint(0, given.classes + 1, (given.batch, 1, given.edge >> level, given.edge >> level)) for level in range(DEPTH - 1)]
    one.network.train()
    print(json.dumps({**export(one.network, images, given.folder / "nnunet.npz"), **versions()}), file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        one.train_step({"data": images, "target": labels})
        print(time.perf_counter() - start, file=answers, flush=True)


def trainer(edge: int, batch: int, classes: int) -> Any:
    """nnU-Net's trainer, initialised on the CPU; its learning rate stays at that of the first epoch."""
    made = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
    dataset = {
        "channel_names": {"0": "X-ray"},
        "labels": {"background": 0} | {f"bone {k}": k for k in range(1, classes + 1)},
        "numTraining": 100,
        "file_ending": ".png",
    }
    one = made({**plans(edge, batch), "continue_training": False}, "2d", 0, dataset, device=torch.device("cpu"))
    one.initialize()
    return one


def plans(edge: int, batch: int) -> dict[str, Any]:
    """Plans for a 2D configuration as nnU-Net's default planner writes them (ExperimentPlanner, PlainConvUNet)."""
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": DEPTH,
            "features_per_stage": [min(MAX_FEATURES, 32 << level) for level in range(DEPTH)],
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * DEPTH,
            "strides": [[1, 1]] + [[2, 2]] * (DEPTH - 1),
            "n_conv_per_stage": [2] * DEPTH,
            "n_conv_per_stage_decoder": [2] * (DEPTH - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": batch,
        "patch_size": [edge, edge],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": architecture,
        "batch_dice": True,
    }
    return {"dataset_name": "Dataset001_Random", "plans_name": "nnUNetPlans", "configurations": {"2d": configuration}}


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
