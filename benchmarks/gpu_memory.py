"""The traced memory of training steps on CUDA beside a real GPU's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from autoseg.augment import RawSample, make_batch, sample_rng
from autoseg.augment.synthetic import heaviest_draw, synthetic_sample
from autoseg.budget import GIB
from autoseg.memory import trace_step, with_allowances
from autoseg.memory.trace import STORED
from autoseg.plan import Stage
from autoseg.step import build_learner, training_step
from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.stages import stage

HEAD = (
    "stage", "patch", "batch", "classes", "precision", "recomputed", "traced", "allocated", "traced / allocated", "reserved", "driver",
    "planned", "planned covers", "ms a step",
)  # fmt: skip
WARM_UP_STEPS, TIMED_STEPS = 2, 5

#: What is measured, by name, the most telling first; another row is another line.
STAGES: dict[str, Stage] = {
    "HandBone": stage((2048, 2048), 3),
    "HandBone, one": stage((2048, 2048), 1),
    "HandBone, recomputed": stage((2048, 2048), 3, checkpointed=2),
    "HandBone, bf16": stage((2048, 2048), 3, precision="bf16"),
    "volume": stage((128, 128, 128), 2, classes=3, exclusive=True),
    "colour, exclusive": stage((512, 512), 16, classes=4, channels=3, exclusive=True),
    "HandBone, cascade": stage((1024, 1024), 4, cascade=True),
    "1024, fp32": stage((1024, 1024), 4, classes=5, precision="fp32"),
    "1024": stage((1024, 1024), 8, classes=5),
    "small": stage((256, 256), 32, classes=2),
}
TINY_STAGES: dict[str, Stage] = {
    "flat": stage((8, 8), 2, classes=2, precision="fp32"),
    "cascade": stage((8, 8), 1, classes=3, precision="fp32", cascade=True),
    "solid": stage((8, 8, 8), 1, classes=2, precision="fp32", exclusive=True, checkpointed=1),
}


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


def rows(device: Device, clock: Clock, stages: Mapping[str, Stage] | None = None) -> Iterator[tuple[str, ...]]:
    """GiB; "driver" holds the context and all libraries, "planned" the allowances. A row for each stage that the device computes."""
    for name, given in (stages or (TINY_STAGES if device.tiny else STAGES)).items():
        if given.precision not in device.precisions:
            continue
        if clock.allows_another():
            yield cells(measure(name, given, device))
        else:
            yield (*_what(name, given), "skipped: no time left", *[""] * 7)


def measure(name: str, given: Stage, device: Device) -> Measured:
    """Trace a stage for CUDA, and make the same steps on the device."""
    exclusive = given.network.num_heads > len(given.priors)
    trace = trace_step(given, exclusive=exclusive, precision=given.precision, device_type="cuda")
    planned = with_allowances(trace, device_type="cuda", budget_bytes=0).peak_bytes
    device.reset()
    try:
        step_ms = run_steps(given, device.place, exclusive=exclusive, timed_steps=1 if device.tiny else TIMED_STEPS)
    except torch.OutOfMemoryError:
        return Measured(name=name, stage=given, traced=trace.peak, planned=planned)
    allocated, reserved, driver = device.peaks()
    return Measured(
        name=name, stage=given, traced=trace.peak, planned=planned, allocated=allocated, reserved=reserved, driver=driver, step_ms=step_ms
    )


def run_steps(given: Stage, place: torch.device, *, exclusive: bool, timed_steps: int = TIMED_STEPS) -> float:
    """Median milliseconds of steps whose samples are all augmented by the heaviest draw, augmentation included, reading not."""
    learner = build_learner(given, place, exclusive=exclusive, precision=given.precision)
    samples: list[RawSample] = [
        synthetic_sample(given, heaviest_draw(given), sample_rng(0, "0", 0, index), dtype=STORED) for index in range(given.batch)
    ]
    times = []
    for _ in range(WARM_UP_STEPS + timed_steps):
        begin = time.perf_counter()
        batch = make_batch(samples, given.patch, device=place, swap=given.mirror_swap)
        float(training_step(learner, [batch]).loss)  # waits for the device
        del batch
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[WARM_UP_STEPS:])


def _what(name: str, given: Stage) -> tuple[str, ...]:
    patch = " x ".join(map(str, given.patch))
    return name, patch, str(given.batch), str(len(given.priors)), given.precision, str(given.checkpointed_stages)


def cells(row: Measured) -> tuple[str, ...]:
    """A row of the table."""
    what = _what(row.name, row.stage)
    if row.allocated is None or row.reserved is None or row.driver is None or row.step_ms is None:
        return (*what, gib(row.traced), "out of memory", "", "", "", gib(row.planned), "", "")
    ratio = f"{row.traced / row.allocated:.3f}" if row.allocated else ""
    device = (gib(row.allocated), ratio, gib(row.reserved), gib(row.driver))
    return (*what, gib(row.traced), *device, gib(row.planned), "yes" if row.planned >= row.driver else "no", f"{row.step_ms:.0f}")


def gib(num_bytes: int) -> str:
    """Bytes in GiB."""
    return f"{num_bytes / GIB:.2f}"
