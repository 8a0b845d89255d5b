"""Our training step with its parts switched off and on: what each is worth."""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from autoseg.augment import Batch
from autoseg.budget import Precision
from autoseg.nets.blocks import ConvBlock
from autoseg.nets.norm import InstanceNorm
from autoseg.nets.up import UpConv2d, UpConv3d
from autoseg.step import M_MMAP_MAX, M_TRIM_THRESHOLD, Learner, arrange, arrange_loss, build_learner, training_step
from benchmarks.stages import stage

#: glibc's, where a process has freed large blocks before (malloc's dynamic thresholds at their upper end), and its limit of mapped blocks.
MMAP_THRESHOLD, USUAL_THRESHOLD, USUAL_MAPPED = -3, 32 * 2**20, 65536


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is switched on; all of it is what `build_learner` gives on a CPU."""

    says: str
    exclusive: bool = True
    precision: Precision = "bf16"
    channels_last: bool = True
    norm: bool = True
    bias: bool = True
    loss: bool = True
    memory: bool = True
    #: Convolutions and concatenations, and nothing else.
    alone: bool = False


PLAIN = Variant(
    says="ours, fp32, torch's own functions", precision="fp32", channels_last=False, norm=False, bias=False, loss=False, memory=False
)

#: Each of the second to the seventh adds a part to the one before.
VARIANTS: dict[str, Variant] = {
    "plain": PLAIN,
    "bf16": replace(PLAIN, says="+ bf16", precision="bf16"),
    "channels_last": replace(PLAIN, says="+ channels_last", precision="bf16", channels_last=True),
    "norm": Variant(says="+ norm that keeps channels_last", bias=False, loss=False, memory=False),
    "bias": Variant(says="+ bias of the transposed convolutions apart", loss=False, memory=False),
    "loss": Variant(says="+ loss in pieces", memory=False),
    "all": Variant(says="+ freed memory kept: ours, bf16, softmax"),
    "sigmoid": Variant(says="ours, bf16, sigmoids", exclusive=False),
    "fp32": Variant(says="ours, fp32, softmax", precision="fp32"),
    "convolutions": Variant(says="convolutions alone, bf16", alone=True),
    "convolutions fp32": Variant(says="convolutions alone, fp32", alone=True, precision="fp32"),
}


def server(name: str, patch: tuple[int, ...], batch: int, classes: int) -> None:
    """Print a line of JSON, then make a step for each line of input and print its seconds."""
    step = build(VARIANTS[name], patch, batch, classes)
    print(json.dumps({"variant": name}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


def build(variant: Variant, patch: tuple[int, ...], batch: int, classes: int) -> Callable[[], object]:
    """The step of a variant on random data."""
    torch.manual_seed(0)
    given = stage(patch, batch, classes=classes, exclusive=variant.exclusive)
    learner = build_learner(given, torch.device("cpu"), exclusive=variant.exclusive, precision=variant.precision)
    switch(learner, variant)
    data = random_batch(patch, batch, classes)
    if variant.alone:
        strip(learner.net)
        return lambda: convolutions(learner, data)
    return lambda: training_step(learner, [data])


def switch(learner: Learner, variant: Variant) -> None:
    """Switch off what the variant lacks."""
    if not variant.channels_last:
        arrange(learner.net, "cuda", next(learner.net.parameters()).ndim - 2)
        for state in learner.optimizer.state.values():
            state["momentum_buffer"] = state["momentum_buffer"].contiguous()
    for module in learner.net.modules():
        if isinstance(module, InstanceNorm):
            module.per_sample = variant.norm
        elif isinstance(module, (UpConv2d, UpConv3d)):
            module.bias_apart = variant.bias
    arrange_loss(learner.loss, "cpu" if variant.loss else "cuda")
    if not variant.memory and sys.platform == "linux":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, USUAL_MAPPED)
        mallopt(MMAP_THRESHOLD, USUAL_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, 2 * USUAL_THRESHOLD)


def random_batch(patch: tuple[int, ...], batch: int, classes: int) -> Batch:
    """Noise, and a class or none at random in each pixel."""
    table = torch.cat([torch.zeros(1, classes), torch.eye(classes)]).bool().expand(batch, -1, -1).contiguous()
    codes = torch.randint(0, classes + 1, (batch, *patch), dtype=torch.int32)
    return Batch(images=torch.randn(batch, 1, *patch), codes=codes, table=table, ignore=None)


def strip(net: nn.Module) -> None:
    """Take norms and activations out."""
    for module in net.modules():
        if isinstance(module, ConvBlock):
            module.norm, module.act = nn.Identity(), nn.Identity()  # type: ignore[assignment]


def convolutions(learner: Learner, batch: Batch) -> None:
    """Forward and backward pass of the net alone."""
    for parameter in learner.net.parameters():
        parameter.grad = None
    with learner.cast():
        outputs = learner.net(batch.images)
    torch.autograd.backward(outputs, [torch.ones_like(y) for y in outputs])
