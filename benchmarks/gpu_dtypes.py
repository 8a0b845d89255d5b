"""What autocast returns on the device, function by function, beside the table by which memory is traced."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.dtypes import by_table, compare, on_cuda

HEAD = ("function", "given", "table", "device", "")


def rows(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    """Every function for fp16, which every GPU has; what differs first."""
    half = torch.float16
    found = compare(half, on_cuda(half) if device.place.type == "cuda" else by_table(half))
    for row in sorted(found, key=lambda row: not row.differs):
        yield row.function, row.given, row.table, row.device, "differs" if row.differs else ""
