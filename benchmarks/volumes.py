"""Memory of predicting one large volume with many classes: what a process and all below it hold at most, .nii.gz in and out.

    python -m benchmarks.volumes                      # 800 x 512 x 512, 30 classes: softmax and sigmoid, as it is and resampled
    python -m benchmarks.volumes --kinds softmax --scales 1.25 --patch 192 256 256
    python -m benchmarks.volumes --cascade --scales 1

The net is of nnU-Net's shape but narrow (8 features that double up to 64), untrained, and its tiles lie side by side, so that two cores
take minutes: features and the number of tiles change the time; what is measured here is image, open rows, masks and export. On a CPU the
open rows and the net are in the figure; a GPU holds them itself: `without open rows` is what is needed beside it, at most. Memory is the
largest sum of proportional set sizes (benchmarks/predict.py), looked at 20 times a second. Masks of an untrained net are noise, which
takes longest to compress. The volume is oblique, and its x axis runs against the canonical one: all is turned on the way in and out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from autoseg.budget import GIB, Budget
from autoseg.case import Case
from autoseg.checkpoint import Checkpoint, save_checkpoint
from autoseg.infer.record import checksum
from autoseg.infer.window import num_tiles
from autoseg.labels import LabelSpace
from autoseg.nets import build_unet
from autoseg.plan import Normalization, Plan, Stage
from autoseg.predictor import Predictor
from autoseg.preprocess.prepare import resampled_shape
from benchmarks.nnunet_predict import processor_s
from benchmarks.predict import MIB, Peak, Side, pss_bytes
from benchmarks.stages import stage

SPACING = (1.0, 0.8, 0.8)
LOW = 1.6
FEATURES, MOST_FEATURES = 8, 64
#: A turn of 20 degrees about x; the x axis runs the other way.
DIRECTION = (-1.0, 0.0, 0.0, 0.0, math.cos(0.35), -math.sin(0.35), 0.0, math.sin(0.35), math.cos(0.35))


def draw_volume(path: Path, shape: Sequence[int]) -> None:
    """A smooth texture in the numbers of a CT, int16, in an oblique .nii.gz."""
    rng = np.random.default_rng(0)
    cell = ndimage.gaussian_filter(rng.normal(size=(64, 64, 64)), 3, mode="wrap")
    cell = np.rint(cell / cell.std() * 200).astype(np.int16)
    volume = np.tile(cell, [-(-n // 64) for n in shape])[tuple(slice(0, n) for n in shape)]
    volume = volume + np.arange(shape[0], dtype=np.int16)[:, None, None] % 50
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume))
    image.SetSpacing(SPACING[::-1])
    image.SetDirection(DIRECTION)
    image.SetOrigin((12.5, -7.25, 100.0))
    path.parent.mkdir(parents=True)
    sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=1)


def narrow_stage(name: str, given: argparse.Namespace, *, exclusive: bool, scale: float, behind: str | None = None) -> Stage:
    """A 3D stage with few features, at `scale` times the volume's spacing."""
    one = stage(tuple(given.patch), 1, classes=given.classes, exclusive=exclusive, precision="bf16")
    features = tuple(min(MOST_FEATURES, FEATURES << level) for level in range(len(one.network.features)))
    network = replace(one.network, features=features, in_channels=1 if behind is None else 1 + given.classes)
    spacing = tuple(s * scale for s in SPACING)
    return replace(one, name=name, network=network, spacing=spacing, resample=scale != 1, previous=behind)


def narrow_run(folder: Path, stages: Sequence[Stage], classes: int, *, exclusive: bool) -> Path:
    """Runs of one untrained fold each, the later ones behind the earlier; the last one's folder."""
    labels = LabelSpace(
        classes=tuple(f"organ {k}" for k in range(1, classes + 1)), exclusive=exclusive,
        values=tuple(range(1, classes + 1)) if exclusive else (),
    )  # fmt: skip
    plan = Plan(
        name="default", dataset="Random", fingerprint="", labels=labels, num_axes=3, unit="mm", channels=("CT",),
        normalization=(Normalization(kind="ct", lower=-500.0, upper=500.0, mean=0.0, std=200.0),), crop_to_nonzero=False,
        budget=Budget(name="cpu", kind="cpu", memory_bytes=2**34), stages={one.name: one for one in stages},
    )  # fmt: skip
    before = ""
    for one in stages:
        torch.manual_seed(0)
        fold = folder / "results" / "default" / f"{one.name}-default" / "fold0"
        file = fold / "checkpoint_last.safetensors"
        checkpoint = Checkpoint(plan=plan, stage=one.name, fold="0", weights=build_unet(one.network).state_dict(), previous=before)
        save_checkpoint(file, checkpoint)
        (fold / "summary.json").write_text("{}")
        before = checksum(file)
    return fold.parent


