"""Training steps on data that lie on the device: sizes, precisions, memory formats, and nnU-Net's plain net beside ours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.augment import Batch
from autoseg.budget import GIB, Precision
from autoseg.nets import NETS, UNet
from autoseg.nets.norm import InstanceNorm, choose_kernels
from autoseg.nets.up import UpConv2d
from autoseg.optimizers import build_optimizer
from autoseg.plan import Stage
from autoseg.step import Learner, arrange, build_learner, training_step
from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.plain_unet import PlainStep
from benchmarks.stages import stage

HEAD = (
    "net", "patch", "batch", "precision", "memory format", "norm", "cudnn.benchmark", "compiled", "ms a step", "images/s", "TFLOP/s",
    "share of peak", "peak GiB",
)  # fmt: skip
#: Edge of the patch -> batch: 4 million pixels in each step, of pictures and of volumes.
SIZES = {2048: 1, 1024: 4, 512: 16}
VOLUMES = {128: 2}
TINY_SIZES, TINY_VOLUMES = {16: 1}, {16: 1}
WARM_UP_STEPS, LEAST_STEPS, MOST_STEPS, TIMED_S = 3, 5, 30, 1.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a row measures.

    Parameters
    ----------
    edge, batch : int
    precision : {"fp16", "bf16", "fp32"}
    axes : int
        2 of pictures, 3 of volumes.
    plain : bool
        nnU-Net's plain net, loss and optimizer, see `plain_unet`.
    channels_last : bool
        The weights' format, which the first convolution hands on.
    per_sample : bool
        The norm is batch_norm of one sample at a time, which keeps channels_last, instead of instance_norm, which does not.
    benchmark : bool
        cuDNN tries its algorithms and keeps the fastest.
    compiled : bool
    """

    edge: int
    batch: int
    precision: Precision
    axes: int = 2
    plain: bool = False
    channels_last: bool = False
    per_sample: bool = False
    benchmark: bool = False
    compiled: bool = False

    @property
    def patch(self) -> tuple[int, ...]:
        """The net's axes."""
        return (self.edge,) * self.axes


