"""Augmentation of a patch beside nnU-Net's, one thread each.

    taskset -c 1 python -m benchmarks.augmentation --nnunet VENV --draws 300

Both sides get the same hand of the phantom from memory: autoseg the stored one (8 bit, a code map of 29 overlapping classes), nnU-Net what
its loader would hand on (fp32, normalised, and the best integer map of the 29). Counted are drawing the parameters and all transforms of
nnU-Net's training at their probabilities, for autoseg normalisation as well; reading is not, nor are labels for deep supervision.
nnU-Net's transforms are built by its trainer in an environment of its own (benchmarks/nnunet_augmentation.py); without --nnunet only
autoseg is timed. "workers" is autoseg's other backend, batchgenerators' transforms: what a worker does, and what is left to the device;
the larger box that it reads is not counted, nor is the pipe between processes. --backends times only it and the device's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.augment import Intensity, RawSample, draw_sample, make_batch, sample_rng, source_box
from autoseg.augment.synthetic import stage_draw
from autoseg.demo.case import draw_hands, outlines, render
from autoseg.experiment_plans import load_plan
from autoseg.io.polygons import fill_polygon
from autoseg.labels import CodeMap, encode_masks
from autoseg.plan import Stage
from autoseg.recipe import AUGMENTATIONS, NO_AUGMENTATION, Augmentation
from autoseg.trainers.chain import transform_sample, wide_box
from autoseg.trainers.sampler import read_mirrored

CPU = torch.device("cpu")
WARM_UP = 3
#: The picture is this much larger than the patch: nnU-Net's loader reads 1204 pixels for 1024.
MARGIN = 1.25
#: One transform at a time, always applied where it may be.
ALONE: dict[str, dict[str, float]] = {
    "nothing": {}, "rotation": {"rotation_p": 1}, "scaling": {"scaling_p": 1}, "flips": {"flip_p": 0.5}, "noise": {"noise_p": 1},
    "blur": {"blur_p": 1}, "brightness": {"brightness_p": 1}, "contrast": {"contrast_p": 1}, "low resolution": {"lowres_p": 1},
    "gamma, inverted": {"gamma_inverted_p": 1}, "gamma": {"gamma_p": 1}, "elastic": {"elastic_p": 1},
    "grid distortion": {"grid_distortion_p": 1}, "CLAHE": {"clahe_p": 1}, "dropout": {"dropout_p": 1},
}  # fmt: skip
Times = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A hand: its grey values (Y, X), its classes, and how it is normalised."""

    grey: NDArray[np.uint8]
    masks: list[NDArray[np.bool_]]
    labels: CodeMap
    intensity: Intensity


def main() -> None:
    """Time both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet", type=Path, metavar="VENV", help="virtual environment with nnunetv2")
    parser.add_argument("--edge", type=int, default=1024)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--single", type=int, default=100, help="draws of each transform by itself")
    parser.add_argument("--backends", action="store_true", help="only the device's and the workers' transforms, side by side")
    given = parser.parse_args()
    torch.set_num_threads(1)
    picture = draw_picture(round(MARGIN * given.edge))
    if given.backends:
        device, workers = timed(picture, Augmentation(), given.edge, given.draws), timed_workers(picture, given.edge, given.draws)
        report({"device": device, "workers": workers}, {})
        return
    ours = {"all": timed(picture, Augmentation(), given.edge, given.draws)}
    for name, probabilities in ALONE.items():
        ours[name] = timed(picture, replace(NO_AUGMENTATION, **probabilities), given.edge, given.single)  # type: ignore[arg-type]
    ours["strong"] = timed(picture, AUGMENTATIONS["strong"], given.edge, given.draws)
    theirs: dict[str, Any] = run_nnunet(given, picture) if given.nnunet else {"times": {}, "versions": {}}
    report(ours, theirs["times"])
    print(f"torch {torch.__version__}; nnU-Net's side: {theirs['versions'] or 'not run'}")


def draw_picture(size: int) -> Picture:
    """The right hand of the phantom's first person with its 29 overlapping bones."""
    _, scenes = draw_hands(seed=0, part="train", index=0)
    grey = render(scenes["R"], size=size)
    masks = []
    for points in outlines(scenes["R"], size=size).values():
        masks.append(np.zeros(grey.shape, np.bool_))
        fill_polygon(masks[-1], points)
    rule = Intensity(mean=(float(grey.mean()),), std=(float(grey.std()),), lower=(-np.inf,), upper=(np.inf,))
    return Picture(grey=grey, masks=masks, labels=encode_masks(masks, grey.shape), intensity=rule)


