"""The traced memory of CUDA beside a real GPU's, and the table of casts beside what autocast returns there.

    python -m benchmarks.gpu memory     # also: dtypes, all; --out FILE

Writes benchmarks/gpu.md. Needs torch, numpy and scipy alone, so that it runs on a bare machine; the GPU should have nothing else to do.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from autoseg.augment import RawSample, make_batch, sample_rng
from autoseg.augment.synthetic import heaviest_draw, synthetic_sample
from autoseg.budget import GIB, Precision
from autoseg.memory import trace_step, with_allowances
from autoseg.memory.trace import STORED
from autoseg.plan import Memory, Network, Stage
from autoseg.recipe import LossName, Recipe
from autoseg.step import build_learner, training_step
from benchmarks.dtypes import compare, on_cuda

OUT = Path(__file__).with_name("gpu.md")
TITLE = "# Measured on a GPU\n\nWritten by `python -m benchmarks.gpu all`; each part says where and when.\n"
NO_GPU = f"benchmarks.gpu measures on a CUDA device, and torch {torch.__version__} finds none here."
MAX_FEATURES = {2: 512, 3: 320}
WARM_UP_STEPS, TIMED_STEPS = 2, 5


def stage(
    patch: tuple[int, ...],
    batch: int,
    *,
    classes: int = 29,
    channels: int = 1,
    precision: Precision = "fp16",
    exclusive: bool = False,
    checkpointed: int = 0,
    cascade: bool = False,
) -> Stage:
    """A stage as the planner builds it: 32 features that double, pooled while the shortest edge stays at least 4; SGD."""
    axes = len(patch)
    depth = int(math.log2(min(patch) // 4)) + 1
    network = Network(
        in_channels=channels + classes * cascade,
        num_heads=classes + exclusive,
        features=tuple(min(MAX_FEATURES[axes], 32 * 2**level) for level in range(depth)),
        strides=((1,) * axes, *((2,) * axes,) * (depth - 1)),
        kernels=((3,) * axes,) * depth,
    )
    loss: LossName = "dice_ce" if exclusive else "dice_bce"
    return Stage(
        name={2: "2d_cascade" if cascade else "2d", 3: "3d_fullres"}[axes],
        spacing=(1.0,) * axes,
        resample=False,
        image_shape=patch,
        patch=patch,
        batch=batch,
        network=network,
        precision=precision,
        checkpointed_stages=checkpointed,
        memory=Memory(peak_bytes=0, budget_bytes=0),
        mirror_axes=tuple(range(axes)),
        rotation_degrees=30.0,
        iterations=1,
        iterations_per_epoch=1,
        recipe=Recipe(name="default", loss=loss, optimizer="sgd", lr=1e-2, schedule="poly"),
        priors=(0.01,) * classes,
        previous="2d_lowres" if cascade else None,
    )


#: What is measured, by name; another row is another line.
STAGES: dict[str, Stage] = {
    "HandBone, one": stage((2048, 2048), 1),
    "HandBone": stage((2048, 2048), 3),
    "HandBone, bf16": stage((2048, 2048), 3, precision="bf16"),
    "HandBone, recomputed": stage((2048, 2048), 3, checkpointed=2),
    "HandBone, cascade": stage((1024, 1024), 4, cascade=True),
    "1024": stage((1024, 1024), 8, classes=5),
    "1024, fp32": stage((1024, 1024), 4, classes=5, precision="fp32"),
    "colour, exclusive": stage((512, 512), 16, classes=4, channels=3, exclusive=True),
    "small": stage((256, 256), 32, classes=2),
    "volume": stage((128, 128, 128), 2, classes=3, exclusive=True),
}


class Meter(Protocol):
    """Where a device's memory is read."""

    def reset(self) -> None:
        """Free what is free, and begin to watch the peak."""
        ...

    def read(self) -> tuple[int, int, int]:
        """Bytes since then: peak allocated, peak reserved, and what the driver has given away beside what it had before."""
        ...


class CudaMeter:
    """torch's and the driver's own figures."""

    def __init__(self) -> None:
        # Asked before torch makes its context, which counts.
        self.before = driver_bytes()

    def reset(self) -> None:
        """Free what is free, and begin to watch the peak."""
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def read(self) -> tuple[int, int, int]:
        """See `Meter`."""
        torch.cuda.synchronize()
        free, total = torch.cuda.mem_get_info()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), total - free - self.before


def driver_bytes() -> int:
    """What the first GPU's driver has given away by nvidia-smi; 0 if that cannot be asked."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return int(done.stdout.strip()) * 1024**2
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row: traced bytes, the plan's with allowances, and the device's; None where it ran out of memory."""

    name: str
    stage: Stage
    traced: int
    planned: int
    allocated: int | None = None
    reserved: int | None = None
    driver: int | None = None
    step_ms: float | None = None


