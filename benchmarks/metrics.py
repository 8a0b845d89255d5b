"""Seconds of processor time that a case of 29 classes takes to evaluate, the memory of it, and how far the metrics are from MONAI's.

Usage: python -m benchmarks.metrics [SIZE]
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy import ndimage

from autoseg.case import Dataset
from autoseg.demo import write_phantom
from autoseg.evaluate.folder import score_pairs
from autoseg.evaluate.predictions import find_predictions, pair_up
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.io.writers import write_masks
from autoseg.labels import Mask, encode_masks
from autoseg.metrics.measure import Rules, measure

SPACINGS = ((1.0, 1.0), (0.31, 2.7), (1.0, 1.0, 1.0), (4.0, 0.7, 0.9))
#: Random pairs of shapes for each spacing, and their edges.
PAIRS, EDGE = 50, {2: 96, 3: 32}
SHIFT = 4
TOLERANCE = 1.5


#: A process that does nothing but measure the pairs of a folder, so many times over, and says how much memory it took.
PEAK = """
import re, sys
from pathlib import Path
from autoseg.evaluate.folder import score_pairs
from autoseg.evaluate.predictions import find_predictions, pair_up
from autoseg.io.layouts import read_dataset
from autoseg.metrics.measure import Rules
raw = read_dataset(Path(sys.argv[1]) / "raw/HandBone")
pairs = pair_up(find_predictions(Path(sys.argv[1]) / "shifted"), raw.train)[0]
num = len(score_pairs(raw, pairs * int(sys.argv[2]), Rules()))
print(num, re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1])  # getrusage begins with the parent's
"""


def main(size: int) -> None:
    """Print all three."""
    with TemporaryDirectory() as folder:
        seconds(Path(folder), size)
        memory(Path(folder))
    differences()


def memory(folder: Path) -> None:
    """Most memory of a process after four cases and after sixteen."""
    for times in (1, 4):
        done = subprocess.run([sys.executable, "-c", PEAK, str(folder), str(times)], capture_output=True, text=True, check=True)
        num, peak = done.stdout.split()
        print(f"{num} cases: at most {int(peak) / 1e3:.0f} MB of memory")


def seconds(folder: Path, size: int) -> None:
    """Files read, masks decoded, everything measured: one process, each case by itself."""
    write_phantom(folder, people=2, size=size, seed=0, workers=1)
    raw = read_dataset(folder / "raw/HandBone")
    rng = np.random.default_rng(0)
    for case in raw.train:
        loaded = read_case(raw, case)
        assert loaded.labels is not None
        masks = [loaded.labels.mask(k) for k in range(len(raw.classes))]
        shifted = (np.roll(mask, tuple(rng.integers(-SHIFT, SHIFT + 1, 2)), (0, 1)) for mask in masks)
        write_masks(folder / "shifted", case.name, zip(raw.classes, shifted, strict=True), loaded.geometry)
        stray = (mask | (rng.random(mask.shape) < 1e-4) for mask in masks)
        write_masks(folder / "stray", case.name, zip(raw.classes, stray, strict=True), loaded.geometry)
    for name, what in (("shifted", f"shifted by up to {SHIFT} pixels"), ("stray", "with 1 stray pixel in 10,000")):
        times = list(_times(raw, folder / name))
        print(f"{len(raw.classes)} classes, {size} x {size}, masks {what}: {min(times):.2f} to {max(times):.2f} s a case")


def _times(raw: Dataset, out: Path) -> Iterator[float]:
    for pair in pair_up(find_predictions(out), raw.train)[0]:
        begin = time.process_time()
        score_pairs(raw, [pair], Rules())
        yield time.process_time() - begin


def differences() -> None:
    """The largest absolute difference of each metric from MONAI's, over random shapes."""
    largest: dict[str, float] = {}
    warnings.simplefilter("ignore")
    from monai import metrics

    for spacing in SPACINGS:
        for a, b in _shapes((EDGE[len(spacing)],) * len(spacing), seed=len(spacing)):
            scores = measure(iter([a]), encode_masks([b], b.shape), spacing, Rules(tolerance=TOLERANCE)).scores
            said, there = (torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (a, b))
            theirs = {
                "dice": metrics.compute_dice(said, there),
                "iou": metrics.compute_iou(said, there),
                "hd95": metrics.compute_hausdorff_distance(said, there, include_background=True, percentile=95, spacing=spacing),
                "mean_surface_distance": metrics.compute_average_surface_distance(
                    said, there, include_background=True, symmetric=True, spacing=spacing
                ),
                "nsd": metrics.compute_surface_dice(said, there, [TOLERANCE], include_background=True, spacing=spacing),
            }
            for name, value in theirs.items():
                largest[name] = max(largest.get(name, 0.0), abs(float(value) - float(scores[name][0])))
    for name, difference in largest.items():
        print(f"{name}: at most {difference:.1e} from MONAI's over {PAIRS * len(SPACINGS)} pairs of shapes")


def _shapes(shape: tuple[int, ...], seed: int) -> Iterator[tuple[Mask, Mask]]:
    """Smoothed noise above a level, and the same disturbed; neither is empty."""
    rng = np.random.default_rng(seed)
    found = 0
    while found < PAIRS:
        noise = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 3))
        other = noise + rng.uniform(0.1, 1) * noise.std() * ndimage.gaussian_filter(rng.normal(size=shape), 1)
        a, b = other > noise.std(), noise > noise.std()
        if a.any() and b.any():
            found += 1
            yield a, b


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2048)
