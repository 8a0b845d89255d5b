"""A training step of nnU-Net's own trainer beside ours on a CPU: same network, patch, batch and kind of loss, in turn, two threads.

    OMP_NUM_THREADS=2 taskset -c 0,1 python -m benchmarks.step VENV    # an environment in which nnU-Net is installed
    OMP_NUM_THREADS=2 taskset -c 0,1 python -m benchmarks.step VENV --patch 40 56 40 --classes 2

First the outputs of both nets with nnU-Net's weights are compared, in fp32 at all scales. Then every variant of ours is timed in turn with
nnU-Net's step, each in a process of its own; printed are medians, and the median of the ratios of pairs.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from autoseg.nets import build_unet
from autoseg.step import arrange
from benchmarks.nnunet_weights import load_nnunet
from benchmarks.stages import stage
from benchmarks.variants import VARIANTS, server

PATCH, BATCH, CLASSES = (512, 512), 2, 29
TOLERANCE = 1e-4
#: Between two processes' steps, so that the threads of the one that just ran have stopped waiting for work.
PAUSE_S = 0.3


@dataclass(kw_only=True)
class Served:
    """A process that makes a step for each line it gets."""

    process: subprocess.Popen[str]
    about: dict[str, Any]

    def step(self) -> float:
        """Seconds of one step."""
        assert self.process.stdin is not None
        time.sleep(PAUSE_S)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(map(str, self.process.args))} ended with exit code {self.process.wait()}")  # type: ignore[arg-type]
        return line

    def end(self) -> None:
        """Close its input and wait."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve(command: list[str]) -> Served:
    """Start a process and read what it says of itself."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    one = Served(process=process, about={})
    one.about = json.loads(one._answer())
    return one


def nnunet(venv: Path, folder: Path, sizes: list[str]) -> Served:
    """nnU-Net's side."""
    script = Path(__file__).with_name("nnunet_step.py")
    return serve([str(venv / "bin" / "python"), str(script), str(folder), *sizes])


def compare(file: Path, layout: str, patch: tuple[int, ...], classes: int) -> tuple[list[float], dict[str, int]]:
    """Largest difference of the outputs at each of our scales, with nnU-Net's weights, in fp32; our parameters and operations.

    Parameters
    ----------
    file : Path
        As benchmarks/nnunet_step.py writes it.
    layout : {"cuda", "cpu"}
        Whose memory format and kernels; CUDA's are those of nnU-Net's net.
    patch, classes : tuple of int, int
    """
    arrays = dict(np.load(file))
    net = build_unet(stage(patch, BATCH, classes=classes, exclusive=True).network)
    load_nnunet(net, {name.removeprefix("weight "): torch.from_numpy(a) for name, a in arrays.items() if name.startswith("weight ")})
    arrange(net.train(), layout, len(patch))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        outputs = net(torch.from_numpy(arrays["images"]))
    differences = [float((y - torch.from_numpy(arrays[f"output {i}"])).abs().max()) for i, y in enumerate(outputs)]
    return differences, {"parameters": sum(p.numel() for p in net.parameters()), "flops": counter.get_total_flops()}


def pairs(theirs: Served, variant: str, rounds: int, sizes: list[str]) -> tuple[list[float], list[float]]:
    """Seconds of nnU-Net's steps and of a variant's, in turn, after a step of each that does not count."""
    ours = serve([sys.executable, "-m", "benchmarks.step", "--serve", variant, *sizes])
    times = [(theirs.step(), ours.step()) for _ in range(rounds + 1)][1:]
    ours.end()
    first, second = zip(*times, strict=True)
    return list(first), list(second)


def main() -> None:
    """Compare, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("venv", type=Path, nargs="?", help="with nnunetv2 in it")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of steps of each variant")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--patch", type=int, nargs="+", default=PATCH)
    parser.add_argument("--classes", type=int, default=CLASSES, help="beside the background")
    parser.add_argument("--serve", choices=VARIANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        server(given.serve, tuple(given.patch), BATCH, given.classes)
        return
    if given.venv is None or not (given.venv / "bin" / "python").is_file():
        sys.exit("Name the environment that nnU-Net is installed in: python -m benchmarks.step VENV, with VENV/bin/python in it.")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, processors {sorted(os.sched_getaffinity(0))}")
    with tempfile.TemporaryDirectory() as folder:
        sizes = ["--patch", *map(str, given.patch), "--classes", str(given.classes)]
        theirs = nnunet(given.venv, Path(folder), [*sizes, "--batch", str(BATCH)])
        report(theirs, Path(folder) / "nnunet.npz", tuple(given.patch), given.classes)
        print("\n| step | median s | min - max | nnU-Net beside it | times nnU-Net's speed |\n|---|---|---|---|---|", flush=True)
        for variant in given.only:
            first, second = pairs(theirs, variant, given.rounds, sizes)
            print(row(VARIANTS[variant].says, first, second), flush=True)
        theirs.end()


def report(theirs: Served, file: Path, patch: tuple[int, ...], classes: int) -> None:
    """Outputs, parameters and operations of both; ends the run if the outputs differ."""
    print(f"nnunetv2 {theirs.about['nnunetv2']} with torch {theirs.about['torch']}")
    differences, ours = compare(file, "cuda", patch, classes)
    for says, found in (("as nnU-Net's", differences), ("channels_last, as trained here", compare(file, "cpu", patch, classes)[0])):
        print(f"largest difference of outputs, finest scale first, {says}: {', '.join(f'{d:.1e}' for d in found)}")
    for name, about in (("nnU-Net", theirs.about), ("ours", ours)):
        print(f"{name}: {about['parameters']:,} parameters, {about['flops'] / 1e9:.1f} GFLOP in a forward pass of the batch")
    if max(differences) > TOLERANCE:
        sys.exit(f"the nets are not the same: outputs differ by {max(differences):.1e}, allowed are {TOLERANCE}")


def row(name: str, theirs: list[float], ours: list[float]) -> str:
    """A line of the table."""
    median = statistics.median
    ratio = median(a / b for a, b in zip(theirs, ours, strict=True))
    return f"| {name} | {median(ours):.2f} | {min(ours):.2f} - {max(ours):.2f} | {median(theirs):.2f} | {ratio:.2f} |"


if __name__ == "__main__":
    main()