def measure(name: str, stage: Stage, device: torch.device, meter: Meter) -> Measured:
    """Trace a stage for CUDA, and make the same steps on the device."""
    exclusive = stage.network.num_heads > len(stage.priors)
    trace = trace_step(stage, exclusive=exclusive, precision=stage.precision, device_type="cuda")
    planned = with_allowances(trace, device_type="cuda", budget_bytes=0).peak_bytes
    meter.reset()
    try:
        step_ms = run_steps(stage, device, exclusive=exclusive)
    except torch.OutOfMemoryError:
        return Measured(name=name, stage=stage, traced=trace.peak, planned=planned)
    allocated, reserved, driver = meter.read()
    return Measured(
        name=name, stage=stage, traced=trace.peak, planned=planned, allocated=allocated, reserved=reserved, driver=driver, step_ms=step_ms
    )


def run_steps(stage: Stage, device: torch.device, *, exclusive: bool) -> float:
    """Median milliseconds of steps whose samples are all augmented by the heaviest draw, augmentation included, reading not."""
    learner = build_learner(stage, device, exclusive=exclusive, precision=stage.precision)
    samples: list[RawSample] = [
        synthetic_sample(stage, heaviest_draw(stage), sample_rng(0, "0", 0, index), dtype=STORED) for index in range(stage.batch)
    ]
    times = []
    for _ in range(WARM_UP_STEPS + TIMED_STEPS):
        begin = time.perf_counter()
        batch = make_batch(samples, stage.patch, device=device, swap=stage.mirror_swap)
        float(training_step(learner, [batch]).loss)  # waits for the device
        del batch
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[WARM_UP_STEPS:])


MEMORY_HEAD = (
    "stage", "patch", "batch", "classes", "precision", "recomputed", "traced", "allocated", "traced / allocated", "reserved", "driver",
    "planned", "planned covers", "ms a step",
)  # fmt: skip


def memory_table(rows: Iterable[Measured]) -> str:
    """GiB; "driver" holds the context and all libraries, "planned" the allowances."""
    return markdown(MEMORY_HEAD, [memory_cells(row) for row in rows])


def memory_cells(row: Measured) -> list[str]:
    """A row of the table."""
    at = row.stage
    what = [row.name, " x ".join(map(str, at.patch)), str(at.batch), str(len(at.priors)), at.precision, str(at.checkpointed_stages)]
    if row.allocated is None or row.reserved is None or row.driver is None or row.step_ms is None:
        return [*what, gib(row.traced), "out of memory", "", "", "", gib(row.planned), "", ""]
    ratio, covers = f"{row.traced / row.allocated:.3f}", "yes" if row.planned >= row.driver else "no"
    device = [gib(row.allocated), ratio, gib(row.reserved), gib(row.driver)]
    return [*what, gib(row.traced), *device, gib(row.planned), covers, f"{row.step_ms:.0f}"]


def gib(num_bytes: int) -> str:
    """Bytes in GiB."""
    return f"{num_bytes / GIB:.2f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def memory_section(device: torch.device, meter: Meter, stages: dict[str, Stage] = STAGES) -> str:
    """The table of memory, each row printed when it is there."""
    rows = []
    for name, given in stages.items():
        if given.precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            continue
        rows.append(measure(name, given, device, meter))
        print(" | ".join(memory_cells(rows[-1])), flush=True)
    return memory_table(rows)


def dtypes_section(device: torch.device, meter: Meter) -> str:
    """The table of casts for fp16, which every GPU has: what differs first."""
    rows = sorted(compare(torch.float16, on_cuda(torch.float16)), key=lambda row: not row.differs)
    different = sum(row.differs for row in rows)
    cells = [[row.function, row.given, row.table, row.device, "differs" if row.differs else ""] for row in rows]
    print(f"{different} of {len(rows)} rows differ", flush=True)
    return f"{different} of {len(rows)} rows differ.\n\n" + markdown(("function", "given", "table", "device", ""), cells)


SECTIONS: dict[str, Callable[[torch.device, Meter], str]] = {"memory": memory_section, "dtypes": dtypes_section}


def replace_section(text: str, name: str, body: str) -> str:
    """The page with a section's new text, the others as they were."""
    parts = (text or TITLE).split("\n## ")
    kept = [part for part in parts[1:] if part.partition("\n")[0] != name]
    ordered = sorted([*kept, f"{name}\n\n{body}"], key=lambda part: part.partition("\n")[0])
    return "\n## ".join([parts[0].rstrip("\n") + "\n", *(part.rstrip("\n") + "\n" for part in ordered)])


def provenance(hardware: str) -> str:
    """Where, with what and when."""
    return f"{hardware}, torch {torch.__version__}, commit {commit()}, {time.strftime('%Y-%m-%d')}."


def commit() -> str:
    """The tree's commit; "unknown" where git or its folder is missing."""
    place = Path(__file__).parent
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True, cwd=place)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*SECTIONS, "all"])
    parser.add_argument("--out", type=Path, default=OUT, help="the page that is written")
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    meter = CudaMeter()
    hardware = torch.cuda.get_device_name()
    for name, section in SECTIONS.items():
        if given.what in (name, "all"):
            body = f"{provenance(hardware)}\n\n{section(torch.device('cuda'), meter)}"
            text = given.out.read_text(encoding="utf-8") if given.out.is_file() else ""
            given.out.write_text(replace_section(text, name, body), encoding="utf-8")
    print(f"written: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
