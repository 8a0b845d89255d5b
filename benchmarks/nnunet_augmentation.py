"""The other side of benchmarks/augmentation.py: times nnU-Net's training transforms. Run by it, with the Python of nnU-Net's environment.

    VENV/bin/python benchmarks/nnunet_augmentation.py PICTURE.npz --edge 1024 --draws 300 --single 100

Imports nothing of autoseg. The transforms are those that nnU-Net's trainer builds; where one is timed by itself, its probability is set.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch

#: The transforms of `get_training_transforms` after the spatial one, in their order.
INTENSITY = ("noise", "blur", "brightness", "contrast", "low resolution", "gamma, inverted", "gamma")
WARM_UP = 3
#: Extra rotation and scaling that nnU-Net's loader cuts patches for (`configure_rotation_dummyDA_mirroring_and_inital_patch_size`).
INITIAL_SCALE = (0.85, 1.25)


def main() -> None:
    """Print {"all": seconds of each draw, NAME: seconds of each draw, "versions": ...} as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", help="npz with image (fp32, normalised) and labels (int16), both (Y, X)")
    parser.add_argument("--edge", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--single", type=int, required=True, help="draws of each transform by itself")
    given = parser.parse_args()
    torch.set_num_threads(1)
    np.random.seed(0)  # nnU-Net draws from numpy's global state
    torch.manual_seed(0)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        # Read when nnU-Net is imported; nothing is read from there or written to it.
        os.environ.setdefault(name, os.getcwd())
    image, labels = cut(given.picture, given.edge)
    times = {"all": timed(build(given.edge), image, labels, given.draws)}
    for name, transform in alone(given.edge).items():
        times[name] = timed(transform, image, labels, given.single)
    version = import_module("importlib.metadata").version
    versions = {name: version(name) for name in ("nnunetv2", "batchgeneratorsv2", "torch")}
    print(json.dumps({"times": times, "versions": versions, "crop": list(image.shape[1:])}))


def cut(picture: str, edge: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The middle of the picture in the size that nnU-Net's loader hands to the transforms: image (1, Y, X), labels (1, Y, X)."""
    module = import_module("nnunetv2.training.data_augmentation.compute_initial_patch_size")
    turn = (-math.pi, math.pi)
    size = [int(n) for n in module.get_patch_size((edge, edge), turn, turn, turn, INITIAL_SCALE)]
    with np.load(picture) as arrays:
        image, labels = arrays["image"], arrays["labels"]
    start = [(have - need) // 2 for have, need in zip(image.shape, size, strict=True)]
    if min(start) < 0:
        raise SystemExit(f"the picture has {image.shape} pixels, and {size} are read")
    window = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    return torch.from_numpy(image[window][None].astype(np.float32)), torch.from_numpy(labels[window][None].astype(np.int16))


def build(edge: int) -> Any:
    """What nnU-Net's trainer builds for a square 2D patch: the full circle, both flips, no copies of the labels for deep supervision."""
    trainer = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
    return trainer.get_training_transforms((edge, edge), (-math.pi, math.pi), None, (0, 1), False)


def alone(edge: int) -> dict[str, Any]:
    """Each of those transforms by itself, always applied where it may be; the spatial one without rotation and scaling is "nothing"."""
    found = {}
    for name, rotation, scaling in (("nothing", 0, 0), ("rotation", 1, 0), ("scaling", 0, 1)):
        transforms = build(edge)
        spatial = transforms.transforms[0]
        spatial.p_rotation, spatial.p_scaling = rotation, scaling
        found[name] = keep(transforms, [0])
    for place, name in enumerate(INTENSITY, start=1):
        transforms = build(edge)
        transforms.transforms[0].p_rotation = transforms.transforms[0].p_scaling = 0
        random = transforms.transforms[place]
        random.apply_probability = 1
        found[name] = keep(transforms, [0, place])
    transforms = build(edge)
    transforms.transforms[0].p_rotation = transforms.transforms[0].p_scaling = 0
    found["flips"] = keep(transforms, [0, len(INTENSITY) + 1])
    return found


def keep(transforms: Any, places: list[int]) -> Any:
    """The chain with these transforms alone and the last one, which clears what the warp marked as outside."""
    transforms.transforms = [transforms.transforms[place] for place in [*places, -1]]
    return transforms


def timed(transform: Callable[..., Any], image: torch.Tensor, labels: torch.Tensor, draws: int) -> list[float]:
    """Seconds of each draw; the copies of the inputs, which the transforms write to, are not counted."""
    times = []
    for _ in range(WARM_UP + draws):
        given = {"image": image.clone(), "segmentation": labels.clone()}
        begin = time.perf_counter()
        transform(**given)
        times.append(time.perf_counter() - begin)
    return times[WARM_UP:]


if __name__ == "__main__":
    main()