def timed(picture: Picture, augmentation: Augmentation, edge: int, draws: int) -> list[float]:
    """Seconds of each draw and of what it does to a patch; cutting its source box out of the picture is not counted."""
    times = []
    for iteration in range(WARM_UP + draws):
        begin = time.perf_counter()
        draw = draw_sample(sample_rng(0, "0", iteration, 0), augmentation, num_channels=1, num_axes=2, mirror_axes=(0, 1), rotation=180.0)
        drawn = time.perf_counter()
        sample = cut(picture, draw, edge)
        ready = time.perf_counter()
        make_batch([sample], (edge, edge), device=CPU)
        times.append(time.perf_counter() - ready + drawn - begin)
    return times[WARM_UP:]


def timed_workers(picture: Picture, edge: int, draws: int) -> list[float]:
    """The same of the backend of workers, in this process."""
    stage = load_plan("HandBone_v100-32gb").stages["2d"]
    recipe = replace(stage.recipe, augmentation=AUGMENTATIONS["workers"])
    stage = replace(stage, patch=(edge, edge), mirror_axes=(0, 1), rotation_degrees=180.0, recipe=recipe)
    times = []
    for iteration in range(WARM_UP + draws):
        begin = time.perf_counter()
        draw = stage_draw(stage, sample_rng(0, "0", iteration, 0))
        drawn = time.perf_counter()
        sample = cut(picture, draw, edge, wide=stage)
        ready = time.perf_counter()
        make_batch([transform_sample(sample, stage)], (edge, edge), device=CPU)
        times.append(time.perf_counter() - ready + drawn - begin)
    return times[WARM_UP:]


def cut(picture: Picture, draw: Any, edge: int, *, wide: Stage | None = None) -> RawSample:
    """What a worker reads for a patch in the middle of the picture; all that any draw of a stage may need if one is given."""
    corner = ((picture.grey.shape[0] - edge) // 2,) * 2
    box = source_box(corner, (edge, edge), draw) if wide is None else wide_box(corner, wide)
    window = [slice(a, b) for a, b in zip(box.start, box.stop, strict=True)]
    return RawSample(
        image=np.ascontiguousarray(read_mirrored(picture.grey[None], window, leading=1)),
        codes=np.ascontiguousarray(read_mirrored(picture.labels.codes, window, leading=0)),
        table=picture.labels.table,
        ignore=picture.labels.ignore,
        intensity=picture.intensity,
        draw=draw,
        centre=box.centre,
    )


def run_nnunet(given: argparse.Namespace, picture: Picture) -> dict[str, Any]:
    """The same picture through nnU-Net's transforms, in its environment and on one thread."""
    labels = np.zeros(picture.grey.shape, np.int16)
    for number, mask in enumerate(picture.masks, start=1):
        labels[mask] = number
    image = (picture.grey.astype(np.float32) - picture.intensity.mean[0]) / picture.intensity.std[0]
    script = Path(__file__).parent / "nnunet_augmentation.py"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.npz"
        np.savez(file, image=image, labels=labels)
        numbers = [f"--{name}={getattr(given, name)}" for name in ("edge", "draws", "single")]
        command = [str(given.nnunet / "bin" / "python"), str(script), str(file), *numbers]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"nnU-Net's side failed with exit code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(ours: Times, theirs: Times) -> None:
    """A row for each transform: milliseconds a patch, median and mean, of both sides."""
    print("| | autoseg, median | mean | nnU-Net, median | mean | mean, times |\n|---|---|---|---|---|---|")
    for name, times in ours.items():
        row = [f"{1000 * value:.1f}" for value in (statistics.median(times), statistics.mean(times))]
        other = theirs.get(name)
        if other:
            row += [f"{1000 * value:.1f}" for value in (statistics.median(other), statistics.mean(other))]
            row.append(f"{statistics.mean(other) / statistics.mean(times):.1f}")
        print(f"| {name} | {' | '.join(row + [''] * (5 - len(row)))} |")


if __name__ == "__main__":
    main()
