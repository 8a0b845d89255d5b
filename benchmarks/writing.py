"""Writing predictions while a GPU is fed: threads against processes (`infer.writing`).

    autoseg demo make -w WORKSPACE --people 4 --size 2048
    python -m benchmarks.writing WORKSPACE --processes 0,4

No net: in its place the main thread launches small torch operations, `--launches` for each case, as a forward pass on a GPU does, and
gives the truth of a training image, its border roughened, as the prediction. Printed are seconds a case, the time that a launch takes
against the same without any writing, processor time of this process and of the others, and the largest memory (PSS) of all. Each row is a
process of its own. Images are those of WORKSPACE/raw/HandBone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.case import Case
from autoseg.infer.bits import BitMasks
from autoseg.infer.flow import WRITERS, Steps, flow
from autoseg.infer.segmentation import Segmentation
from autoseg.infer.target import Target
from autoseg.infer.writing import Writer, num_bytes
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.labels import LabelSpace

# torch is imported where it is used: processes that write read this file again, and must not hold it.

FORMATS = "coco,rle,polygons,masks"
HEAD = "| processes | s a case | a launch, times idle | processor s a case, here and there | peak MiB |\n|---|---|---|---|---|"


def segmentations(workspace: Path, num: int) -> list[tuple[Path, Segmentation]]:
    """The truth of some training images, overlapping classes, with borders as ragged as a net's."""
    dataset = read_dataset(workspace / "raw" / "HandBone")
    labels = LabelSpace(classes=dataset.classes, exclusive=False)
    found = []
    for case in dataset.train[:num]:
        loaded = read_case(dataset, case)
        assert loaded.labels is not None, "a training case"
        table, codes = loaded.labels.table, loaded.labels.codes
        shape = loaded.geometry.shape
        texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 1.5).astype(np.float32)
        masks = BitMasks.empty(labels.num_classes, shape)
        for k in range(labels.num_classes):
            masks.set(k, ndimage.gaussian_filter(table[codes, k].astype(np.float32), 2) + texture / 2 > 0.5)
        found.append((case.images[0], Segmentation(labels=labels, geometry=loaded.geometry, array=masks)))
    return found


def launch(num: int) -> float:
    """Seconds for so many small operations, each of which gives Python's lock up and takes it again."""
    import torch

    numbers = torch.zeros(64)
    begun = time.perf_counter()
    for _ in range(num):
        numbers.add_(1)
    return time.perf_counter() - begun


def measure(given: argparse.Namespace, processes: int) -> str:
    """A row of the table."""
    import torch

    from benchmarks.predict import MIB, Peak

    torch.set_num_threads(1)
    made = segmentations(given.workspace, 4)
    cases = [Case(name=f"case{i:03d}", images=(made[i % len(made)][0],)) for i in range(given.cases)]
    idle = min(launch(given.launches) for _ in range(3))
    launched: list[float] = []

    def predict(group: Sequence[int]) -> Iterator[Segmentation]:
        for number in group:
            launched.append(launch(given.launches))
            found = made[number % len(made)][1]
            assert isinstance(found.array, BitMasks)
            yield replace(found, array=BitMasks(found.array.planes.copy(), found.array.num))

    with tempfile.TemporaryDirectory() as out:
        target = Target(out=Path(out), labels=made[0][1].labels, num_axes=2, formats=tuple(given.formats.split(",")))
        threads = max(WRITERS, processes)
        writer = Writer(target, len(cases), processes=processes, threads=threads, on_gpu=True)
        steps: Steps[int, Segmentation] = Steps(
            read=lambda case: int(case.name[4:]), num_tiles=lambda _: 1, predict=predict, num_bytes=lambda _: 0, result_bytes=num_bytes,
            write=lambda case, found: writer.write(case, found, is_known=False),
        )  # fmt: skip
        peak, begun, used = Peak(os.getpid()), time.perf_counter(), os.times()
        for case, error in flow(cases, steps, batch=1, writers=threads):
            if error is not None:
                peak.end()
                sys.exit(f"{case.name}: {error!r}")
        seconds = time.perf_counter() - begun
        memory = peak.end()
        writer.close()
    now, num = os.times(), len(cases)
    here = (now.user - used.user + now.system - used.system) / num
    there = (now.children_user + now.children_system - used.children_user - used.children_system) / num
    slower = sum(launched) / len(launched) / idle
    return f"| {processes} | {seconds / num:.2f} | {slower:.2f} | {here:.2f}, {there:.2f} | {memory / MIB:.0f} |"


def main() -> None:
    """Print the table, or a row of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--processes", default="0,4", help="0: threads of this process")
    parser.add_argument("--formats", default=FORMATS)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--launches", type=int, default=100_000)
    given = parser.parse_args()
    if "," not in given.processes:
        print(measure(given, int(given.processes)), flush=True)
        return
    print(HEAD, flush=True)
    options = [f"--{name}={getattr(given, name)}" for name in ("formats", "cases", "launches")]
    for processes in given.processes.split(","):
        row = [sys.executable, "-m", "benchmarks.writing", str(given.workspace), f"--processes={processes}", *options]
        subprocess.run(row, check=True)


if __name__ == "__main__":
    main()