def rows(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    """A row for each setting, the most telling first."""
    for setting in settings(device):
        yield row(setting, device, clock)


def settings(device: Device) -> Iterator[Setting]:
    """As we train, nnU-Net's net, then one difference after the other."""
    best = device.precisions[0]
    ours = [replace(one, precision=best) for one in sized(device)]
    yield from ours
    # nnU-Net computes in fp16 on every GPU and in fp32 elsewhere, and switches cuDNN's search on.
    theirs: Precision = "fp16" if "fp16" in device.precisions else "fp32"
    yield from (replace(one, precision=theirs, plain=True, benchmark=True) for one in ours)
    yield from (replace(one, benchmark=True) for one in ours)
    yield from (replace(one, channels_last=True, per_sample=True, benchmark=True) for one in ours)
    yield from (replace(one, channels_last=True) for one in ours)
    for precision in device.precisions[1:]:
        yield from (replace(one, precision=precision) for one in ours)
        yield from (replace(one, precision=precision, channels_last=True) for one in ours)


def sized(device: Device) -> Iterator[Setting]:
    """A setting for every size, pictures first."""
    for axes, sizes in ((2, TINY_SIZES if device.tiny else SIZES), (3, TINY_VOLUMES if device.tiny else VOLUMES)):
        yield from (Setting(edge=edge, batch=batch, precision=device.precisions[0], axes=axes) for edge, batch in sizes.items())


def row(setting: Setting, device: Device, clock: Clock) -> tuple[str, ...]:
    """Measure a setting, unless time is short; what fails says so in its row."""
    if not clock.allows_another():
        return cells(setting, "skipped: no time left")
    try:
        median_s, allocated = measure(setting, device)
    except torch.OutOfMemoryError:
        return cells(setting, "out of memory")
    except Exception as error:
        # One setting must not cost the others.
        return cells(setting, f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}")
    flops = step_flops(setting.edge, setting.batch, axes=setting.axes, tiny=device.tiny) / median_s
    peak = device.peak_flops(setting.precision)
    share = "" if peak is None else f"{flops / peak:.0%}"
    figures = (f"{setting.batch / median_s:.1f}", f"{flops / 1e12:.1f}", share, f"{allocated / GIB:.2f}")
    return cells(setting, f"{1000 * median_s:.1f}", *figures)


def cells(setting: Setting, result: str, *figures: str) -> tuple[str, ...]:
    """A row of the table."""
    what = (
        "nnU-Net's plain" if setting.plain else "ours", " x ".join(map(str, setting.patch)), str(setting.batch), setting.precision,
        "channels_last" if setting.channels_last else "contiguous", "batch_norm, each sample" if setting.per_sample else "instance_norm",
        "on" if setting.benchmark else "off", "yes" if setting.compiled else "no", result, *figures,
    )  # fmt: skip
    return what + ("",) * (len(HEAD) - len(what))


def measure(setting: Setting, device: Device) -> tuple[float, int]:
    """Median seconds of a step, and the peak of allocated bytes."""
    before = torch.backends.cudnn.benchmark
    device.reset()
    try:
        torch.backends.cudnn.benchmark = setting.benchmark
        step = build(setting, device)
        return timed(step, device), device.peaks()[0]
    finally:
        torch.backends.cudnn.benchmark = before
        # What a failed step left behind would be the next one's lack of memory.
        step = None  # type: ignore[assignment]
        device.reset()


def timed(step: Callable[[], object], device: Device) -> float:
    """Median seconds of steps after a few that do not count."""
    warm_up, least, most = (1, 2, 2) if device.tiny else (WARM_UP_STEPS, LEAST_STEPS, MOST_STEPS)
    for _ in range(warm_up):
        step()
    device.synchronize()
    times: list[float] = []
    while len(times) < least or (sum(times) < TIMED_S and len(times) < most):
        begin = time.perf_counter()
        step()
        device.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def stage_of(setting: Setting, device: Device) -> Stage:
    """Its net and recipe; 29 overlapping classes."""
    return stage(setting.patch, setting.batch, classes=3 if device.tiny else 29, precision=setting.precision)


def build(setting: Setting, device: Device) -> Callable[[], object]:
    """The step of a setting on random data."""
    torch.manual_seed(0)
    given = stage_of(setting, device)
    batch = random_batch(given, device.place)
    if setting.plain:
        masks = batch.table[0].float()[batch.codes].movedim(-1, 1).contiguous()
        plain = PlainStep(given.network, batch.images, masks, half=setting.precision == "fp16")
        if setting.compiled:
            plain.net = cast(nn.Module, compiled(plain.net, device))
        return plain
    learner = build_learner(given, device.place, exclusive=False, precision=setting.precision)
    lay_out(learner, setting, given)
    if setting.compiled:
        learner.net = cast(UNet, compiled(learner.net, device))
    return lambda: training_step(learner, [batch])


def compiled(net: nn.Module, device: Device) -> object:
    """The net for one size: torch would take a second size for a sign that sizes vary, and compile for any."""
    return torch.compile(net, backend=device.backend, dynamic=False)


def random_batch(given: Stage, place: torch.device) -> Batch:
    """Noise, and a class or none at random in each pixel."""
    num, classes = given.batch, len(given.priors)
    table = torch.cat([torch.zeros(1, classes), torch.eye(classes)]).bool().expand(num, -1, -1).contiguous()
    return Batch(
        images=torch.randn(num, given.network.in_channels, *given.patch, device=place),
        codes=torch.randint(0, classes + 1, (num, *given.patch), dtype=torch.int32, device=place),
        table=table.to(place),
        ignore=None,
    )


def lay_out(learner: Learner, setting: Setting, given: Stage) -> None:
    """Give a learner a setting's memory format and norm, with CUDA's other kernels; a fused optimizer's states follow the weights."""
    arrange(learner.net, "cpu" if setting.channels_last else "cuda", given.network.num_axes)
    choose_kernels(learner.net, "cuda")
    for module in learner.net.modules():
        if isinstance(module, InstanceNorm):
            module.per_sample = setting.per_sample
        elif isinstance(module, UpConv2d):
            module.bias_apart = False
    learner.optimizer = build_optimizer(learner.net, given.recipe)


@lru_cache
def step_flops(edge: int, batch: int, *, axes: int = 2, tiny: bool) -> int:
    """Floating-point operations of the convolutions of a step, forward and backward, counted on tensors without data."""
    given = stage((edge,) * axes, batch, classes=3 if tiny else 29)
    net = NETS["unet"](given.network).to("meta")
    choose_kernels(net, "cuda")
    with FlopCounterMode(display=False) as counter:
        outputs = net(torch.empty(batch, given.network.in_channels, *given.patch, device="meta"))
        torch.autograd.backward(outputs, [torch.empty_like(y) for y in outputs])
    return int(counter.get_total_flops())