def serve(given: argparse.Namespace) -> None:
    """The process that is measured: say what it is, then predict for each line of input."""
    (run,) = (path for path in (given.folder / "results" / "default").iterdir() if path.name != "3d_lowres-default")
    predictor = Predictor.load(run, device="cpu", tta=False, step=1.0)
    window, settings = predictor.model.window, predictor.plan.stages[predictor.stage]
    (path,) = (given.folder / "in").iterdir()
    cases = [Case(name=f"case{number}", images=(path,)) for number in range(given.cases)]
    grid = resampled_shape(tuple(given.shape), SPACING, stage=settings)
    rows = min(window.patch[0], grid[0]) * math.prod(grid[1:]) * predictor.plan.labels.num_heads * 4
    about = {"grid": grid, "tiles": num_tiles(grid, window), "precision": window.precision, "open rows, MiB": round(rows / MIB)}
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        start, used = time.perf_counter(), processor_s()
        outcome = predictor.predict_files(cases, given.folder / "out", overwrite=True)
        if outcome.failures:
            sys.exit(str(outcome.failures))
        print(json.dumps([time.perf_counter() - start, 0.0, processor_s() - used]), flush=True)


def measure(folder: Path, given: argparse.Namespace, *, exclusive: bool, scale: float) -> tuple[str, ...]:
    """A row of the table."""
    if given.cascade:
        stages = [narrow_stage("3d_lowres", given, exclusive=exclusive, scale=LOW)]
        stages += [narrow_stage("3d_cascade_fullres", given, exclusive=exclusive, scale=scale, behind="3d_lowres")]
    else:
        stages = [narrow_stage("3d_fullres", given, exclusive=exclusive, scale=scale)]
    narrow_run(folder, stages, given.classes, exclusive=exclusive)
    sizes = [f"--cases={given.cases}", "--shape", *map(str, given.shape)]
    side = Side.start([sys.executable, "-m", "benchmarks.volumes", "--folder", str(folder), *sizes])
    before = pss_bytes(side.process.pid)
    look = Peak(side.process.pid)
    times = side.predict()
    peak = look.end()
    side.end()
    rows = side.about["open rows, MiB"]
    written = sum(file.stat().st_size for file in (folder / "out").rglob("*.nii.gz")) / MIB
    return (
        "softmax" if exclusive else "sigmoid", " x ".join(map(str, side.about["grid"])), str(side.about["tiles"]), f"{peak / GIB:.2f}",
        f"{(peak / MIB - rows) / 1024:.2f}", f"{rows / 1024:.2f}", f"{before / GIB:.2f}", f"{written:.0f}", f"{times.whole:.0f}",
        f"{times.processor:.0f}",
    )  # fmt: skip


HEAD = (
    "heads", "grid of the net", "tiles", "GiB at the peak", "without open rows", "open rows", "before", "MiB written", "s", "processor s"
)  # fmt: skip


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(800, 512, 512))
    parser.add_argument("--patch", type=int, nargs=3, default=(128, 128, 128))
    parser.add_argument("--classes", type=int, default=30)
    parser.add_argument("--kinds", nargs="+", choices=("softmax", "sigmoid"), default=("softmax", "sigmoid"))
    parser.add_argument("--scales", type=float, nargs="+", default=(1.0, 1.25), help="the plan's spacing in times of the volume's")
    parser.add_argument("--cascade", action="store_true", help=f"behind a stage at {LOW} times the volume's spacing")
    parser.add_argument("--cases", type=int, default=1, help="the same volume so many times")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        serve(given)
        return
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    for kind in given.kinds:
        for scale in given.scales:
            with tempfile.TemporaryDirectory() as text:
                draw_volume(Path(text) / "in" / "volume.nii.gz", given.shape)
                cells = measure(Path(text), given, exclusive=kind == "softmax", scale=scale)
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
