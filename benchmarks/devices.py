"""The device that is measured, with all calls of torch.cuda and nvidia-smi; a CPU in its place tries everything out, at tiny sizes."""

from __future__ import annotations

import gc
import importlib.util
import os
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.profiler import ProfilerActivity, profile

from autoseg.budget import GPUS, Precision
from benchmarks.peaks import peak_flops

#: Milliseconds between samples of nvidia-smi, whose own figure is an average over up to a second.
SAMPLE_MS = 200


@dataclass(kw_only=True)
class Busy:
    """The device's utilisation in percent over a while; None if it could not be asked."""

    percent: float | None = None


@dataclass(kw_only=True)
class Device:
    """A CPU that stands in for a GPU.

    Parameters
    ----------
    place : torch.device
    name : str
    precisions : tuple of {"fp16", "bf16", "fp32"}
        What is measured, best first.
    not_compiled : str
        Why torch.compile is not tried; empty if it is.
    backend : str
        Of torch.compile.
    tiny : bool
        Sizes are tiny: nothing is worth reading but errors.
    """

    place: torch.device = field(default_factory=lambda: torch.device("cpu"))
    name: str = "CPU, tiny sizes: the figures mean nothing"
    precisions: tuple[Precision, ...] = ("bf16", "fp32")
    not_compiled: str = ""
    backend: str = "eager"
    tiny: bool = True

    def synchronize(self) -> None:
        """Wait until all that was asked of the device is done."""

    def reset(self) -> None:
        """Free what is free, and begin to watch the peak of memory."""
        gc.collect()

    def peaks(self) -> tuple[int, int, int]:
        """Bytes since `reset`: peak allocated, peak reserved, and what the driver has given away beside what it had before."""
        return 0, 0, 0

    def peak_flops(self, precision: Precision) -> float | None:
        """Operations per second at most, if they are known."""
        return peak_flops(self.name, precision)

    @contextmanager
    def watch(self) -> Iterator[Busy]:
        """Ask for the utilisation while the block runs."""
        yield Busy()


@dataclass(kw_only=True)
class Cuda(Device):
    """The first GPU that torch sees."""

    backend: str = "inductor"
    tiny: bool = False
    before: int = 0

    def synchronize(self) -> None:
        """Wait for all kernels."""
        torch.cuda.synchronize()

    def reset(self) -> None:
        """See `Device`."""
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def peaks(self) -> tuple[int, int, int]:
        """torch's and the driver's own figures."""
        torch.cuda.synchronize()
        free, total = torch.cuda.mem_get_info()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), total - free - self.before

    @contextmanager
    def watch(self) -> Iterator[Busy]:
        """Sample nvidia-smi; without it nothing is known."""
        busy = Busy()
        command = [*_smi("utilization.gpu"), f"--loop-ms={SAMPLE_MS}"]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError:
            yield busy
            return
        try:
            yield busy
        finally:
            process.terminate()
            lines = _last_words(process).split()
        # The first sample is of the time before.
        found = [float(line) for line in lines[1:] if line.isdigit()]
        busy.percent = statistics.mean(found) if found else None


def find_cuda(like: str | None) -> Cuda:
    """The GPU, or what it is made to look like.

    Parameters
    ----------
    like : {"v100-32gb", None}
        torch takes no more memory than that GPU has, and computes in fp16 without torch.compile. The speed is the real GPU's.
    """
    # Asked before torch makes its context, which counts.
    before = driver_bytes()
    properties = torch.cuda.get_device_properties(0)
    name, capability = properties.name, (properties.major, properties.minor)
    if like is None:
        precisions, reason = cuda_precisions(capability), why_not_compiled(capability)
    else:
        memory = GPUS[like][0] * 1024**2
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory / properties.total_memory))
        name, precisions, reason = f"{name} as {like}", ("fp16",), f"--as {like}: a V100 has no torch.compile"
    return Cuda(place=torch.device("cuda", 0), name=name, precisions=precisions, not_compiled=reason, before=before)


def cuda_precisions(capability: tuple[int, int]) -> tuple[Precision, ...]:
    """What a GPU computes in, best first (`budget.Budget.precision`)."""
    if capability >= (8, 0):
        return ("bf16", "fp16", "fp32")
    return ("fp16", "fp32") if capability >= (7, 0) else ("fp32",)


def why_not_compiled(capability: tuple[int, int]) -> str:
    """Why torch.compile is not tried on a GPU; empty if it is."""
    if capability < (7, 5):
        return f"capability {capability[0]}.{capability[1]}: plans for a V100 do without torch.compile"
    return "" if importlib.util.find_spec("triton") else "Triton is not installed"


def _last_words(process: subprocess.Popen[str]) -> str:
    """What a process that was told to end had printed."""
    try:
        return process.communicate(timeout=5)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def _smi(query: str) -> list[str]:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    return ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", f"--id={first}"]


def driver_bytes() -> int:
    """What the GPU's driver has given away by nvidia-smi; 0 if that cannot be asked."""
    try:
        done = subprocess.run(_smi("memory.used"), capture_output=True, text=True, check=True, timeout=30)
        return int(done.stdout.strip()) * 1024**2
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def profiled_busy(device: Device, run: Callable[[], object]) -> float | None:
    """Percent of the time in which a kernel ran, by torch's profiler; None if it saw none. `run` ends when the device is done."""
    cuda = device.place.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler:
        run()
    wanted = "CUDA" if cuda else "CPU"
    events = profiler.events() or []
    # The optimizer's annotation spans all its kernels and what lies between them.
    kernels = [event for event in events if event.device_type.name == wanted and not getattr(event, "is_user_annotation", False)]
    return covered_share([(event.time_range.start, event.time_range.end) for event in kernels])


def covered_share(spans: list[tuple[float, float]]) -> float | None:
    """Percent of the time from the first start to the last end that lies in a span.

    >>> covered_share([(0, 2), (1, 3), (9, 10)])
    40.0
    """
    if not spans:
        return None
    covered, reached = 0.0, min(start for start, _ in spans)
    first = reached
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return 100 * covered / max(reached - first, 1e-9)
