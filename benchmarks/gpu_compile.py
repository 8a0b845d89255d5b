"""Training steps with torch.compile, ours and nnU-Net's plain net, which nnU-Net compiles by default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from autoseg.budget import Precision
from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.gpu_steps import HEAD as HEAD
from benchmarks.gpu_steps import cells, row, sized


def rows(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    """A row for each size and net, the largest size first; compiling takes most of the time."""
    theirs: Precision = "fp16" if "fp16" in device.precisions else "fp32"
    for size in sized(device):
        setting = replace(size, compiled=True)
        for one in (setting, replace(setting, precision=theirs, plain=True, benchmark=True)):
            yield cells(one, f"skipped: {device.not_compiled}") if device.not_compiled else row(one, device, clock)
